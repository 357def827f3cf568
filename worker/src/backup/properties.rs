//! What a PostgreSQL server keeps of a database outside of it, which no dump of the database holds: its encoding and order,
//! its owner, rights and settings.

use sea_orm::{ConnectionTrait, QueryResult};
use serde::{Deserialize, Serialize};

use crate::backend::{self, Transaction, quote};
use crate::error::{Doing, Error, Result};

/// Whoever grants.
const PUBLIC: &str = "PUBLIC";

/// Settings that hold a list of names: the value as it is stored would be one name.
const LISTS: [&str; 4] = [
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
];

/// A database as its server knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Properties {
    encoding: String,
    /// `c`: the system's order of words, `i`: ICU's, `b`: the server's own.
    provider: String,
    collate: String,
    ctype: String,
    locale: Option<String>,
    #[serde(flatten)]
    given: Given,
}

/// What somebody has given to a database, and may change while it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    owner: String,
    connection_limit: i32,
    comment: Option<String>,
    /// None: nobody has changed them.
    rights: Option<Vec<Right>>,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Right {
    /// None: everybody.
    role: Option<String>,
    privilege: String,
    grantable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    /// None: for every role.
    role: Option<String>,
    name: String,
    value: String,
}

const DATABASE: &str = r#"SELECT pg_encoding_to_char(d.encoding) AS "encoding",
        COALESCE(to_jsonb(d) ->> 'datlocprovider', 'c') AS "provider",
        CAST(d.datcollate AS TEXT) AS "collate", CAST(d.datctype AS TEXT) AS "ctype",
        COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS "locale",
        CAST(pg_get_userbyid(d.datdba) AS TEXT) AS "owner", d.datconnlimit AS "limit",
        shobj_description(d.oid, 'pg_database') AS "comment", d.datacl IS NOT NULL AS "changed"
    FROM pg_database d WHERE d.datname = $1"#;

const RIGHTS: &str = r#"SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE CAST(pg_get_userbyid(a.grantee) AS TEXT) END AS "role",
        a.privilege_type AS "privilege", a.is_grantable AS "grantable"
    FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a WHERE d.datname = $1 ORDER BY 1 NULLS FIRST, 2"#;

const SETTINGS: &str = r#"SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE CAST(pg_get_userbyid(s.setrole) AS TEXT) END AS "role",
        split_part(c.pair, '=', 1) AS "name", substr(c.pair, strpos(c.pair, '=') + 1) AS "value"
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN LATERAL unnest(s.setconfig) WITH ORDINALITY c (pair, place)
    WHERE d.datname = $1 ORDER BY 1 NULLS FIRST, c.place"#;

impl Properties {
    /// Reads those of a database.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn read(connection: &impl ConnectionTrait, name: &str) -> Result<Self> {
        let doing = "reading the database's own settings";
        let all = async |sql| {
            backend::all(connection, sql, [name.into()])
                .await
                .doing(doing)
        };
        let rows = all(DATABASE).await?;
        let Some(row) = rows.first() else {
            return Err(Error::Usage(format!("there is no database {name}")));
        };
        let is_changed: bool = row.try_get("", "changed").doing(doing)?;
        let rights = match is_changed {
            true => Some(read(&all(RIGHTS).await?, right).doing(doing)?),
            false => None,
        };
        let settings = read(&all(SETTINGS).await?, setting).doing(doing)?;
        let properties = || {
            Ok(Self {
                encoding: row.try_get("", "encoding")?,
                provider: row.try_get("", "provider")?,
                collate: row.try_get("", "collate")?,
                ctype: row.try_get("", "ctype")?,
                locale: row.try_get("", "locale")?,
                given: Given {
                    owner: row.try_get("", "owner")?,
                    connection_limit: row.try_get("", "limit")?,
                    comment: row.try_get("", "comment")?,
                    rights,
                    settings,
                },
            })
        };
        let read: Result<_, sea_orm::DbErr> = properties();
        read.doing(doing)
    }

    /// What somebody has given to the database.
    pub(super) fn given(&self) -> &Given {
        &self.given
    }

    /// The statement that makes an empty database of this kind.
    pub(super) fn create(&self, name: &str, owner: Option<&Given>) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote(name),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype)
        );
        if let Some(locale) = &self.locale {
            let (provider, option) = match self.provider.as_str() {
                "b" => ("builtin", "BUILTIN_LOCALE"),
                _ => ("icu", "ICU_LOCALE"),
            };
            sql.push_str(&format!(
                " LOCALE_PROVIDER {provider} {option} {}",
                literal(locale)
            ));
        }
        if let Some(given) = owner {
            sql.push_str(&format!(" OWNER {}", quote(&given.owner)));
        }
        sql
    }
}

impl Given {
    /// Gives the same to another database, within a transaction.
    ///
    /// # Errors
    /// The database's, such as a role that is not there.
    pub(super) async fn give(&self, transaction: &Transaction, name: &str) -> Result<()> {
        let mut statements = self.rights(name);
        let name = quote(name);
        if self.connection_limit != -1 {
            let limit = self.connection_limit;
            statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}"));
        }
        if let Some(comment) = &self.comment {
            statements.push(format!(
                "COMMENT ON DATABASE {name} IS {}",
                literal(comment)
            ));
        }
        for setting in &self.settings {
            statements.extend(setting.statements(&name));
        }
        for sql in statements {
            let done = transaction.execute_unprepared(&sql).await;
            done.doing("giving the restored database its rights and settings")?;
        }
        Ok(())
    }

    fn rights(&self, name: &str) -> Vec<String> {
        let Some(rights) = &self.rights else {
            return Vec::new();
        };
        let (database, owner) = (quote(name), quote(&self.owner));
        let mut statements = vec![format!(
            "REVOKE ALL ON DATABASE {database} FROM {PUBLIC}, {owner}"
        )];
        for right in rights {
            let role = right.role.as_deref().map_or(PUBLIC.to_owned(), quote);
            let option = if right.grantable {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            let privilege = &right.privilege;
            statements.push(format!(
                "GRANT {privilege} ON DATABASE {database} TO {role}{option}"
            ));
        }
        statements
    }
}

impl Setting {
    fn statements(&self, database: &str) -> Vec<String> {
        let (name, value) = (quote(&self.name), literal(&self.value));
        let of = match &self.role {
            Some(role) => format!(
                "ALTER ROLE {} IN DATABASE {database} SET {name}",
                quote(role)
            ),
            None => format!("ALTER DATABASE {database} SET {name}"),
        };
        if LISTS.contains(&self.name.to_lowercase().as_str()) {
            let for_this_transaction =
                format!("SELECT set_config({}, {value}, true)", literal(&self.name));
            return vec![for_this_transaction, format!("{of} FROM CURRENT")];
        }
        vec![format!("{of} TO {value}")]
    }
}

fn read<T>(
    rows: &[QueryResult],
    of: impl Fn(&QueryResult) -> Result<T, sea_orm::DbErr>,
) -> Result<Vec<T>, sea_orm::DbErr> {
    rows.iter().map(of).collect()
}

fn right(row: &QueryResult) -> Result<Right, sea_orm::DbErr> {
    Ok(Right {
        role: row.try_get("", "role")?,
        privilege: row.try_get("", "privilege")?,
        grantable: row.try_get("", "grantable")?,
    })
}

fn setting(row: &QueryResult) -> Result<Setting, sea_orm::DbErr> {
    Ok(Setting {
        role: row.try_get("", "role")?,
        name: row.try_get("", "name")?,
        value: row.try_get("", "value")?,
    })
}

/// A text in SQL. A backslash is one whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!(" E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            owner: "app".into(),
            connection_limit: -1,
            comment: None,
            rights: Some(vec![Right {
                role: None,
                privilege: "CONNECT".into(),
                grantable: false,
            }]),
            settings: Vec::new(),
        }
    }

    #[test]
    fn rights_are_taken_before_they_are_given() {
        assert_eq!(
            given().rights("a\"b"),
            [
                "REVOKE ALL ON DATABASE \"a\"\"b\" FROM PUBLIC, \"app\"",
                "GRANT CONNECT ON DATABASE \"a\"\"b\" TO PUBLIC"
            ]
        );
    }

    #[test]
    fn values_are_quoted_and_lists_are_not_one_name() {
        let setting = |name: &str, value: &str| Setting {
            role: None,
            name: name.into(),
            value: value.into(),
        };
        assert_eq!(
            setting("app.key", "it's \\").statements("\"d\""),
            ["ALTER DATABASE \"d\" SET \"app.key\" TO  E'it''s \\\\'"]
        );
        let path = setting("search_path", "\"$user\", public").statements("\"d\"");
        assert_eq!(
            path[1],
            "ALTER DATABASE \"d\" SET \"search_path\" FROM CURRENT"
        );
    }
}

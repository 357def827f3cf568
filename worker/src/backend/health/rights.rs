//! What the role may do.

use sea_orm::FromQueryResult;

use super::super::Database;
use super::texts;
use crate::error::Result;

/// A right that the role lacks.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Lacking {
    /// `SELECT`, `INSERT`, `UPDATE`.
    pub privilege: String,
    /// The table.
    pub table: String,
    /// The columns, quoted, with commas; none: all of the table.
    pub columns: Option<String>,
}

/// A column that is empty stands for all columns of its table.
const LACKING: &str = r#"SELECT n."privilege", n."table",
        string_agg(quote_ident(n."column"), ', ' ORDER BY n."column") FILTER (WHERE n."column" <> '') AS "columns"
    FROM unnest($1, $2, $3) n ("privilege", "table", "column")
    JOIN pg_class c ON c.oid = to_regclass(quote_ident(n."table"))
    LEFT JOIN pg_attribute w ON w.attrelid = c.oid AND w.attname = n."column" AND w.attnum > 0 AND NOT w.attisdropped
    WHERE NOT has_table_privilege(c.oid, n."privilege") AND CASE
        WHEN n."column" <> '' THEN NOT has_column_privilege(c.oid, w.attnum, n."privilege")
        ELSE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT has_column_privilege(c.oid, a.attnum, n."privilege")) END
    GROUP BY 1, 2, n."column" = '' ORDER BY 2, 1"#;

/// Tables of which a policy of row-level security hides rows from the role.
const HIDDEN: &str = r#"SELECT t AS "name" FROM unnest($1) t JOIN pg_class c ON c.oid = to_regclass(quote_ident(t))
    WHERE c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1"#;

/// Whether the role may make tables, and in which schema.
const MAY_CREATE: &str = r#"SELECT CAST(current_schema() AS TEXT) AS "name",
        COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS "may""#;

/// Whose a table is.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Owner {
    /// The table.
    pub name: String,
    /// Whether the role is its owner, or a member of that.
    pub may: bool,
    /// Its owner.
    pub owner: String,
}

const OWNERS: &str = r#"SELECT t AS "name", pg_has_role(c.relowner, 'USAGE') AS "may",
        CAST(pg_get_userbyid(c.relowner) AS TEXT) AS "owner"
    FROM unnest($1) t JOIN pg_class c ON c.oid = to_regclass(quote_ident(t)) ORDER BY 1"#;

/// Each is for PostgreSQL alone.
impl Database {
    /// Which of these rights the role lacks: a privilege, a table, and a column, or nothing for all columns. What is not
    /// there is left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn lacking(&self, rights: &[(String, String, String)]) -> Result<Vec<Lacking>> {
        let column = |of: fn(&(String, String, String)) -> &String| {
            texts(
                &rights
                    .iter()
                    .map(|right| of(right).clone())
                    .collect::<Vec<_>>(),
            )
        };
        let values = [
            column(|right| &right.0),
            column(|right| &right.1),
            column(|right| &right.2),
        ];
        self.every(LACKING, values, "looking at the role's rights")
            .await
    }

    /// Those of these tables of which a policy hides rows from the role.
    ///
    /// # Errors
    /// The database's.
    pub async fn hidden(&self, tables: &[String]) -> Result<Vec<String>> {
        self.names(HIDDEN, tables, "looking for policies that hide rows")
            .await
    }

    /// Whether the role may make tables: the schema, and whether it may.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_create(&self) -> Result<(Option<String>, bool)> {
        #[derive(FromQueryResult)]
        struct May {
            name: Option<String>,
            may: bool,
        }
        let doing = "looking at the role's rights to the schema";
        let may: Option<May> = self.first(MAY_CREATE, [], doing).await?;
        Ok(may.map_or((None, false), |may| (may.name, may.may)))
    }

    /// Whose these tables are; one that is not there is left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn owners(&self, tables: &[String]) -> Result<Vec<Owner>> {
        let doing = "looking whose the tables are";
        self.every(OWNERS, [texts(tables)], doing).await
    }
}

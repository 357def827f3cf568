//! The few places where the two databases' SQL differs.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};

use super::{postgres, quote, sqlite, statement};

/// The few differences between the two databases' SQL. Placeholders are `$1`, `$2`, … on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// Which one a connection speaks.
    pub fn of(connection: &impl ConnectionTrait) -> Self {
        match connection.get_database_backend() {
            DbBackend::Sqlite => Self::Sqlite,
            _ => Self::Postgres,
        }
    }

    /// A condition that holds where `expression` is one of the texts bound by [`Dialect::texts`].
    #[must_use]
    pub fn is_any(self, expression: &str, placeholder: &str) -> String {
        match self {
            Self::Postgres => format!("{expression} = ANY({placeholder})"),
            Self::Sqlite => {
                format!("{expression} IN (SELECT \"value\" FROM json_each({placeholder}))")
            }
        }
    }

    /// A query for those of the texts bound by [`Dialect::texts`] that are in a table's column `key`, which has an index.
    /// Where a good part of the table is asked for, PostgreSQL would read all of it each time, which is worse as it
    /// grows: it is made to look up each.
    #[must_use]
    pub fn lookup(self, table: &str, key: &str, placeholder: &str) -> String {
        match self {
            Self::Postgres => format!(
                "SELECT \"found\".\"key\" FROM UNNEST({placeholder}) AS \"asked\" (\"key\") CROSS JOIN LATERAL \
                 (SELECT {key} AS \"key\" FROM {table} WHERE {key} = \"asked\".\"key\" LIMIT 1) AS \"found\""
            ),
            Self::Sqlite => {
                let condition = self.is_any(key, placeholder);
                format!("SELECT {key} AS \"key\" FROM {table} WHERE {condition}")
            }
        }
    }

    /// A text in the order of its bytes, whatever the database's collation is.
    #[must_use]
    pub fn by_bytes(self, expression: &str) -> String {
        match self {
            Self::Postgres => format!("{expression} COLLATE \"C\""),
            Self::Sqlite => format!("{expression} COLLATE BINARY"),
        }
    }

    /// Whether bytes hold other bytes.
    #[must_use]
    pub fn hold(self, bytes: &str, others: &str) -> String {
        match self {
            Self::Postgres => format!("position({others} IN {bytes}) > 0"),
            Self::Sqlite => format!("instr({bytes}, {others}) > 0"),
        }
    }

    /// Any number of texts as one bound value.
    #[must_use]
    pub fn texts(self, texts: &[&str]) -> Value {
        match self {
            Self::Postgres => texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
                .into(),
            Self::Sqlite => serde_json::json!(texts).to_string().into(),
        }
    }

    /// Whether a row of a table was written by the transaction that asks. On SQLite nothing puts rows into another table than
    /// the one that was named and still shows them there.
    #[must_use]
    pub fn is_of_this_transaction(self, table: &str) -> String {
        match self {
            Self::Postgres => {
                format!("CAST({table}.xmin AS TEXT) = CAST(txid_current() % 4294967296 AS TEXT)")
            }
            Self::Sqlite => "FALSE".into(),
        }
    }

    /// The suffix that locks the rows of a SELECT against everything, also against rows that would refer to them: for
    /// rows to be deleted. SQLite has one writer and needs none.
    #[must_use]
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Postgres => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// The same for rows of which the key stays: others may go on to refer to them.
    #[must_use]
    pub fn for_no_key_update(self) -> &'static str {
        match self {
            Self::Postgres => " FOR NO KEY UPDATE",
            Self::Sqlite => "",
        }
    }

    /// The database's clock, milliseconds since 1970.
    #[must_use]
    pub fn now(self) -> &'static str {
        match self {
            Self::Postgres => postgres::NOW,
            Self::Sqlite => sqlite::NOW,
        }
    }

    /// An expression for an instant's milliseconds since 1970; NULL where it is none (infinite, or not a time).
    #[must_use]
    pub fn millis(self, column: &str) -> String {
        match self {
            Self::Postgres => postgres::millis(column),
            Self::Sqlite => sqlite::millis(column),
        }
    }

    /// An expression for a whole number that a JSON text has as this member; 0 where it has none.
    #[must_use]
    pub fn member(self, text: &str, name: &str) -> String {
        match self {
            Self::Postgres => {
                format!("COALESCE(CAST(CAST({text} AS JSON) ->> '{name}' AS BIGINT), 0)")
            }
            Self::Sqlite => format!("COALESCE(json_extract({text}, '$.{name}'), 0)"),
        }
    }

    /// The members of an object that a JSON text has as a member, as rows of `key` and `value`.
    #[must_use]
    pub fn members(self, text: &str, name: &str) -> String {
        match self {
            Self::Postgres => format!("LATERAL json_each_text(CAST({text} AS JSON) -> '{name}')"),
            Self::Sqlite => format!("json_each({text}, '$.{name}')"),
        }
    }

    /// An expression for a column of type JSON as text.
    #[must_use]
    pub fn as_text(self, expression: &str) -> String {
        format!("CAST({expression} AS TEXT)")
    }

    /// An expression for a double as a text that is read back as the same double: SQLite's own cast has 15 digits.
    #[must_use]
    pub fn double_as_text(self, column: &str) -> String {
        match self {
            Self::Postgres => self.as_text(column),
            Self::Sqlite => format!(
                "CASE typeof({column}) WHEN 'real' THEN quote({column}) ELSE CAST({column} AS TEXT) END"
            ),
        }
    }

    /// An expression for a text as a value of a column's type. SQLite's columns convert what they are given.
    #[must_use]
    pub fn cast(self, expression: &str, sql_type: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({expression} AS {sql_type})"),
            Self::Sqlite => expression.to_owned(),
        }
    }

    /// An expression for the length of a text in bytes; the text itself is not read for it.
    #[must_use]
    pub fn bytes(self, expression: &str) -> String {
        match self {
            Self::Postgres => format!("CAST(octet_length({expression}) AS BIGINT)"),
            Self::Sqlite => format!("octet_length({expression})"),
        }
    }

    /// An expression for the bytes that a text brings: none where it is NULL, or over `max` and left where it is.
    #[must_use]
    pub fn weight(self, expression: &str, max: usize) -> String {
        let bytes = self.bytes(expression);
        format!("CASE WHEN {bytes} <= {max} THEN {bytes} ELSE 0 END")
    }

    /// An expression for the bytes that a column takes on disk, none where it is NULL; the value itself is not read for
    /// it. What PostgreSQL compresses is larger in memory.
    #[must_use]
    pub fn stored(self, column: &str) -> String {
        match self {
            Self::Postgres => {
                format!("CAST(COALESCE(pg_column_size({column}), 0) AS BIGINT)")
            }
            Self::Sqlite => format!("COALESCE(octet_length({column}), 0)"),
        }
    }

    /// An expression for a column as a double; NULL where it holds no number, as SQLite lets it.
    #[must_use]
    pub fn double(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({column} AS DOUBLE PRECISION)"),
            Self::Sqlite => {
                format!(
                    "CASE WHEN typeof({column}) IN ('real', 'integer') THEN CAST({column} AS REAL) END"
                )
            }
        }
    }

    /// A condition that holds where a column of numbers holds a number or NULL: SQLite lets it hold anything.
    #[must_use]
    pub fn is_number(self, column: &str) -> String {
        match self {
            Self::Postgres => "TRUE".into(),
            Self::Sqlite => format!("typeof({column}) IN ('real', 'integer', 'null')"),
        }
    }

    /// A JSON document of a text column in which a top-level key that stands twice has its last value alone. The
    /// document must be valid. JSONB is like that by itself.
    #[must_use]
    pub fn last_of_each_key(self, document: &str, key: &str) -> String {
        match self {
            Self::Postgres => document.to_owned(),
            Self::Sqlite => sqlite::last_of_each_key(document, key),
        }
    }

    /// A condition that holds where an integer column holds an integer or NULL: SQLite lets it hold anything.
    #[must_use]
    pub fn is_integer(self, column: &str) -> String {
        match self {
            Self::Postgres => "TRUE".into(),
            Self::Sqlite => format!("typeof({column}) IN ('integer', 'null')"),
        }
    }

    /// An expression that pictures a row's columns: what [`Dialect::digest`] reads a digest from.
    #[must_use]
    pub fn image(self, table: &str, columns: &[String]) -> String {
        let columns: Vec<_> = columns
            .iter()
            .map(|column| format!("{}.{}", quote(table), quote(column)))
            .collect();
        match self {
            Self::Postgres => postgres::image(&columns),
            Self::Sqlite => sqlite::image(&columns),
        }
    }

    /// A row's digest, from the column that holds its [`Dialect::image`].
    ///
    /// # Errors
    /// The column is missing or of another type.
    pub fn digest(self, row: &QueryResult, column: &str) -> Result<u64, DbErr> {
        match self {
            Self::Postgres => Ok(row.try_get::<i64>("", column)?.cast_unsigned()),
            Self::Sqlite => Ok(sqlite::digest(&row.try_get::<String>("", column)?)),
        }
    }

    /// Checks deferred constraints with each statement, until the transaction ends: so that the row is found that breaks
    /// one. SQLite has no such statement.
    #[must_use]
    pub fn check_at_once(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("SET CONSTRAINTS ALL IMMEDIATE"),
            Self::Sqlite => None,
        }
    }

    /// Takes the lock under which a run starts and a schema changes, until the transaction ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        if self == Self::Postgres {
            let lock = statement(transaction, postgres::LOCK, []);
            transaction.execute_raw(lock).await?;
        }
        Ok(())
    }
}

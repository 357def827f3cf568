//! A schema as data: tables with their columns, keys and indexes. Read from the very statements that make it, so that it is
//! written once.

mod parse;
mod reader;
mod tokens;

use crate::backend::Dialect;
use crate::error::{Error, Result};

/// A schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Its tables, in the order in which they are made.
    pub tables: Vec<Table>,
    /// The triggers that it makes: the table and the name of each.
    pub triggers: Vec<(String, String)>,
    /// The functions that it makes.
    pub functions: Vec<String>,
}

/// A table, or what a schema adds to one of somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Whether the schema makes it; otherwise it is the application's, and gets columns or indexes.
    pub is_made: bool,
    /// Its columns in their order.
    pub columns: Vec<Column>,
    /// The columns of its primary key, in their order.
    pub primary_key: Vec<String>,
    /// Its unique constraints.
    pub uniques: Vec<Unique>,
    /// Its foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Its indexes, without those of its keys.
    pub indexes: Vec<Index>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database names it, in lower case.
    pub kind: String,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The expression of its default.
    pub default: Option<String>,
    /// Whether the database counts it up by itself.
    pub is_identity: bool,
}

/// A unique constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its columns in their order.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table that they refer to.
    pub table: String,
    /// The columns there.
    pub to: Vec<String>,
    /// What a deletion there does: `CASCADE`, `RESTRICT`, `SET NULL`, `SET DEFAULT` or `NO ACTION`.
    pub on_delete: String,
    /// What a change of the key there does.
    pub on_update: String,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its columns in their order; a descending one ends with ` DESC`.
    pub columns: Vec<String>,
    /// Whether it is unique.
    pub is_unique: bool,
    /// The condition of the rows that are in it.
    pub predicate: Option<String>,
}

impl Schema {
    /// The schema that a script makes: `CREATE TABLE`, `ALTER TABLE … ADD COLUMN`, `CREATE INDEX`, and triggers with their
    /// functions, with every name in quotes.
    ///
    /// # Errors
    /// [`Error::Usage`]: it holds a statement of another kind.
    pub fn of_script(dialect: Dialect, script: &str) -> Result<Self> {
        let mut schema = Self::default();
        schema.add(dialect, script)?;
        Ok(schema)
    }

    /// What all schema changes make together.
    ///
    /// # Errors
    /// As [`Schema::of_script`].
    pub fn expected(dialect: Dialect) -> Result<Self> {
        let mut schema = Self::default();
        for change in migration::sql() {
            for statement in change.statements(dialect == Dialect::Sqlite) {
                schema.add(dialect, statement)?;
            }
        }
        Ok(schema)
    }

    /// A table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Its tables, to which it adds or refers, and which are somebody else's, in order.
    #[must_use]
    pub fn others(&self) -> Vec<&str> {
        let added = self.tables.iter().filter(|table| !table.is_made);
        let added = added.map(|table| table.name.as_str());
        let keys = self.tables.iter().flat_map(|table| &table.foreign_keys);
        let referred = keys.map(|key| key.table.as_str());
        let is_ours = |name: &&str| self.table(name).is_some_and(|table| table.is_made);
        let mut others: Vec<_> = added
            .chain(referred)
            .filter(|name| !is_ours(name))
            .collect();
        others.sort_unstable();
        others.dedup();
        others
    }

    fn add(&mut self, dialect: Dialect, script: &str) -> Result<()> {
        for statement in tokens::statements(script)? {
            let added = parse::statement(dialect, &statement, self);
            added.map_err(|why| {
                let text: Vec<_> = statement.iter().map(|(_, text)| *text).collect();
                let text: String = text.join(" ").chars().take(120).collect();
                Error::Usage(format!(
                    "a statement of the plan's schema cannot be read ({why}): {text}"
                ))
            })?;
        }
        Ok(())
    }

    /// A table to add to, whoever makes it.
    fn table_mut(&mut self, name: &str) -> &mut Table {
        let place = self.tables.iter().position(|table| table.name == name);
        let place = place.unwrap_or_else(|| {
            self.tables.push(Table {
                name: name.to_owned(),
                ..Table::default()
            });
            self.tables.len() - 1
        });
        &mut self.tables[place]
    }
}

impl Table {
    /// A column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing of any change is passed over: each statement leaves a trace of its own.
    #[test]
    fn every_statement_of_every_change_is_accounted_for() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let mut schema = Schema::default();
            for change in migration::sql() {
                for statement in change.statements(dialect == Dialect::Sqlite) {
                    let before = schema.clone();
                    schema.add(dialect, statement).expect("it is read");
                    let is_mode = statement.contains("ENABLE ALWAYS");
                    assert!(is_mode || schema != before, "{statement}");
                }
            }
            assert_eq!(schema, Schema::expected(dialect).expect("it is read"));
            let guards: &[migration::guards::Guard] = match dialect {
                Dialect::Postgres => &migration::guards::POSTGRES_GUARDS,
                Dialect::Sqlite => &migration::guards::SQLITE_GUARDS,
            };
            let guards = guards
                .iter()
                .map(|guard| (guard.table.to_owned(), guard.name.to_owned()));
            assert_eq!(schema.triggers, guards.collect::<Vec<_>>());
            assert_eq!(schema.others(), ["Campaign"]);
        }
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        for script in [
            "DROP TABLE \"a\"",
            "CREATE TABLE \"a\" (\"b\" TEXT CHECK (\"b\" <> ''))",
            "CREATE TABLE \"a\" (\"b\" TEXT) PARTITION BY LIST (\"b\")",
            "ALTER TABLE \"a\" DROP COLUMN \"b\"",
            "CREATE INDEX \"i\" ON \"a\" USING gin (\"b\")",
            "CREATE INDEX \"i\" ON \"a\" (lower(\"b\"))",
            "SELECT 1",
        ] {
            let error = Schema::of_script(Dialect::Postgres, script).expect_err(script);
            assert!(error.to_string().contains("cannot be read"), "{error}");
        }
    }

    #[test]
    fn a_table_is_read_to_its_last_word() {
        let script = "CREATE TABLE \"a\" (\"id\" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
             \"b\" DECIMAL(10,6) NOT NULL DEFAULT 0 REFERENCES \"c\"(\"d\") ON DELETE SET NULL, \
             \"at\" TIMESTAMP(3) DEFAULT (now()), CONSTRAINT \"u\" UNIQUE (\"b\", \"at\")) WITH (fillfactor = 50); \
             CREATE UNIQUE INDEX IF NOT EXISTS \"i\" ON \"a\" (\"b\" DESC, \"at\") WHERE \"b\" IS NOT NULL;";
        let schema = Schema::of_script(Dialect::Postgres, script).expect("it is read");
        let table = schema.table("a").expect("it is made");
        let kinds: Vec<_> = table
            .columns
            .iter()
            .map(|column| column.kind.as_str())
            .collect();
        assert_eq!(
            kinds,
            ["bigint", "numeric(10,6)", "timestamp(3) without time zone"]
        );
        assert!(table.columns[0].is_identity && table.columns[0].not_null);
        assert_eq!(table.columns[1].default.as_deref(), Some("0"));
        assert_eq!(table.columns[2].default.as_deref(), Some("now()"));
        assert_eq!(table.foreign_keys[0].on_delete, "SET NULL");
        assert_eq!(table.foreign_keys[0].on_update, "NO ACTION");
        assert_eq!(table.uniques[0].columns, ["b", "at"]);
        let index = &table.indexes[0];
        assert_eq!(index.columns, ["b DESC", "at"]);
        assert_eq!(index.predicate.as_deref(), Some("\"b\" IS NOT NULL"));
        assert!(index.is_unique);
    }
}

//! The statements that the release before sends to its tables, with made-up rows; pure.

use std::collections::BTreeSet;

use crate::backend::quote;
use crate::schema::{Column, Schema, Table};

/// A statement to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What it does: `update Campaign`.
    pub(super) name: String,
    /// The statement.
    pub(super) sql: String,
    /// How many rows it must answer with.
    pub(super) rows: usize,
    /// The row that it makes.
    pub(super) makes: Option<Row>,
    /// The rows without which it says nothing.
    pub(super) needs: Vec<Row>,
}

/// One of the two rows that are made in each table: the whole one, or the one of required columns alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) table: String,
    pub(super) is_whole: bool,
}

/// All statements in their order. `seed` tells the made-up keys from any that are there; `there` are the tables that
/// exist. `now` are the tables of the release after, some of which refer to the old ones.
pub(super) fn steps(old: &Schema, now: &Schema, there: &BTreeSet<String>, seed: &str) -> Vec<Step> {
    let old: Vec<_> = existing(old, there).collect();
    let new: Vec<_> = existing(now, there)
        .filter(|table| table.is_made && refers(table, &old))
        .collect();
    let maker = Maker { seed, old: &old };
    let mut steps = Vec::new();
    for table in &old {
        steps.push(maker.create(table, true, format!("create {}", table.name)));
        let name = format!("create {} with its required columns alone", table.name);
        steps.push(maker.create(table, false, name));
        steps.push(maker.find(table));
        steps.extend(maker.find_by_parent(table));
        steps.push(maker.update(table));
    }
    for table in &new {
        let name = format!("create {}, as the release after does", table.name);
        steps.push(maker.create(table, false, name));
    }
    for table in old.iter().rev() {
        steps.push(maker.delete(table, false, format!("delete {}", table.name)));
    }
    // What hangs on a row without going with it goes first.
    for table in old
        .iter()
        .rev()
        .filter(|table| !table.foreign_keys.is_empty() && !cascades(table))
    {
        let name = format!("delete {}, the whole row", table.name);
        steps.push(maker.delete(table, true, name));
    }
    for table in old.iter().filter(|table| table.foreign_keys.is_empty()) {
        let name = format!("delete {} and what hangs on it", table.name);
        steps.push(maker.delete(table, true, name));
    }
    let hanging = old.iter().map(|table| (table, true));
    let hanging = hanging.chain(new.iter().map(|table| (table, false)));
    for (table, is_whole) in hanging.filter(|(table, _)| cascades(table)) {
        steps.push(maker.gone(table, is_whole));
    }
    steps
}

fn existing<'a>(
    schema: &'a Schema,
    there: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a Table> {
    let tables = schema.tables.iter();
    // Rows are told by one key.
    tables.filter(|table| there.contains(&table.name) && table.primary_key.len() == 1)
}

fn refers(table: &Table, old: &[&Table]) -> bool {
    let mut keys = table.foreign_keys.iter();
    keys.any(|key| old.iter().any(|other| other.name == key.table))
}

/// Whether its row goes with the one that it refers to.
fn cascades(table: &Table) -> bool {
    let mut keys = table.foreign_keys.iter();
    keys.any(|key| key.on_delete == "CASCADE")
}

/// Makes rows up.
struct Maker<'a> {
    seed: &'a str,
    old: &'a [&'a Table],
}

impl Maker<'_> {
    fn create(&self, table: &Table, is_whole: bool, name: String) -> Step {
        let columns = table.columns.iter().filter(|column| {
            let is_required = column.not_null && column.default.is_none();
            (is_whole || is_required || is_key(table, column)) && !column.is_identity
        });
        let columns: Vec<_> = columns.collect();
        let values: Vec<_> = columns
            .iter()
            .map(|column| self.value(table, column, is_whole))
            .collect();
        let parents = table.foreign_keys.iter().filter(|key| {
            let mut names = columns.iter();
            names.any(|column| key.columns.contains(&column.name)) && self.is_old(&key.table)
        });
        Step {
            name,
            sql: format!(
                "INSERT INTO {} ({}) VALUES ({}) RETURNING {}",
                quote(&table.name),
                list(columns.iter().map(|column| column.name.as_str())),
                values.join(", "),
                list(table.columns.iter().map(|column| column.name.as_str()))
            ),
            rows: 1,
            makes: Some(row(table, is_whole)),
            needs: parents.map(|key| whole(&key.table)).collect(),
        }
    }

    fn find(&self, table: &Table) -> Step {
        Step {
            name: format!("find {}", table.name),
            sql: format!("{} WHERE {}", select(table), self.is_row(table, true)),
            rows: 1,
            makes: None,
            needs: vec![row(table, true)],
        }
    }

    fn find_by_parent(&self, table: &Table) -> Vec<Step> {
        let keys = table.foreign_keys.iter();
        let keys = keys.filter(|key| key.columns.len() == 1 && self.is_old(&key.table));
        keys.map(|key| {
            let column = &key.columns[0];
            let required = table.column(column).is_some_and(|column| column.not_null);
            let name = quote(column);
            let mut needs = vec![row(table, true)];
            if required {
                needs.push(row(table, false));
            }
            Step {
                name: format!("find {} by {column}", table.name),
                sql: format!(
                    "{} WHERE {name} IN ({}) ORDER BY {} ASC",
                    select(table),
                    self.key_of(&key.table),
                    quote(&table.primary_key[0])
                ),
                rows: if required { 2 } else { 1 },
                makes: None,
                needs,
            }
        })
        .collect()
    }

    fn update(&self, table: &Table) -> Step {
        let columns = table
            .columns
            .iter()
            .filter(|column| !is_key(table, column) && !column.is_identity);
        let sets: Vec<_> = columns
            .map(|column| {
                format!(
                    "{} = {}",
                    quote(&column.name),
                    self.value(table, column, true)
                )
            })
            .collect();
        Step {
            name: format!("update {}", table.name),
            sql: format!(
                "UPDATE {} SET {} WHERE {} RETURNING {}",
                quote(&table.name),
                sets.join(", "),
                self.is_row(table, true),
                list(table.columns.iter().map(|column| column.name.as_str()))
            ),
            rows: 1,
            makes: None,
            needs: vec![row(table, true)],
        }
    }

    fn delete(&self, table: &Table, is_whole: bool, name: String) -> Step {
        let is_row = self.is_row(table, is_whole);
        let (from, key) = (quote(&table.name), quote(&table.primary_key[0]));
        Step {
            name,
            sql: format!("DELETE FROM {from} WHERE {is_row} RETURNING {key}"),
            rows: 1,
            makes: None,
            needs: vec![row(table, is_whole)],
        }
    }

    fn gone(&self, table: &Table, is_whole: bool) -> Step {
        let parents = table.foreign_keys.iter().map(|key| key.table.as_str());
        let parents: Vec<_> = parents.filter(|name| self.is_old(name)).collect();
        let mut needs = vec![row(table, is_whole)];
        needs.extend(parents.iter().map(|name| whole(name)));
        Step {
            name: format!("{} is gone with its {}", table.name, parents.join(", ")),
            sql: format!("{} WHERE {}", select(table), self.is_row(table, is_whole)),
            rows: 0,
            makes: None,
            needs,
        }
    }

    fn is_old(&self, name: &str) -> bool {
        self.old.iter().any(|table| table.name == name)
    }

    fn is_row(&self, table: &Table, is_whole: bool) -> String {
        let key = &table.primary_key[0];
        let value = table
            .column(key)
            .map(|column| self.value(table, column, is_whole));
        format!("{} = {}", quote(key), value.unwrap_or_default())
    }

    /// The key of the whole row of a table.
    fn key_of(&self, name: &str) -> String {
        let table = self.old.iter().find(|table| table.name == name);
        let column = table.and_then(|table| Some((table, table.column(&table.primary_key[0])?)));
        column.map_or("NULL".into(), |(table, column)| {
            self.value(table, column, true)
        })
    }

    /// A value for a column, as SQL: a plausible one, so that what the application checks lets it through.
    fn value(&self, table: &Table, column: &Column, is_whole: bool) -> String {
        let mut keys = table.foreign_keys.iter();
        if let Some(key) = keys.find(|key| key.columns == [column.name.as_str()]) {
            return self.key_of(&key.table);
        }
        let unique = [
            self.seed,
            &table.name,
            &column.name,
            if is_whole { "1" } else { "2" },
        ];
        let text = unique.join("-");
        if !is_key(table, column)
            && let Some(default) = &column.default
            && (default.starts_with('\'') || default.parse::<f64>().is_ok())
        {
            return default.clone();
        }
        let hash = blake3::hash(text.as_bytes());
        let is_number = ["int", "numeric", "double", "real", "decimal"]
            .iter()
            .any(|kind| column.kind.contains(kind));
        // On SQLite instants and documents are texts; only their names tell.
        let is_time = column.kind.starts_with("timestamp") || column.name.ends_with("At");
        if is_number && is_key(table, column) {
            let bytes = hash.as_bytes();
            let number = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3] | 0x80]);
            return number.to_string();
        }
        if column.kind == "uuid" {
            let hex = hash.to_hex();
            return format!("'{}'", &hex[..32]);
        }
        if is_number {
            return "1".into();
        }
        if is_time {
            return "'2000-01-01 00:00:00.000'".into();
        }
        match column.kind.as_str() {
            "json" | "jsonb" => "'{}'".into(),
            "boolean" => "false".into(),
            "bytea" | "blob" => "''".into(),
            _ => format!("'{text}'"),
        }
    }
}

fn is_key(table: &Table, column: &Column) -> bool {
    table.primary_key.contains(&column.name)
}

fn row(table: &Table, is_whole: bool) -> Row {
    Row {
        table: table.name.clone(),
        is_whole,
    }
}

fn whole(name: &str) -> Row {
    Row {
        table: name.to_owned(),
        is_whole: true,
    }
}

/// A client names every column that it knows.
fn select(table: &Table) -> String {
    format!(
        "SELECT {} FROM {}",
        list(table.columns.iter().map(|column| column.name.as_str())),
        quote(&table.name)
    )
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quote).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Dialect;
    use crate::units;

    fn steps_where(is_there: fn(&str) -> bool) -> Vec<Step> {
        let before = units::release_before(Dialect::Postgres);
        let old = Schema::of_script(Dialect::Postgres, before).expect("it is read");
        let now = Schema::expected(Dialect::Postgres).expect("it is read");
        let there = old
            .tables
            .iter()
            .chain(&now.tables)
            .map(|table| table.name.clone());
        let there = there.filter(|name| is_there(name)).collect();
        steps(&old, &now, &there, "compat")
    }

    /// Every table and every column of the release before is written, read, changed and deleted.
    #[test]
    fn nothing_of_the_release_before_is_left_out() {
        let steps = steps_where(|_| true);
        let before = units::release_before(Dialect::Postgres);
        let old = Schema::of_script(Dialect::Postgres, before).expect("it is read");
        assert_eq!(old.tables.len(), 7);
        for table in &old.tables {
            for verb in ["create", "find", "update"] {
                let name = format!("{verb} {}", table.name);
                let step = steps.iter().find(|step| step.name == name).expect(&name);
                for column in &table.columns {
                    assert!(step.sql.contains(&quote(&column.name)), "{}", step.sql);
                }
            }
            assert!(
                steps
                    .iter()
                    .any(|step| step.name == format!("delete {}", table.name))
            );
        }
        let gone = steps
            .iter()
            .filter(|step| step.name.contains("is gone with"));
        assert_eq!(gone.count(), 4);
        let new = steps
            .iter()
            .filter(|step| step.name.contains("release after"));
        assert_eq!(new.count(), 1);
    }

    /// No statement of the release before knows anything of the new schema.
    #[test]
    fn it_knows_no_new_column() {
        let steps = steps_where(|name| name != "PromptPerformance");
        assert!(steps.iter().all(|step| !step.sql.contains("\"prompt\"")));
    }

    #[test]
    fn missing_tables_are_left_out_with_what_refers_to_them() {
        let steps = steps_where(|name| name == "Campaign" || name == "PublishJob");
        assert!(!steps.iter().any(|step| step.sql.contains("\"Asset\"")));
    }
}

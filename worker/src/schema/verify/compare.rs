//! A table that stands against the one that was expected; pure.

use super::super::{Column, ForeignKey, Table};
use super::live::Live;
use super::{Verification, indexes};
use crate::backend::{Dialect, quote};
use crate::core::event::DeferredIndex;

/// Compares a table, and adds what differs and what is worth a note.
pub(super) fn table(
    verification: &mut Verification,
    dialect: Dialect,
    expected: &Table,
    deferred: &[DeferredIndex],
    live: Option<&Live>,
) {
    verification.tables += 1;
    let name = &expected.name;
    let Some(live) = live else {
        let remedy = match expected.is_made {
            true => {
                "run `cli schema up`, or, where it is on record as applied, its statement in `cli schema sql`"
            }
            false => "check that the URL names the application's database",
        };
        verification.differ(name, "a table", "none", remedy.into());
        return;
    };
    for column in &expected.columns {
        verification.columns += 1;
        compare_column(
            verification,
            dialect,
            name,
            column,
            live.table.column(&column.name),
        );
    }
    if expected.is_made {
        compare_key(verification, dialect, expected, live);
        note_columns(verification, expected, live);
    }
    compare_uniques(verification, expected, live);
    compare_foreign_keys(verification, dialect, expected, live);
    indexes::compare(verification, dialect, expected, deferred, live);
}

fn compare_column(
    verification: &mut Verification,
    dialect: Dialect,
    table: &str,
    expected: &Column,
    live: Option<&Column>,
) {
    let what = format!("{table}.{}", expected.name);
    let place = format!("ALTER TABLE {}", quote(table));
    let column = quote(&expected.name);
    let Some(live) = live else {
        let remedy = format!("{place} ADD COLUMN {column} {}", definition(expected));
        return verification.differ(&what, &definition(expected), "no such column", remedy);
    };
    if is_same_column(expected, live) {
        return;
    }
    let mut changes = Vec::new();
    if expected.kind != live.kind {
        changes.push(format!("ALTER COLUMN {column} TYPE {}", expected.kind));
    }
    if expected.not_null != live.not_null {
        let verb = if expected.not_null { "SET" } else { "DROP" };
        changes.push(format!("ALTER COLUMN {column} {verb} NOT NULL"));
    }
    if normal(expected.default.as_deref()) != normal(live.default.as_deref()) {
        changes.push(match &expected.default {
            Some(default) => format!("ALTER COLUMN {column} SET DEFAULT {default}"),
            None => format!("ALTER COLUMN {column} DROP DEFAULT"),
        });
    }
    let remedy = match dialect {
        Dialect::Postgres if !changes.is_empty() => format!("{place} {}", changes.join(", ")),
        _ => "SQLite and identities cannot be altered: make the table anew as `cli schema sql` has it"
            .into(),
    };
    verification.differ(&what, &definition(expected), &definition(live), remedy);
}

fn is_same_column(expected: &Column, live: &Column) -> bool {
    expected.kind == live.kind
        && expected.not_null == live.not_null
        && expected.is_identity == live.is_identity
        && normal(expected.default.as_deref()) == normal(live.default.as_deref())
}

/// A column in the words of SQL.
fn definition(column: &Column) -> String {
    let mut words = column.kind.to_uppercase();
    if column.not_null {
        words.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        words.push_str(&format!(" DEFAULT {default}"));
    }
    if column.is_identity {
        words.push_str(" (counted up by the database)");
    }
    words
}

/// An expression as both databases and we ourselves would spell it: without casts, outer brackets, spaces and the quotes
/// that are optional.
pub(super) fn normal(expression: Option<&str>) -> Option<String> {
    let expression = expression?;
    let mut text = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once("::") {
        text.push_str(before);
        let is_of_type = |letter: char| letter.is_alphanumeric() || " _\"".contains(letter);
        rest = after.trim_start_matches(is_of_type);
    }
    text.push_str(rest);
    text.retain(|letter| !letter.is_whitespace() && letter != '"');
    while text.starts_with('(') && text.ends_with(')') {
        text = text[1..text.len() - 1].to_owned();
    }
    let unquoted = text.trim_matches('\'');
    if unquoted.parse::<f64>().is_ok() {
        text = unquoted.to_owned();
    }
    Some(match text.as_str() {
        "now()" => "CURRENT_TIMESTAMP".into(),
        "NULL" => return None,
        _ => text,
    })
}

/// What the application has added stays its own; but a column that must be filled refuses rows.
fn note_columns(verification: &mut Verification, expected: &Table, live: &Live) {
    let name = &expected.name;
    let extra = live.table.columns.iter();
    for column in extra.filter(|column| expected.column(&column.name).is_none()) {
        let what = format!("{name}.{}", column.name);
        if column.not_null && column.default.is_none() && !column.is_identity {
            let remedy = format!(
                "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT …: who does not know it cannot insert",
                quote(name),
                quote(&column.name)
            );
            let expected = "no column, or one that needs no value";
            verification.differ(&what, expected, &definition(column), remedy);
        } else {
            verification
                .notes
                .push(format!("{what} is there besides: {}", definition(column)));
        }
    }
}

fn compare_key(verification: &mut Verification, dialect: Dialect, expected: &Table, live: &Live) {
    verification.keys += 1;
    let (wanted, found) = (&expected.primary_key, &live.table.primary_key);
    if wanted != found {
        let found = match found.as_slice() {
            [] => "none".to_owned(),
            columns => columns.join(", "),
        };
        let columns: Vec<_> = wanted.iter().map(|column| quote(column)).collect();
        let remedy = match dialect {
            Dialect::Postgres => format!(
                "ALTER TABLE {} ADD PRIMARY KEY ({})",
                quote(&expected.name),
                columns.join(", ")
            ),
            Dialect::Sqlite => "make the table anew as `cli schema sql` has it".into(),
        };
        let what = format!("{}, its primary key", expected.name);
        verification.differ(&what, &wanted.join(", "), &found, remedy);
    }
}

fn compare_uniques(verification: &mut Verification, expected: &Table, live: &Live) {
    for unique in &expected.uniques {
        verification.keys += 1;
        let mut found = live.table.uniques.iter();
        if !found.any(|other| other.columns == unique.columns) {
            let columns: Vec<_> = unique.columns.iter().map(|column| quote(column)).collect();
            verification.differ(
                &format!("{}, a unique constraint", expected.name),
                &format!("({})", unique.columns.join(", ")),
                "none",
                format!(
                    "ALTER TABLE {} ADD UNIQUE ({})",
                    quote(&expected.name),
                    columns.join(", ")
                ),
            );
        }
    }
    let extra = live.table.uniques.iter();
    for unique in extra.filter(|unique| {
        expected.is_made
            && !expected
                .uniques
                .iter()
                .any(|other| other.columns == unique.columns)
    }) {
        verification.notes.push(format!(
            "{} has a unique constraint besides, on ({}): it may refuse rows",
            expected.name,
            unique.columns.join(", ")
        ));
    }
}

fn compare_foreign_keys(
    verification: &mut Verification,
    dialect: Dialect,
    expected: &Table,
    live: &Live,
) {
    let name = &expected.name;
    for key in &expected.foreign_keys {
        verification.keys += 1;
        let what = format!("{name}, its foreign key on {}", key.columns.join(", "));
        let add = || match dialect {
            Dialect::Postgres => format!("ALTER TABLE {} ADD {}", quote(name), clause(key)),
            Dialect::Sqlite => "make the table anew as `cli schema sql` has it".into(),
        };
        let mut found = live.table.foreign_keys.iter();
        match found.find(|other| other.columns == key.columns) {
            None => verification.differ(&what, &words(key), "none", add()),
            Some(other) if words(other) != words(key) => {
                let drop = other.name.as_ref().map_or(String::new(), |constraint| {
                    let (table, constraint) = (quote(name), quote(constraint));
                    format!("ALTER TABLE {table} DROP CONSTRAINT {constraint}; ")
                });
                verification.differ(
                    &what,
                    &words(key),
                    &words(other),
                    format!("{drop}{}", add()),
                );
            }
            Some(other) => {
                if let Some(unchecked) = other
                    .name
                    .as_ref()
                    .filter(|name| live.unchecked.contains(name))
                {
                    let remedy = format!(
                        "ALTER TABLE {} VALIDATE CONSTRAINT {}",
                        quote(name),
                        quote(unchecked)
                    );
                    verification.differ(
                        &what,
                        "one that all rows keep to",
                        "one that is NOT VALID",
                        remedy,
                    );
                }
            }
        }
    }
    let extra = live.table.foreign_keys.iter().filter(|key| {
        expected.is_made
            && !expected
                .foreign_keys
                .iter()
                .any(|other| other.columns == key.columns)
    });
    for key in extra {
        let columns = key.columns.join(", ");
        let note = format!(
            "{name} has a foreign key besides, on ({columns}), {}",
            words(key)
        );
        verification.notes.push(note);
    }
}

fn words(key: &ForeignKey) -> String {
    format!(
        "to {}({}) ON DELETE {} ON UPDATE {}",
        key.table,
        key.to.join(", "),
        key.on_delete,
        key.on_update
    )
}

fn clause(key: &ForeignKey) -> String {
    let list = |columns: &[String]| {
        let columns: Vec<_> = columns.iter().map(|column| quote(column)).collect();
        columns.join(", ")
    };
    let name = key
        .name
        .as_ref()
        .map_or(String::new(), |name| format!("CONSTRAINT {} ", quote(name)));
    format!(
        "{name}FOREIGN KEY ({}) REFERENCES {}({}) ON DELETE {} ON UPDATE {}",
        list(&key.columns),
        quote(&key.table),
        list(&key.to),
        key.on_delete,
        key.on_update
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_expression_may_be_spelled_in_many_ways() {
        for (ours, theirs) in [
            ("'info'", "'info'::text"),
            ("0", "'0'::double precision"),
            ("0", "(0)::double precision"),
            ("CURRENT_TIMESTAMP", "now()"),
            ("\"key\" IS NOT NULL", "(key IS NOT NULL)"),
            ("strftime('%f', 'now')", "strftime('%f','now')"),
        ] {
            assert_eq!(normal(Some(ours)), normal(Some(theirs)), "{ours}");
        }
        for (ours, theirs) in [("'info'", "'high'::text"), ("0", "1"), ("0", "NULL")] {
            assert_ne!(normal(Some(ours)), normal(Some(theirs)), "{ours}");
        }
        assert_eq!(normal(None), normal(Some("NULL::text")));
    }
}

//! A table's indexes against those that were expected; pure.

use super::super::{Index, Table};
use super::Verification;
use super::compare::normal;
use super::live::Live;
use crate::backend::{Dialect, quote};
use crate::core::event::DeferredIndex;

/// Compares a table's indexes, and adds what differs and what is worth a note.
pub(super) fn compare(
    verification: &mut Verification,
    dialect: Dialect,
    expected: &Table,
    deferred: &[DeferredIndex],
    live: &Live,
) {
    let name = &expected.name;
    let shape = |index: &Index| {
        let predicate = normal(index.predicate.as_deref());
        (index.columns.clone(), index.is_unique, predicate)
    };
    let mut taken = Vec::new();
    for index in &expected.indexes {
        let is_deferred = deferred.iter().any(|deferred| deferred.name == index.name);
        let is_whole = live
            .table
            .indexes
            .iter()
            .any(|other| other.name == index.name)
            && !live.invalid.contains(&index.name);
        if is_deferred && !is_whole {
            taken.push(index.name.clone());
            verification.notes.push(format!(
                "{name}, its index {}, was left out when the table was made: `worker run` builds it before its unit is \
                 complete",
                index.name
            ));
            continue;
        }
        verification.indexes += 1;
        let what = format!("{name}, its index {}", index.name);
        let make = statement(dialect, name, index);
        let again = format!("DROP INDEX {}; {make}", quote(&index.name));
        let same_name = live
            .table
            .indexes
            .iter()
            .find(|other| other.name == index.name);
        let same_shape = live
            .table
            .indexes
            .iter()
            .find(|other| shape(other) == shape(index));
        match (same_name, same_shape) {
            (Some(other), _) if shape(other) != shape(index) => {
                taken.push(other.name.clone());
                verification.differ(&what, &shown(index), &shown(other), again);
            }
            (Some(other), _) => {
                taken.push(other.name.clone());
                if live.invalid.contains(&other.name) {
                    let found = "one that is INVALID, as a build that failed leaves it";
                    verification.differ(&what, &shown(index), found, again);
                }
            }
            (None, Some(other)) => {
                taken.push(other.name.clone());
                let remedy = match dialect {
                    Dialect::Postgres => format!(
                        "ALTER INDEX {} RENAME TO {}",
                        quote(&other.name),
                        quote(&index.name)
                    ),
                    Dialect::Sqlite => format!("DROP INDEX {}; {make}", quote(&other.name)),
                };
                verification.differ(
                    &what,
                    &shown(index),
                    &format!("the same under the name {}", other.name),
                    remedy,
                );
            }
            (None, None) => verification.differ(&what, &shown(index), "none", make),
        }
    }
    let extra = live.table.indexes.iter();
    for index in extra.filter(|index| expected.is_made && !taken.contains(&index.name)) {
        let refuses = if index.is_unique {
            ": it may refuse rows"
        } else {
            ""
        };
        verification.notes.push(format!(
            "{name} has an index besides, {} on {}{refuses}",
            index.name,
            shown(index)
        ));
    }
}

fn shown(index: &Index) -> String {
    let unique = if index.is_unique { "unique " } else { "" };
    let predicate = index
        .predicate
        .as_ref()
        .map_or(String::new(), |predicate| format!(" WHERE {predicate}"));
    format!("{unique}({}){predicate}", index.columns.join(", "))
}

/// The statement that makes an index without keeping others from writing.
fn statement(dialect: Dialect, table: &str, index: &Index) -> String {
    let columns = index
        .columns
        .iter()
        .map(|column| match column.strip_suffix(" DESC") {
            Some(column) => format!("{} DESC", quote(column)),
            None => quote(column),
        });
    let unique = if index.is_unique { "UNIQUE " } else { "" };
    let beside = if dialect == Dialect::Postgres {
        "CONCURRENTLY "
    } else {
        ""
    };
    let predicate = index
        .predicate
        .as_ref()
        .map_or(String::new(), |predicate| format!(" WHERE {predicate}"));
    format!(
        "CREATE {unique}INDEX {beside}{} ON {} ({}){predicate}",
        quote(&index.name),
        quote(table),
        columns.collect::<Vec<_>>().join(", ")
    )
}

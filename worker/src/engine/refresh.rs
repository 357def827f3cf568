//! Rows that are computed from source rows which go on changing: catch-up passes bring those up to date that stand as the
//! run wrote them, and leave those alone that the application has changed since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Context;
use super::store::{CHANGED, PRESENT};
use crate::core::event::Event;
use crate::core::plan::{Definition, Write};
use crate::error::{Error, Result};
use crate::journal;
use crate::projection;
use crate::proof::{DELETED, Prover, Verdict};
use crate::unit::{Item, Page, Row, Unit};
use crate::write;

/// The reason for a skip: in a table with triggers or rules nobody can tell whether the source has changed.
const ALTERED: &str = "perhaps a trigger's doing";

/// Events that are read at once.
const PAGE: u64 = 1_000;

/// What a process knows of the rows of each unit that stand, from one pass to the next.
#[derive(Default)]
pub(super) struct Standing(Mutex<HashMap<String, (i32, Arc<Known>)>>);

/// What is looked up when it is first needed, once a pass: during a pass nobody writes a row that it still has to meet.
#[derive(Default)]
struct Known {
    types: OnceCell<HashMap<String, String>>,
    prover: OnceCell<Prover>,
}

impl Standing {
    fn of(&self, unit: &str, pass: i32) -> Arc<Known> {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match units.get(unit) {
            Some((known_pass, known)) if *known_pass == pass => known.clone(),
            _ => {
                let known = Arc::new(Known::default());
                units.insert(unit.to_owned(), (pass, known.clone()));
                known
            }
        }
    }
}

impl Known {
    async fn prover(&self, context: &Context, unit: &str) -> Result<&Prover> {
        let make = || async {
            let mut units = context.plan.iter();
            let place = units.position(|known| known.definition().name == unit);
            let place =
                place.ok_or_else(|| Error::Refused(format!("the plan has no unit {unit}")))?;
            let (database, plan) = (&context.database, &context.plan);
            // Rows of this very run are compared whatever the instant that their pass was as of.
            let as_of = context.started.as_of;
            let (run, started) = (&context.run, &context.started);
            Prover::new(database, plan, place, run, started, as_of).await
        };
        self.prover.get_or_try_init(make).await
    }
}

/// A page of a unit's catch-up pass and section against what stands: rows that are missing stay in it, those of the run
/// that are not what their source gives any more say what they may replace, and all others are skipped.
///
/// # Errors
/// The database's; provenance that was changed.
pub(super) async fn against_standing(
    context: &Context,
    unit: &dyn Unit,
    (pass, section): (i32, usize),
    mut page: Page,
) -> Result<Page> {
    let Definition {
        name, destination, ..
    } = unit.definition();
    if destination.write != Write::Insert {
        return Ok(page);
    }
    let rows = page.items.iter().filter_map(|item| match item {
        Item::Row(row) => Some(row.clone()),
        Item::Skip(_) | Item::Bad { .. } => None,
    });
    let rows: Vec<Row> = rows.collect();
    if rows.is_empty() {
        return Ok(page);
    }
    let known = context.standing.of(name, pass);
    let types = known
        .types
        .get_or_try_init(|| context.database.types(&destination.table))
        .await?;
    let connection = context.database.connection();
    let mut fates: HashMap<String, Item> = HashMap::new();
    let suspects: Vec<Row> = match write::differing(connection, destination, types, &rows).await {
        Ok(mut differing) => rows
            .into_iter()
            .filter(|row| match differing.remove(&row.key) {
                Some(differs) if !differs.stands => {
                    fates.insert(row.key.clone(), Item::Row(row.clone()));
                    false
                }
                differs => differs.is_some_and(|differs| is_older(unit, &differs.columns)),
            })
            .collect(),
        // It refuses a value: each row is looked at by itself.
        Err(error) if error.refuses_row().is_some() => rows,
        Err(error) => return Err(error),
    };
    if !suspects.is_empty() {
        let prover = known.prover(context, name).await?;
        let verdicts = prover.standing(section, &suspects).await?;
        for (row, (verdict, wrote)) in suspects.into_iter().zip(verdicts) {
            fates.insert(row.key.clone(), fate(unit, row, verdict, wrote));
        }
    }
    for item in &mut page.items {
        if let Item::Row(row) = item {
            *item = fates.get(&row.key).cloned().unwrap_or(Item::Skip(PRESENT));
        }
    }
    Ok(page)
}

/// Whether a row that differs in these columns is older than its source, and not only dated as of an earlier pass.
fn is_older(unit: &dyn Unit, columns: &[String]) -> bool {
    let dated = unit.dated();
    !columns
        .iter()
        .all(|column| dated.contains(&column.as_str()))
}

/// What becomes of a row, given what stands in its place and what the run wrote there last, if it did.
fn fate(unit: &dyn Unit, row: Row, verdict: Verdict, wrote: Option<u64>) -> Item {
    match (verdict, wrote) {
        (Verdict::Missing | Verdict::Changed(DELETED), _) => Item::Row(row),
        (Verdict::Wrong { columns, .. }, Some(digest)) if is_older(unit, &columns) => {
            Item::Row(Row {
                expects: Some(digest),
                ..row
            })
        }
        (Verdict::Changed(_), Some(_)) => Item::Skip(CHANGED),
        (Verdict::Altered(_), Some(_)) => Item::Skip(ALTERED),
        // Another run's, the application's own, or what it should be.
        (
            Verdict::Right
            | Verdict::Wrong { .. }
            | Verdict::Altered(_)
            | Verdict::Changed(_)
            | Verdict::Foreign
            | Verdict::Elsewhere
            | Verdict::SetAside
            | Verdict::Nothing(_),
            _,
        ) => Item::Skip(PRESENT),
    }
}

/// What partitions say of rows whose source has changed: how many were brought up to date, and how many left alone.
///
/// # Errors
/// The database's; [`Error::Damaged`]: an event that cannot be read.
pub(super) async fn told<'a>(
    context: &Context,
    partitions: impl Iterator<Item = &'a projection::Row>,
) -> Result<(i64, i64)> {
    let (mut refreshed, mut changed) = (0, 0);
    for partition in partitions {
        let mut seq = 0;
        loop {
            let connection = context.database.connection();
            let (run, stream) = (&context.run, &partition.stream);
            let entries = journal::stream_after(connection, run, stream, seq, PAGE).await?;
            let Some(last) = entries.last() else {
                break;
            };
            seq = last.seq;
            for entry in &entries {
                if let Event::BatchCommitted(batch) = journal::event(entry)? {
                    refreshed += batch.refreshed;
                    changed += batch.skipped.get(CHANGED).copied().unwrap_or_default();
                }
            }
        }
    }
    Ok((refreshed, changed))
}

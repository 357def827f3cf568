//! A look at the sources: whether a catch-up pass would find something. It reads what the pass would read and asks what
//! it would ask, a page at a time, and neither writes nor journals anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Context;
use super::super::partition::{self, Asked};
use super::Caught;
use crate::core::event::Cursor;
use crate::error::Result;
use crate::journal;
use crate::pace::Work;
use crate::retry::Retry;
use crate::silence::answered;
use crate::unit::{Item, Page, Range};

/// By unit, the keys of rows to write or to bring up to date, and of bad rows that nobody has set aside: those of the first page that has any.
pub(super) type Found = BTreeMap<String, HashSet<String>>;

/// By unit, keys that count for nothing.
pub(super) type Vain = HashMap<String, HashSet<String>>;

/// What a look found, and how long it read.
pub(super) struct Looked {
    pub(super) found: Found,
    pub(super) took: Duration,
}

/// What a page holds, where it ends, and how long it took to read.
struct Seen {
    keys: HashSet<String>,
    to: Option<Cursor>,
    last: bool,
    read: i64,
    took: Duration,
}

/// Looks at the sources of units that have caught up, as of an instant. None: the process was asked to stop.
///
/// # Errors
/// The database's, after a few attempts.
pub(super) async fn look(
    context: &Arc<Context>,
    caught: &Caught,
    as_of: i64,
    vain: &Vain,
) -> Result<Option<Looked>> {
    let nothing = HashSet::new();
    let mut looked = Looked {
        found: Found::new(),
        took: Duration::ZERO,
    };
    for (place, unit) in context.plan.iter().enumerate() {
        let definition = unit.definition();
        let name = &definition.name;
        let Some((pass, _)) = caught.units.get(name) else {
            continue;
        };
        let vain = vain.get(name).unwrap_or(&nothing);
        for section in 0..definition.sections.len() {
            let at = At {
                place,
                section,
                pass: pass + 1,
                as_of,
            };
            let Some(keys) = look_at(context, at, vain, &mut looked.took).await? else {
                return Ok(None);
            };
            if !keys.is_empty() {
                looked.found.insert(name.clone(), keys);
                break;
            }
        }
    }
    Ok(Some(looked))
}

/// What is looked at: a section of the unit at a place of the plan, for a pass as of an instant.
#[derive(Clone, Copy)]
struct At {
    place: usize,
    section: usize,
    pass: i32,
    as_of: i64,
}

/// The same for a section of a unit, up to the first page that has something.
async fn look_at(
    context: &Arc<Context>,
    at: At,
    vain: &HashSet<String>,
    took: &mut Duration,
) -> Result<Option<HashSet<String>>> {
    let mut limit = context.pace.batch_rows(context.options.sizing.rows.first());
    let mut cursor: Option<Cursor> = None;
    let mut retry = Retry::brief();
    loop {
        context.hold().await?;
        if context.shutdown.is_requested() {
            return Ok(None);
        }
        // In a task of its own, so that nothing ever drops it midway.
        let read = tokio::spawn(page(context.clone(), at, cursor.clone(), limit));
        match answered(read).await {
            Ok(mut seen) => {
                retry = Retry::brief();
                *took += seen.took;
                let rows = u64::try_from(seen.read).unwrap_or(0);
                context.pace.wrote(rows, &context.shutdown).await;
                seen.keys.retain(|key| !vain.contains(key));
                if !seen.keys.is_empty() || seen.last {
                    return Ok(Some(seen.keys));
                }
                cursor = seen.to;
            }
            Err(error) => {
                if error.is_timeout() && limit > 1 {
                    limit /= 2;
                }
                retry.pause(error, &context.shutdown).await?;
            }
        }
    }
}

/// What a page of a catch-up pass would find.
async fn page(context: Arc<Context>, at: At, after: Option<Cursor>, limit: u32) -> Result<Seen> {
    let _turn = context.pace.turn(Work::Read, &context.shutdown).await;
    let began = Instant::now();
    let unit = context.plan[at.place].as_ref();
    let whole = Range {
        lower: None,
        upper: None,
        estimate: 0,
    };
    let source = context.source.at(at.as_of);
    let asked = Asked {
        section: at.section,
        range: &whole,
        pass: at.pass,
    };
    let page = partition::catch_up(&context, unit, &source, asked, after.as_ref(), limit);
    let Page {
        items,
        to,
        last,
        read,
        ..
    } = page.await?;
    let mut keys = HashSet::new();
    let mut bad = Vec::new();
    for item in items {
        match item {
            Item::Row(row) => drop(keys.insert(row.key)),
            Item::Bad { key, .. } => bad.push(journal::short_key(&key)),
            Item::Skip(_) => {}
        }
    }
    if !bad.is_empty() {
        let keys_of = bad.iter().map(String::as_str).collect::<Vec<_>>();
        let connection = context.database.connection();
        let name = &unit.definition().name;
        let known = journal::quarantined(connection, &context.run, name, &keys_of).await?;
        keys.extend(bad.into_iter().filter(|key| !known.contains(key)));
    }
    Ok(Seen {
        keys,
        to,
        last,
        read,
        took: began.elapsed(),
    })
}

//! The days of the tenants behind the cursor: a row for each metric and period. Cursor [tenant, day].

use super::calendar::{Calendar, window_start};
use super::figures::{Figures, Metadata, Snapshot};
use super::groups::{Group, Groups, Tenant};
use super::snapshots::{self, Metadatas};
use super::{METRICS, NAME, PERIODS};
use crate::core::event::Cursor;
use crate::error::Result;
use crate::identity;
use crate::source::{Key, Source};
use crate::time::{self, DAY};
use crate::unit::{Cell, Item, Page, Range, Row};

const COMPUTED: &str = r#"{"source":"computed"}"#;

/// The next page; the figures of tenants of which days are still to come stay in `groups`.
pub(super) async fn read(
    groups: &Groups,
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    let calendar = Calendar::new(source);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut page = Page::new(after);
    let mut kept = groups.take(source, range, after).filter(Group::is_fresh);
    let mut taken = 0;
    while taken < limit && !page.is_heavy() {
        let begun = begun(page.to.as_ref(), &calendar);
        let next = kept.and_then(|group| {
            let place = place(&group, page.to.as_ref(), begun.is_some())?;
            Some((group, place))
        });
        let (group, place) = match next {
            Some(next) => next,
            None => {
                let after = page.to.as_ref();
                // Only a tenant whose id is text has days.
                let tenant = begun.map(|(tenant, _)| Key::from_cursor(tenant));
                match groups.load(source, &calendar, range, after, tenant).await? {
                    Some(group) => (group, 0),
                    None => {
                        page.last = true;
                        return Ok(page);
                    }
                }
            }
        };
        let first = begun.map_or(calendar.first_day, |(_, day)| day);
        match group.tenant(place) {
            Some(Tenant {
                key,
                figures: Some(figures),
            }) => {
                let (tenant, room) = ((key, figures), limit - taken);
                taken += add_days(source, &calendar, tenant, first, room, &mut page).await?;
            }
            Some(Tenant { key, figures: None }) => {
                let reason = key.text.as_ref().err().copied().unwrap_or_default();
                let item = Item::Bad {
                    key: format!("tenant {}", key.shown),
                    reason: reason.into(),
                };
                let end = vec![key.cursor.clone(), calendar.last_day.to_string()];
                page.push(end, item);
                taken += 1;
            }
            None => {}
        }
        kept = Some(group);
    }
    if let (Some(group), Some(end)) = (kept, page.to.clone()) {
        groups.keep(group, end);
    }
    Ok(page)
}

/// Adds a tenant's days from one on, until the page is full; gives how much of it they take.
async fn add_days(
    source: &Source,
    calendar: &Calendar,
    (key, figures): (&Key, &Figures),
    first: i64,
    room: usize,
    page: &mut Page,
) -> Result<usize> {
    if first == calendar.first_day {
        for item in figures.bad.iter().cloned() {
            page.add(item);
        }
        page.derive(figures.bad_snapshots.iter().cloned());
        page.skip("summed up", figures.summed);
    }
    let tenant = key.shown.as_str();
    let mut taken = 0;
    for day in first..=calendar.last_day {
        let metadatas = snapshots::metadatas(source, figures, day).await?;
        let items = day_items(figures, &metadatas, calendar, tenant, day);
        let bytes: usize = metadatas.values().flatten().map(String::len).sum();
        // Each row holds the tenant's id twice.
        let bytes = bytes + 2 * tenant.len() * items.len();
        page.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
        page.derive(items);
        page.to = Some(vec![key.cursor.clone(), day.to_string()]);
        // Those without a value take time too.
        taken += METRICS.len() * PERIODS.len();
        if taken >= room || page.is_heavy() {
            break;
        }
    }
    Ok(taken)
}

/// The tenant that a cursor is in the middle of, and its next day.
fn begun<'a>(cursor: Option<&'a Cursor>, calendar: &Calendar) -> Option<(&'a str, i64)> {
    let [tenant, day] = cursor?.as_slice() else {
        return None;
    };
    let day: i64 = day.parse().unwrap_or(calendar.first_day - 1);
    (day < calendar.last_day).then_some((tenant, day + 1))
}

/// Where the group goes on behind a cursor: at its tenant where that has begun, else at the next.
fn place(group: &Group, cursor: Option<&Cursor>, has_begun: bool) -> Option<usize> {
    let place = group.place(cursor?.first()?)? + usize::from(!has_begun);
    group.tenant(place).map(|_| place)
}

/// An item for each metric and period of a tenant's day that has a value.
fn day_items(
    figures: &Figures,
    metadatas: &Metadatas,
    calendar: &Calendar,
    tenant: &str,
    day: i64,
) -> Vec<Item> {
    let mut items = Vec::with_capacity(METRICS.len() * PERIODS.len());
    for (period, period_name) in PERIODS.iter().enumerate() {
        for (metric, metric_name) in METRICS.iter().enumerate() {
            let (value, metadata) = match figures.snapshots.get(&(metric, period, day)) {
                Some(snapshot) => match carried(snapshot, metadatas) {
                    Ok(metadata) => (Some(snapshot.value), metadata),
                    Err(item) => {
                        items.push(item);
                        continue;
                    }
                },
                None => {
                    let from = window_start(period, day);
                    let value = figures.value(metric, calendar, from, day);
                    (value, Some(COMPUTED.to_owned()))
                }
            };
            let source = format!(
                "{tenant}/{metric_name}/{period_name}/{}",
                time::show(day * DAY)
            );
            let Some(value) = value else {
                continue;
            };
            items.push(match value {
                value if !value.is_finite() => Item::Bad {
                    key: source,
                    reason: "the value does not fit the column".into(),
                },
                value => Item::Row(Row {
                    source,
                    key: identity::id(
                        NAME,
                        // Behind the tenant stands the day, so that ids ascend as they are written.
                        &format!("{}-{day:08}", shortened(tenant)),
                        &[Some(tenant), Some(period_name), Some(metric_name)],
                    ),
                    values: vec![
                        Cell::from(*metric_name),
                        Cell::Double(value),
                        Cell::from(*period_name),
                        Cell::from("executive"),
                        metadata.map_or(Cell::Null, Cell::Json),
                        Cell::Timestamp(day * DAY),
                        Cell::from(tenant),
                    ],
                    expects: None,
                }),
            });
        }
    }
    items
}

/// A snapshot's metadata, or what becomes of its slot where they were changed after the figures were read.
fn carried(snapshot: &Snapshot, metadatas: &Metadatas) -> Result<Option<String>, Item> {
    let id = match &snapshot.metadata {
        Metadata::Kept(metadata) => return Ok(metadata.clone()),
        Metadata::Large { id } => id,
    };
    let Some(metadata) = metadatas.get(id) else {
        // The catch-up pass finds the slot empty, and computes what belongs there.
        return Err(Item::Skip("its snapshot is gone"));
    };
    match snapshots::fault(Some(snapshot.value), metadata.as_deref()) {
        Some(reason) => Err(Item::Bad {
            key: format!("KpiSnapshot/{id}"),
            reason: reason.into(),
        }),
        None => Ok(metadata.clone()),
    }
}

/// The first characters of a tenant's id, so that the day behind it is still part of the lead.
fn shortened(tenant: &str) -> String {
    let mut short = String::new();
    for character in tenant.chars() {
        if short.len() + character.len_utf8() > 26 {
            break;
        }
        short.push(character);
    }
    short
}

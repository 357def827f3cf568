//! Tenants whose figures are read together and kept until their days are written: tables without an index on the
//! tenant are then read once a group, not once a tenant or page.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::calendar::Calendar;
use super::figures::Figures;
use super::{load, tenants};
use crate::core::event::Cursor;
use crate::error::Result;
use crate::source::{Key, Source};
use crate::unit::Range;

/// The most tenants in a group.
pub(super) const TENANTS: usize = 64;
/// How many days of tenants are kept in all: four full groups of the default window, some 50 MB. Longer windows and
/// more partitions at once make smaller groups.
const KEPT_DAYS: usize = 4 * TENANTS * 455;
/// Figures that have waited longer are read anew: the source goes on changing.
const FRESH: Duration = Duration::from_secs(300);
/// The ends of the page ahead, of the one being written and of the one before it: a retry begins at one of them.
const PLACES: usize = 3;

/// The groups of the partitions that this process is at.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<Vec<Group>>);

/// Some tenants, next to each other in the database's order, with their figures.
#[derive(Debug)]
pub(super) struct Group {
    reading: Reading,
    tenants: Vec<Tenant>,
    days: usize,
    loaded: Instant,
    /// Where pages out of this group ended. A page that begins elsewhere goes on from what another worker or pass
    /// read, and one without a cursor begins a pass: neither may meet these figures.
    places: Vec<Cursor>,
}

/// A tenant with its figures; none where its id cannot be written.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) key: Key,
    pub(super) figures: Option<Figures>,
}

/// What a group is read for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    lower: Option<String>,
    upper: Option<String>,
    catching_up: bool,
    as_of: i64,
    begun: i64,
    window_days: u32,
}

impl Reading {
    fn new(source: &Source, range: &Range) -> Self {
        Self {
            lower: range.lower.clone(),
            upper: range.upper.clone(),
            catching_up: source.catching_up,
            as_of: source.as_of,
            begun: source.begun,
            window_days: source.window_days,
        }
    }
}

impl Groups {
    /// Takes the group that a page out of this range ended in, where the next begins behind the cursor. Whatever else
    /// was kept for the range is dropped.
    pub(super) fn take(
        &self,
        source: &Source,
        range: &Range,
        after: Option<&Cursor>,
    ) -> Option<Group> {
        let reading = Reading::new(source, range);
        let mut kept = self.kept();
        let place = kept.iter().position(|group| group.reading == reading)?;
        let group = kept.remove(place);
        after
            .is_some_and(|cursor| group.places.contains(cursor))
            .then_some(group)
    }

    /// Keeps a group out of which a page ended at a cursor; the ones that were not used for longest make room.
    pub(super) fn keep(&self, mut group: Group, end: Cursor) {
        if group.places.len() >= PLACES {
            group.places.remove(0);
        }
        group.places.push(end);
        let mut kept = self.kept();
        kept.retain(|other| other.reading != group.reading);
        kept.push(group);
        while kept.len() > 1 && kept.iter().map(|group| group.days).sum::<usize>() > KEPT_DAYS {
            kept.remove(0);
        }
    }

    /// Reads the next group: the tenant that the cursor is in the middle of, if any, and those behind the cursor.
    /// `None` at the range's end.
    pub(super) async fn load(
        &self,
        source: &Source,
        calendar: &Calendar,
        range: &Range,
        after: Option<&Cursor>,
        begun: Option<Key>,
    ) -> Result<Option<Group>> {
        let loaded = Instant::now();
        let days = usize::try_from(calendar.days_covered()).unwrap_or(1);
        let groups = (self.kept().len() + 1).max(KEPT_DAYS / (TENANTS * 455));
        let size = (KEPT_DAYS / groups / days).clamp(1, TENANTS);
        let mut keys: Vec<Key> = begun.into_iter().collect();
        if let Ok(limit @ 1..) = u32::try_from(size - keys.len()) {
            keys.extend(tenants::next(source, range, after, limit).await?);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let names: Vec<_> = (keys.iter())
            .filter_map(|key| key.text.as_deref().ok())
            .collect();
        let figures = load::load(source, calendar, &names).await?;
        let days = days * names.len();
        let mut figures = figures.into_iter();
        let with_figures = |key: Key| Tenant {
            figures: key.text.is_ok().then(|| figures.next()).flatten(),
            key,
        };
        Ok(Some(Group {
            reading: Reading::new(source, range),
            days,
            tenants: keys.into_iter().map(with_figures).collect(),
            loaded,
            places: Vec::new(),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Whether its figures may still be used.
    pub(super) fn is_fresh(&self) -> bool {
        self.loaded.elapsed() < FRESH
    }

    /// A tenant's place in it, by its spelling in a cursor.
    pub(super) fn place(&self, cursor: &str) -> Option<usize> {
        let mut tenants = self.tenants.iter();
        tenants.position(|tenant| tenant.key.cursor == cursor)
    }

    /// The tenant at a place; none behind the last.
    pub(super) fn tenant(&self, place: usize) -> Option<&Tenant> {
        self.tenants.get(place)
    }
}

//! A unit that takes rows of another back: its source is the journal, the newest batches first, as an undo goes.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::chosen::{Chosen, Stream};
use super::{REMOVED, RESTORED, REVERTED};
use crate::backend::Database;
use crate::core::event::Cursor;
use crate::core::plan::{Definition, Destination, UnitPin, Write};
use crate::error::{Error, Result};
use crate::journal;
use crate::proof::Owners;
use crate::provenance::Written;
use crate::source::Source;
use crate::unit::{Cell, Item, Page, Parts, Range, Row, SourceTable, Unit};

/// Why a row is left that another run has made anew.
const MADE_ANEW: &str = "written again by another run since";

/// Why a row is left in a catch-up pass.
const DONE: &str = "taken back before";

/// Takes rows of a unit back.
pub(super) struct TakingBack {
    chosen: Arc<Chosen>,
    database: Database,
    run: String,
    /// The unit as the run pinned it.
    pin: UnitPin,
    what: What,
    definition: Definition,
    /// The partitions that may hold such rows. The run is complete, so they stay the same.
    streams: OnceCell<Vec<Stream>>,
    /// Loaded when they are first needed.
    owners: OnceCell<Owners>,
    /// The same once its first pass is over, and the run that it belongs to.
    after: OnceCell<(String, Owners)>,
}

/// What is taken back of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its new rows.
    Rows,
    /// The values that it put into the application's rows.
    Values,
    /// The values by which it brought its own rows up to date.
    Refreshed,
}

impl What {
    /// What may be taken back of a unit, in the order in which it is.
    pub(super) fn of(pin: &UnitPin, is_refreshed: bool) -> &'static [Self] {
        match (&pin.destination.write, is_refreshed) {
            (Write::Insert, true) => &[Self::Refreshed, Self::Rows],
            (Write::Insert, false) => &[Self::Rows],
            _ => &[Self::Values],
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Rows => REMOVED,
            Self::Values => RESTORED,
            Self::Refreshed => REVERTED,
        }
    }

    /// The name of the unit that takes it back.
    pub(super) fn name(self, unit: &str) -> String {
        format!("{unit}{}", self.suffix())
    }
}

impl TakingBack {
    /// Takes rows back of a unit of a run; `after` are the units that do so before it.
    pub(super) fn new(
        database: &Database,
        chosen: &Arc<Chosen>,
        (run, pin): (&str, &UnitPin),
        what: What,
        after: Vec<String>,
    ) -> Self {
        let definition = Definition {
            name: what.name(&pin.name),
            version: pin.version,
            summary: format!("takes back {}", pin.name),
            priority: "high".into(),
            depends_on: after,
            sections: vec!["journal".into()],
            destination: Destination {
                write: match what {
                    What::Rows => Write::Remove,
                    What::Values | What::Refreshed => Write::Restore,
                },
                ..pin.destination.clone()
            },
        };
        Self {
            chosen: chosen.clone(),
            database: database.clone(),
            run: run.to_owned(),
            pin: pin.clone(),
            what,
            definition,
            streams: OnceCell::new(),
            owners: OnceCell::new(),
            after: OnceCell::new(),
        }
    }

    async fn streams(&self) -> Result<&[Stream]> {
        let load = || self.chosen.streams(&self.pin.name);
        Ok(self.streams.get_or_try_init(load).await?)
    }

    /// Of these keys, those that are left alone, and why.
    async fn left<'a>(
        &self,
        keys: impl Iterator<Item = &'a str>,
        catching_up: bool,
    ) -> Result<(HashSet<String>, &'static str)> {
        let load = || Owners::load(&self.database, &self.pin.name, &self.pin.destination);
        match (self.what, catching_up) {
            (What::Rows, _) => {
                let owners = self.owners.get_or_try_init(load).await?;
                Ok((owners.made_anew(&self.run, keys).await?, MADE_ANEW))
            }
            // What holds other values by now is told by its digest.
            (What::Values | What::Refreshed, false) => Ok((HashSet::new(), DONE)),
            // So do those of the first pass.
            (What::Values | What::Refreshed, true) => {
                let load = || async {
                    let own = journal::newest_run(self.database.connection()).await?;
                    Ok::<_, Error>((own.unwrap_or_default(), load().await?))
                };
                let (own, owners) = self.after.get_or_try_init(load).await?;
                let done = owners.taken_back(own, keys).await?;
                Ok((done.into_keys().collect(), DONE))
            }
        }
    }

    /// What is to become of a batch's rows that the scope means.
    async fn items(&self, rows: Vec<Written>, catching_up: bool) -> Result<Vec<Item>> {
        let how = &self.pin.destination.write;
        let is_due = |row: &Written| match self.what {
            What::Rows => !row.is_refreshed(how),
            What::Refreshed => row.is_refreshed(how),
            What::Values => true,
        };
        let rows: Vec<_> = rows.into_iter().filter(is_due).collect();
        let keys = rows.iter().map(|row| row.key.as_str());
        let (left, why) = self.left(keys, catching_up).await?;
        let item = |row: Written| match left.contains(&row.key) {
            true => Item::Skip(why),
            false => Item::Row(Row {
                source: row.key.clone(),
                key: row.key,
                values: match self.what {
                    What::Rows => Vec::new(),
                    What::Values | What::Refreshed => {
                        let before = row.before.unwrap_or_default().into_iter();
                        before.map(Cell::from).collect()
                    }
                },
                expects: Some(row.digest),
            }),
        };
        Ok(rows.into_iter().map(item).collect())
    }
}

#[async_trait]
impl Unit for TakingBack {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        Vec::new()
    }

    /// Ranges of partitions, by their place among all. New rows may be taken back in any order; values not, as a row may
    /// have been brought up to date more than once.
    async fn split(&self, _source: &Source, _section: usize, parts: Parts) -> Result<Vec<Range>> {
        let streams = self.streams().await?;
        let written = streams.iter().map(|stream| stream.written).sum();
        let most = match self.what {
            What::Rows => usize::try_from(parts.of(written)).unwrap_or(1),
            What::Values | What::Refreshed => 1,
        };
        let each = streams.len().div_ceil(most.max(1)).max(1);
        let range = |(place, streams): (usize, &[Stream])| {
            let first = place * each;
            Range {
                lower: (first > 0).then(|| first.to_string()),
                upper: Some((first + streams.len()).to_string()),
                estimate: streams.iter().map(|stream| stream.written).sum(),
            }
        };
        let ranges: Vec<_> = streams.chunks(each).enumerate().map(range).collect();
        let nothing = Range {
            lower: None,
            upper: Some("0".into()),
            estimate: 0,
        };
        Ok(match ranges.is_empty() {
            true => vec![nothing],
            false => ranges,
        })
    }

    /// A page is what the scope means of one batch.
    async fn read(
        &self,
        source: &Source,
        _section: usize,
        range: &Range,
        after: Option<&Cursor>,
        _limit: u32,
    ) -> Result<Page> {
        let streams = self.streams().await?;
        let end = |end: &Option<String>| end.as_deref().map(str::parse::<usize>).transpose();
        let damaged = |_| Error::Damaged("a range of partitions has no places".into());
        let lower = end(&range.lower).map_err(damaged)?.unwrap_or(0);
        let upper = end(&range.upper).map_err(damaged)?.unwrap_or(usize::MAX);
        let mut streams = streams.iter().take(upper).skip(lower).peekable();
        let mut page = Page::new(after);
        let mut below = i64::MAX;
        if let Some([stream, seq]) = after.map(Vec::as_slice) {
            while streams.next_if(|next| next.name != *stream).is_some() {}
            below = seq.parse().unwrap_or(i64::MAX);
        }
        for stream in streams {
            if let Some((seq, rows)) = self.chosen.next(&self.pin, &stream.name, below).await? {
                for item in self.items(rows, source.catching_up).await? {
                    page.add(item);
                }
                page.to = Some(vec![stream.name.clone(), seq.to_string()]);
                return Ok(page);
            }
            below = i64::MAX;
        }
        page.last = true;
        Ok(page)
    }
}

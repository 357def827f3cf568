//! A unit that writes again what the same run has taken back of another: its source, read as it reads it, and of its rows
//! those alone.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::unit::Shared;
use crate::core::event::{Cursor, Input};
use crate::core::plan::{Definition, Write};
use crate::error::Result;
use crate::proof::Owners;
use crate::source::Source;
use crate::unit::{Item, Page, Parts, Range, Row, SourceTable, Unit};

/// Writes again what was taken back.
pub(super) struct Again {
    shared: Arc<Shared>,
    definition: Definition,
    /// The run that has taken it back, and the owners of the unit's rows: known once that is done.
    taken: OnceCell<(String, Owners)>,
}

impl Again {
    pub(super) fn new(shared: &Arc<Shared>, definition: Definition) -> Self {
        Self {
            shared: shared.clone(),
            definition,
            taken: OnceCell::new(),
        }
    }

    /// What becomes of a page's rows.
    async fn items(&self, items: Vec<Item>) -> Result<Vec<Item>> {
        let load = || self.shared.taken();
        let (run, owners) = self.taken.get_or_try_init(load).await?;
        let keys = items.iter().filter_map(|item| match item {
            Item::Row(row) => Some(row.key.as_str()),
            Item::Skip(_) | Item::Bad { .. } => None,
        });
        let back = owners.taken_back(run, keys).await?;
        let is_insert = self.definition.destination.write == Write::Insert;
        let item = |item| match item {
            Item::Row(row) => match back.get(&row.key) {
                Some(stands) => Item::Row(Row {
                    // A row that holds the values before is brought up to date once more.
                    expects: stands.filter(|_| is_insert),
                    ..row
                }),
                None => Item::Skip("not taken back"),
            },
            Item::Bad { .. } => Item::Skip("bad, and not written again"),
            skip @ Item::Skip(_) => skip,
        };
        Ok(items.into_iter().map(item).collect())
    }
}

#[async_trait]
impl Unit for Again {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        self.shared.unit().tables()
    }

    fn inputs(&self) -> &[Input] {
        self.shared.unit().inputs()
    }

    async fn split(&self, _source: &Source, section: usize, parts: Parts) -> Result<Vec<Range>> {
        let source = self.shared.source();
        self.shared.unit().split(source, section, parts).await
    }

    async fn read(
        &self,
        _source: &Source,
        section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        // What is dated after the run's instant may have been written in its first pass: then it is written again.
        let mut source = self.shared.source().clone();
        source.catching_up = false;
        let unit = self.shared.unit();
        let mut page = unit.read(&source, section, range, after, limit).await?;
        page.items = self.items(page.items).await?;
        Ok(page)
    }
}

//! The order in which a demo is written, one transaction after the other.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use crate::backend::Transaction;

use super::campaigns::Campaigns;
use super::insert::Writer;
use super::marker::Attempt;
use super::tables::{
    AGENT_TASK, ASSET, CAMPAIGN, DEAL, KPI_SNAPSHOT, PUBLISH_JOB, TABLES, USER_FEEDBACK,
};
use super::{Counts, Size, sales};

/// A demo in the making.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    size: &'a Size,
    attempt: Attempt,
    campaigns: Campaigns,
    writer: Writer,
    tasks: u64,
}

/// What one transaction wrote: some of the campaigns, or the last of them and everything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    More,
    Last,
}

impl<'a> Filling<'a> {
    pub(super) fn new(size: &'a Size, attempt: Attempt, batch_rows: usize) -> Self {
        Self {
            size,
            attempt,
            campaigns: Campaigns::new(size),
            writer: Writer::new(batch_rows),
            tasks: 0,
        }
    }

    /// Writes what makes one transaction: campaigns until they and their executions are `length` or more.
    pub(super) async fn write_stretch(
        &mut self,
        tx: &Transaction,
        length: u64,
    ) -> Result<Stretch, DbErr> {
        let mut written = 0;
        while written < length {
            let Some(tasks) = self
                .campaigns
                .write_next(tx, &mut self.writer, self.size)
                .await?
            else {
                sales::write_all(tx, &mut self.writer, self.size).await?;
                self.writer.flush(tx).await?;
                analyze(tx).await?;
                self.attempt.complete(tx).await?;
                return Ok(Stretch::Last);
            };
            self.tasks += tasks;
            written += tasks + 1;
        }
        self.writer.flush(tx).await?;
        Ok(Stretch::More)
    }

    /// Executions made so far.
    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// Rows written so far.
    pub(super) fn counts(&self) -> Counts {
        let written = self.writer.written();
        Counts {
            campaigns: written[CAMPAIGN],
            assets: written[ASSET],
            publish_jobs: written[PUBLISH_JOB],
            agent_tasks: written[AGENT_TASK],
            deals: written[DEAL],
            kpi_snapshots: written[KPI_SNAPSHOT],
            user_feedback: written[USER_FEEDBACK],
        }
    }
}

/// A production database has statistics; one that was filled a moment ago does not, and PostgreSQL would plan blindly.
async fn analyze(tx: &Transaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        for table in &TABLES {
            tx.execute_unprepared(&format!(r#"ANALYZE "{}""#, table.name))
                .await?;
        }
    }
    Ok(())
}

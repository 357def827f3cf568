//! Campaigns, each with all that hangs on it, one after the other.

use sea_orm::DbErr;

use crate::backend::Transaction;

use super::Size;
use super::insert::{Cell, Writer};
use super::metadata::{Shape, metadata};
use super::publishing::{write_assets, write_jobs};
use super::random::{Random, Shares, Stream};
use super::tables::CAMPAIGN;
use super::tasks::{Place, Task, write_active_row};
use super::words::{self, Tenant};

/// A day in milliseconds.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1_000;

/// A fault that is put into one campaign on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    PromptIsNumber,
    CostIsText,
    NoCompletedAt,
    TasksAreObject,
    NegativeClicks,
    CompletedLater,
}

/// Early campaigns carry the faults, so that a small demo has them too; ids do not ascend, so they lie anywhere in key order.
/// Campaign 1 has no prompt of its own in a demo of any size.
fn flaw(size: &Size, index: u64) -> Option<Flaw> {
    let flaw = match index {
        1 => Some(Flaw::PromptIsNumber),
        6 => Some(Flaw::CostIsText),
        11 => Some(Flaw::NoCompletedAt),
        16 => Some(Flaw::TasksAreObject),
        21 => Some(Flaw::NegativeClicks),
        26 => Some(Flaw::CompletedLater),
        _ => None,
    };
    // A demo without executions has no faulty ones either.
    flaw.filter(|flaw| size.tasks > 0 || !flaw.is_of_tasks())
}

impl Flaw {
    fn is_of_tasks(self) -> bool {
        match self {
            Self::CostIsText
            | Self::NoCompletedAt
            | Self::TasksAreObject
            | Self::CompletedLater => true,
            Self::PromptIsNumber | Self::NegativeClicks => false,
        }
    }
}

/// One campaign, before its executions are made.
#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) created: i64,
    /// From its creation to the demo's present, in milliseconds; two days at least.
    pub(super) life: i64,
    pub(super) assets: Vec<String>,
    pub(super) tenant: &'static Tenant,
    pub(super) flaw: Option<Flaw>,
    task_weight: u64,
    job_weight: u64,
    /// For the columns that only the campaign's own row needs.
    random: Random,
}

impl Campaign {
    fn new(size: &Size, index: u64) -> Self {
        let mut random = Random::new(size.seed, Stream::Campaign, &[index]);
        let id = random.id();
        let flaw = flaw(size, index);
        // Agents came into use recently: of the older campaigns, few executions were recorded.
        let recent = random.percent(92) || flaw.is_some();
        let life = if recent {
            2 * DAY + random.below(87 * DAY)
        } else {
            91 * DAY + random.below(300 * DAY)
        };
        let published = random.percent(90) || flaw.is_some();
        let mut assets = Random::new(size.seed, Stream::Asset, &[index]);
        Self {
            index,
            id,
            created: size.as_of.timestamp_millis() - life,
            life,
            assets: (0..assets.int(2, 5)).map(|_| assets.id()).collect(),
            tenant: words::tenant(&mut random),
            flaw,
            task_weight: u64::from(random.int(50, 150).unsigned_abs()) / if recent { 1 } else { 4 },
            job_weight: if published {
                random.int(2, 7).unsigned_abs().into()
            } else {
                0
            },
            random,
        }
    }
}

/// All campaigns of a demo, one after the other.
#[derive(Debug)]
pub(super) struct Campaigns {
    next: u64,
    tasks: Shares,
    jobs: Shares,
}

impl Campaigns {
    /// Weighs every campaign once, so that shares of the totals can be handed out on the way without keeping any of them.
    pub(super) fn new(size: &Size) -> Self {
        let (mut tasks, mut jobs) = (0, 0);
        for index in 0..size.campaigns {
            let campaign = Campaign::new(size, index);
            tasks += campaign.task_weight;
            jobs += campaign.job_weight;
        }
        Self {
            next: 0,
            tasks: Shares::new(size.tasks, tasks),
            jobs: Shares::new(4 * size.campaigns, jobs),
        }
    }

    /// Hands over the next campaign with all that hangs on it. Answers how many executions that were, or nothing after the last.
    pub(super) async fn write_next(
        &mut self,
        tx: &Transaction,
        to: &mut Writer,
        size: &Size,
    ) -> Result<Option<u64>, DbErr> {
        if self.next >= size.campaigns {
            return Ok(None);
        }
        let campaign = Campaign::new(size, self.next);
        self.next += 1;
        let tasks = self.tasks.next(campaign.task_weight);
        let jobs = self.jobs.next(campaign.job_weight);
        let shape = Shape::new(size.seed, &campaign);
        to.push(tx, CAMPAIGN, campaign_row(size, &campaign, shape, tasks))
            .await?;
        write_assets(tx, to, size, &campaign).await?;
        write_jobs(tx, to, size, &campaign, jobs).await?;
        let room = shape.room();
        for number in 0..tasks {
            let task = Task::new(size.seed, &campaign, number, tasks + 1);
            if number >= room || task.place != Place::Metadata {
                task.write_row(tx, to, &campaign).await?;
            }
        }
        if size.tasks > 0 {
            write_active_row(tx, to, size.seed, &campaign).await?;
        }
        Ok(Some(tasks))
    }
}

fn campaign_row(size: &Size, campaign: &Campaign, shape: Shape, tasks: u64) -> Vec<Cell> {
    let mut random = campaign.random.clone();
    let name = words::campaign_name(&mut random, campaign.tenant);
    let status = *random.pick(&["active", "active", "paused", "completed", "archived"]);
    vec![
        Cell::text(&campaign.id),
        Cell::text(campaign.tenant.id),
        Cell::text(name),
        Cell::text(if campaign.job_weight == 0 {
            "draft"
        } else {
            status
        }),
        Cell::Json(metadata(size, campaign, shape, tasks)),
        Cell::time(campaign.created),
        Cell::time(campaign.created + random.below(campaign.life)),
    ]
}

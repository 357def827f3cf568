//! Agent executions: most of them elements of their campaign's metadata, some of them rows of their own.

use std::fmt::Write as _;

use chrono::{FixedOffset, SecondsFormat};
use sea_orm::DbErr;

use crate::backend::Transaction;

use super::campaigns::{Campaign, DAY, Flaw};
use super::insert::{Cell, Writer, instant, iso};
use super::random::{Random, Stream};
use super::tables::AGENT_TASK;
use super::words::{AGENTS, Agent, FAILURES};

/// Where an execution is reported, as long as its campaign's metadata has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Metadata,
    Row,
    Both,
}

/// An execution that ended.
#[derive(Debug)]
pub(super) struct Task {
    agent: &'static Agent,
    asset: Option<String>,
    duration: i32,
    tokens_in: i32,
    tokens_out: i32,
    cost_micros: i32,
    success: bool,
    completed: i64,
    pub(super) place: Place,
    /// Reported twice by the metadata, as after a retried request.
    pub(super) repeated: bool,
    /// For what only one of the two forms needs.
    random: Random,
}

impl Task {
    /// Execution `number` of `of` in the campaign. No two of a campaign are completed in the same millisecond.
    pub(super) fn new(seed: u64, campaign: &Campaign, number: u64, of: u64) -> Self {
        let mut random = Random::new(seed, Stream::Task, &[campaign.index, number]);
        let agent = random.pick(&AGENTS);
        let life = campaign.life.min(21 * DAY);
        let slot = (life / of.max(1).cast_signed()).max(1);
        let (tokens_in, tokens_out) = (random.int(150, 6_000), random.int(20, 2_500));
        Self {
            agent,
            asset: random
                .percent(85)
                .then(|| random.pick(&campaign.assets).clone()),
            duration: random.int(350, 45_000),
            tokens_in,
            tokens_out,
            cost_micros: tokens_in * 3 + tokens_out * 15,
            success: random.percent(94),
            completed: campaign.created + 1 + number.cast_signed() * slot + random.below(slot),
            place: match random.below(1_000) {
                0..50 => Place::Row,
                50..58 => Place::Both,
                _ => Place::Metadata,
            },
            repeated: random.below(1_000) < 2,
            random,
        }
    }

    /// Appends the execution as an element of `agentTasks`, its keys in the order in which `jsonb` keeps them.
    pub(super) fn write_json(&self, out: &mut String, flaw: Option<Flaw>) {
        let mut random = self.random.clone();
        out.push('{');
        let cost = match random.below(100) {
            _ if flaw == Some(Flaw::CostIsText) => {
                Some(format!(r#""{}""#, decimal(self.cost_micros)))
            }
            0 => Some("null".to_owned()),
            1 => None,
            _ => Some(decimal(self.cost_micros)),
        };
        if let Some(cost) = cost {
            let _ = write!(out, r#""cost": {cost}, "#);
        }
        if !random.percent(2) {
            let _ = write!(out, r#""model": "{}", "#, self.agent.model);
        }
        let _ = write!(out, r#""agentId": "{}""#, self.agent.id);
        if let Some(asset) = &self.asset {
            let _ = write!(out, r#", "assetId": "{asset}""#);
        }
        let _ = write!(
            out,
            r#", "success": {}, "duration": {}, "tokensIn": {}, "tokensOut": {}"#,
            self.success, self.duration, self.tokens_in, self.tokens_out
        );
        if flaw != Some(Flaw::NoCompletedAt) {
            let _ = write!(
                out,
                r#", "completedAt": "{}""#,
                self.completed_text(&mut random)
            );
        }
        out.push('}');
    }

    /// The same execution, completed at another time.
    pub(super) fn completed_at(self, completed: i64) -> Self {
        Self { completed, ..self }
    }

    /// Most clients write UTC to the millisecond; some a local time, some a fraction of a millisecond that rounds to it.
    fn completed_text(&self, random: &mut Random) -> String {
        let at = instant(self.completed);
        match random.below(100) {
            0..5 => {
                let hours = *random.pick(&[-8, -5, 1, 2]);
                FixedOffset::east_opt(hours * 3_600).map_or_else(
                    || iso(self.completed),
                    |zone| {
                        at.with_timezone(&zone)
                            .to_rfc3339_opts(SecondsFormat::Millis, false)
                    },
                )
            }
            5..8 => {
                let micros = i64::from(random.int(-400, 400));
                (at + chrono::TimeDelta::microseconds(micros))
                    .to_rfc3339_opts(SecondsFormat::Micros, true)
            }
            _ => iso(self.completed),
        }
    }

    /// Hands over the execution as a row. A row that repeats what the metadata says must be recognisable as the same.
    pub(super) async fn write_row(
        &self,
        tx: &Transaction,
        to: &mut Writer,
        campaign: &Campaign,
    ) -> Result<(), DbErr> {
        let mut random = self.random.clone();
        let id = random.id();
        let names_agent = random.percent(80) || self.place == Place::Both;
        let dates_end = random.percent(95) || self.place == Place::Both;
        let started = (self.completed - i64::from(self.duration)).max(campaign.created);
        let row = vec![
            Cell::text(id),
            Cell::text(&campaign.id),
            Cell::Text(self.asset.clone()),
            Cell::Text(names_agent.then(|| self.agent.id.to_owned())),
            Cell::text(self.agent.kind),
            Cell::text(if self.success { "done" } else { "error" }),
            Cell::Int(Some(self.tokens_in)),
            Cell::Int(Some(self.tokens_out)),
            Cell::Int(Some(self.duration)),
            Cell::text(self.agent.model),
            Cell::Decimal(decimal(self.cost_micros)),
            Cell::Text((!self.success).then(|| (*random.pick(&FAILURES)).to_owned())),
            Cell::time(if dates_end { started } else { self.completed }),
            Cell::Time(dates_end.then_some(self.completed)),
        ];
        to.push(tx, AGENT_TASK, row).await
    }
}

/// Sometimes hands over an execution that has not ended, and so is none yet.
pub(super) async fn write_active_row(
    tx: &Transaction,
    to: &mut Writer,
    seed: u64,
    campaign: &Campaign,
) -> Result<(), DbErr> {
    let mut random = Random::new(seed, Stream::ActiveTask, &[campaign.index]);
    if !random.percent(25) {
        return Ok(());
    }
    let agent = random.pick(&AGENTS);
    let running = random.percent(40);
    let row = vec![
        Cell::text(random.id()),
        Cell::text(&campaign.id),
        Cell::Text(None),
        Cell::text(agent.id),
        Cell::text(agent.kind),
        Cell::text(if running { "running" } else { "queued" }),
        Cell::Int(Some(if running { random.int(150, 6_000) } else { 0 })),
        Cell::Int(Some(0)),
        Cell::Int(Some(0)),
        Cell::text(agent.model),
        Cell::Decimal("0".to_owned()),
        Cell::Text(None),
        Cell::time(campaign.created + random.below(campaign.life)),
        Cell::Time(None),
    ];
    to.push(tx, AGENT_TASK, row).await
}

/// Millionths of a dollar as JSON writes dollars: without zeros at the end.
fn decimal(micros: i32) -> String {
    let digits = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    digits
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

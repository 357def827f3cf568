//! What a campaign's metadata says: its prompt, its agent executions, and fields that no migration names.

use std::fmt::Write as _;

use super::Size;
use super::campaigns::{Campaign, DAY, Flaw};
use super::random::{Random, Stream, spread};
use super::tasks::{Place, Task};
use super::words::{self, PLATFORMS};

/// No metadata holds more executions than this (about half a megabyte); further ones are rows.
const MOST_IN_METADATA: u64 = 2_000;

/// What a campaign's metadata looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Null,
    NoTasks,
    NullTasks,
    ObjectTasks,
    Tasks,
}

impl Shape {
    pub(super) fn new(seed: u64, campaign: &Campaign) -> Self {
        match campaign.flaw {
            Some(Flaw::TasksAreObject) => return Self::ObjectTasks,
            Some(_) => return Self::Tasks,
            None => {}
        }
        match Random::new(seed, Stream::Metadata, &[campaign.index]).below(100) {
            0..2 if !has_prompt(campaign.index) => Self::Null,
            2..5 => Self::NoTasks,
            5 => Self::NullTasks,
            _ => Self::Tasks,
        }
    }

    /// How many executions the metadata takes.
    pub(super) fn room(self) -> u64 {
        match self {
            Self::Tasks => MOST_IN_METADATA,
            Self::Null | Self::NoTasks | Self::NullTasks | Self::ObjectTasks => 0,
        }
    }
}

/// The document counts 156 prompts on 500 campaigns.
fn has_prompt(index: u64) -> bool {
    spread(index, 156, 500)
}

/// The document as text, if there is one: in the very form that `jsonb` prints, so that both databases hold the same.
pub(super) fn metadata(
    size: &Size,
    campaign: &Campaign,
    shape: Shape,
    tasks: u64,
) -> Option<String> {
    let mut random = Random::new(size.seed, Stream::Metadata, &[campaign.index, 1]);
    let audience = words::audience(&mut random, campaign.tenant);
    let mut out = String::from("{");
    write_prompt(campaign, audience, &mut random, &mut out);
    let channel = random.pick(&PLATFORMS);
    let budget = random.int(5, 200) * 100;
    let _ = write!(
        out,
        r#""audience": "{audience}", "channels": ["{channel}", "web"], "budgetUsd": {budget}"#
    );
    match shape {
        Shape::Null => return None,
        Shape::NoTasks => {}
        Shape::NullTasks => out.push_str(r#", "agentTasks": null"#),
        Shape::ObjectTasks => {
            out.push_str(r#", "agentTasks": {"note": "kept as rows", "count": 0}"#);
        }
        Shape::Tasks => write_tasks(size, campaign, tasks, &mut out),
    }
    out.push('}');
    Some(out)
}

fn write_prompt(campaign: &Campaign, audience: &str, random: &mut Random, out: &mut String) {
    let prompt = words::prompt(random, campaign.tenant, audience);
    if has_prompt(campaign.index) {
        let _ = write!(out, r#""prompt": {}, "#, serde_json::Value::from(prompt));
    } else if campaign.flaw == Some(Flaw::PromptIsNumber) {
        out.push_str(r#""prompt": 42, "#);
    } else {
        match random.below(100) {
            0 => out.push_str(r#""prompt": "", "#),
            1 => out.push_str(r#""prompt": "  \n ", "#),
            2 => out.push_str(r#""prompt": null, "#),
            _ => {}
        }
    }
}

fn write_tasks(size: &Size, campaign: &Campaign, tasks: u64, out: &mut String) {
    out.push_str(r#", "agentTasks": ["#);
    let start = out.len();
    let mut write = |task: &Task, flaw| {
        if out.len() > start {
            out.push_str(", ");
        }
        task.write_json(out, flaw);
    };
    for number in 0..tasks.min(MOST_IN_METADATA) {
        let task = Task::new(size.seed, campaign, number, tasks + 1);
        if task.place == Place::Row {
            continue;
        }
        for _ in 0..=u8::from(task.repeated) {
            write(&task, None);
        }
    }
    // A faulty execution comes on top of the campaign's share, in the slot that was left for it.
    if let Some(flaw @ (Flaw::CostIsText | Flaw::NoCompletedAt | Flaw::CompletedLater)) =
        campaign.flaw
    {
        let task = Task::new(size.seed, campaign, tasks, tasks + 1);
        let task = if flaw == Flaw::CompletedLater {
            task.completed_at(campaign.created + campaign.life + DAY)
        } else {
            task
        };
        write(&task, Some(flaw));
    }
    out.push(']');
}

//! What follows from what is known of a run: what took its time between two instants. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::causes::{Cause, Finding};
use super::judge::{BRIEF, FULL, SILENT, counted, median, rate, set};
use super::spans::{self, Span};
use super::{Between, Story, Told};
use crate::control::PAUSED;
use crate::core::event::Event;
use crate::core::state::RunStatus;

/// What a run did between two instants, and what took its time, the longest first.
pub(super) fn between(story: &Story, from: i64, to: i64) -> Between {
    let time = (from, to);
    let (batches, read) = counted(story, time);
    let mut causes = held(story, time);
    causes.extend(nobody(story, time));
    causes.extend(slowed(story, time));
    causes.extend(resized(story, time));
    causes.extend(built(story, time));
    causes.extend(set(story, to));
    // How long smaller batches cost nobody can tell.
    let weight = |finding: &Finding| match finding.cause {
        Cause::Resized { .. } | Cause::Set { .. } => -1,
        _ => finding.millis,
    };
    causes.sort_by_key(|finding| std::cmp::Reverse(weight(finding)));
    Between {
        from,
        to,
        batches,
        read,
        rows_per_second: rate(read, to - from),
        median: median(story),
        causes,
    }
}

/// Holds, by signal; those of several processes at once count once.
fn held(story: &Story, time: Span) -> Vec<Finding> {
    let mut open: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut holds: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for Told { at, worker, event } in &story.events {
        match event {
            Event::HoldStarted { signal, value, .. } => {
                open.insert((worker, signal), *at);
                values.insert(signal, value);
            }
            Event::HoldEnded { signal, .. } => {
                if let Some(since) = open.remove(&(worker.as_str(), signal.as_str())) {
                    holds.entry(signal).or_default().push((since, *at));
                }
            }
            Event::WorkerStopped { .. } => {
                let ended: Vec<_> = open
                    .keys()
                    .filter(|(of, _)| of == worker)
                    .copied()
                    .collect();
                for key in ended {
                    let since = open.remove(&key).unwrap_or(*at);
                    holds.entry(key.1).or_default().push((since, *at));
                }
            }
            _ => {}
        }
    }
    // One that is killed while it holds is held until its last event, one that is not until now.
    let alive = alive(story);
    for ((worker, signal), since) in open {
        let end = alive.get(worker).map_or(story.now, |(_, end)| *end);
        holds.entry(signal).or_default().push((since, end));
    }
    let words = story.events.iter().filter_map(|told| match &told.event {
        Event::RunPaused(word) => Some(word.by.clone()),
        _ => None,
    });
    let by: Vec<String> = words.collect::<BTreeSet<_>>().into_iter().collect();
    let found = holds.into_iter().filter_map(|(signal, holds)| {
        let joined = spans::within(holds, time);
        let millis = spans::length(&joined);
        let cause = Cause::Held {
            signal: signal.to_owned(),
            times: joined.len(),
            value: values
                .get(signal)
                .map_or_else(String::new, |value| (*value).to_owned()),
            by: if signal == PAUSED {
                by.clone()
            } else {
                Vec::new()
            },
        };
        (millis > 0).then(|| cause.found(millis))
    });
    found.collect()
}

/// From when to when each process was there: to its end, of one that did not end in order to its last event, or to now
/// where it may be there still.
fn alive(story: &Story) -> BTreeMap<&str, Span> {
    let mut alive: BTreeMap<&str, Span> = BTreeMap::new();
    let newest = story.events.iter().rev().find_map(|told| match told.event {
        Event::WorkerStarted { .. } => Some(told.worker.as_str()),
        _ => None,
    });
    for Told { at, worker, event } in &story.events {
        match event {
            Event::WorkerStarted { .. } => {
                let span = story.workers.iter().find(|span| span.worker == *worker);
                let last = span.map_or(*at, |span| span.last_at);
                // A process of which nothing is known since may be at work, unless another began and went on without it.
                let is_there = Some(worker.as_str()) == newest || story.now - last < SILENT;
                let is_open = story.status == RunStatus::Running && story.connected != Some(0);
                let end = if is_there && is_open { story.now } else { last };
                alive.insert(worker, (*at, end));
            }
            Event::WorkerStopped { .. } => {
                if let Some(span) = alive.get_mut(worker.as_str()) {
                    span.1 = *at;
                }
            }
            _ => {}
        }
    }
    alive
}

/// Times in which no process was there.
fn nobody(story: &Story, time: Span) -> Option<Finding> {
    if story.status == RunStatus::Undoing {
        return None;
    }
    let alive = alive(story);
    let all: Vec<Span> = alive.values().copied().collect();
    let mut gaps = spans::between(&all, time);
    gaps.retain(|(begin, end)| end - begin >= BRIEF);
    let stopped = |worker: &str| {
        let mut events = story.events.iter();
        events
            .any(|told| told.worker == worker && matches!(told.event, Event::WorkerStopped { .. }))
    };
    let crashed = alive.iter().filter(|(worker, (_, end))| {
        !stopped(worker) && gaps.iter().any(|(begin, _)| begin == end)
    });
    let cause = Cause::Nobody {
        times: gaps.len(),
        crashes: crashed.count(),
    };
    (!gaps.is_empty()).then(|| cause.found(spans::length(&gaps)))
}

/// Times in which processes worked slower than they could, by how; those of several at once count once.
fn slowed(story: &Story, time: Span) -> Vec<Finding> {
    let alive = alive(story);
    let mut paces: BTreeMap<&str, Vec<(i64, &str, &str)>> = BTreeMap::new();
    for Told { at, worker, event } in &story.events {
        if let Event::PaceChanged { to, reason, .. } = event {
            paces.entry(worker).or_default().push((*at, to, reason));
        }
    }
    let mut slow: BTreeMap<&str, (Vec<Span>, &str, &str)> = BTreeMap::new();
    for (worker, paces) in paces {
        let end = alive.get(worker).map_or(story.now, |(_, end)| *end);
        let ends = paces.iter().skip(1).map(|(at, ..)| *at).chain([end]);
        for ((at, to, reason), end) in paces.iter().zip(ends) {
            let (spans, ..) = slow.entry(to).or_insert((Vec::new(), worker, reason));
            spans.push((*at, end));
        }
    }
    slow.remove(FULL);
    let found = slow
        .into_iter()
        .filter_map(|(to, (spans, worker, reason))| {
            let millis = spans::length(&spans::within(spans, time));
            let cause = Cause::Slowed {
                worker: worker.to_owned(),
                to: to.to_owned(),
                reason: reason.to_owned(),
            };
            (millis > 0).then(|| cause.found(millis))
        });
    found.collect()
}

/// Batches that were made smaller, by unit.
fn resized(story: &Story, (from, to): Span) -> Vec<Finding> {
    struct Smaller {
        times: usize,
        from: u32,
        least: u32,
        reasons: BTreeMap<String, usize>,
    }
    let mut units: BTreeMap<&str, Smaller> = BTreeMap::new();
    for told in story
        .events
        .iter()
        .filter(|told| (from..to).contains(&told.at))
    {
        if let Event::BatchResized {
            unit,
            from,
            to,
            reason,
        } = &told.event
            && to < from
        {
            let smaller = units.entry(unit).or_insert_with(|| Smaller {
                times: 0,
                from: *from,
                least: *to,
                reasons: BTreeMap::new(),
            });
            smaller.times += 1;
            smaller.least = smaller.least.min(*to);
            *smaller.reasons.entry(without_figures(reason)).or_default() += 1;
        }
    }
    let found = units.into_iter().map(|(unit, smaller)| {
        let mut reasons: Vec<_> = smaller.reasons.into_iter().collect();
        reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let cause = Cause::Resized {
            unit: unit.to_owned(),
            times: smaller.times,
            from: smaller.from,
            least: smaller.least,
            reasons,
        };
        cause.found(0)
    });
    found.collect()
}

/// `a batch took 400 ms of 250` and its like are one reason.
fn without_figures(reason: &str) -> String {
    match reason.starts_with("a batch took ") && reason.contains(" ms of ") {
        true => "a batch took longer than its target".into(),
        false => reason.to_owned(),
    }
}

/// Indexes that were built meanwhile.
fn built(story: &Story, time: Span) -> Vec<Finding> {
    let found = story.events.iter().filter_map(|told| match &told.event {
        Event::IndexBuilt { index, millis, .. } => {
            let began = told.at - i64::try_from(*millis).unwrap_or(i64::MAX);
            let millis = spans::length(&spans::within([(began, told.at)], time));
            let cause = Cause::IndexBuilt {
                index: index.clone(),
            };
            (millis > 0).then(|| cause.found(millis))
        }
        _ => None,
    });
    found.collect()
}

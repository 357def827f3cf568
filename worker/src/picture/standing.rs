//! How a run stands, in words: what somebody who is woken wants to know first, and what to do.

use super::fold::Fold;
use super::life;
use super::process::Life;
use crate::core::event::plain;
use crate::status;
use crate::time;

/// How good the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// It waits, and goes on by itself or on somebody's word.
    Waits,
    /// Somebody has to do something.
    Bad,
    /// It is over, or nothing was run.
    Quiet,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// In a word or two.
    pub word: String,
    /// How good the news is.
    pub tone: Tone,
    /// Why.
    pub why: String,
    /// What to do, where there is anything to do.
    pub next: Option<String>,
}

/// How a run stands.
#[must_use]
pub fn standing(run: &status::Run, fold: &Fold) -> Standing {
    match run.state {
        "completed" => said(
            Tone::Good,
            "Complete",
            format!("since {}", clock(run.last_at)),
            None,
        ),
        "rolling back" => of_open(run, fold, "Rolling back"),
        "partly rolled back" | "rolled back" => said(
            Tone::Quiet,
            match run.state {
                "rolled back" => "Rolled back",
                _ => "Partly rolled back",
            },
            format!("since {}", clock(run.last_at)),
            None,
        ),
        _ => of_open(run, fold, "Running"),
    }
}

fn of_open(run: &status::Run, fold: &Fold, word: &str) -> Standing {
    let wish = run
        .steered
        .as_ref()
        .filter(|steered| steered.standing != "going");
    if let Some(wish) = wish {
        let (by, since) = (
            plain(wish.by.as_deref().unwrap_or("somebody")),
            clock(wish.since.unwrap_or(run.now)),
        );
        let note = wish
            .note
            .as_deref()
            .map(|note| format!(": {}", plain(note)));
        let why = format!("by {by} since {since}{}", note.unwrap_or_default());
        let next = "to go on: cli run resume --by NAME".to_owned();
        return match wish.standing {
            "cancelled" => said(Tone::Bad, "Cancelled", why, Some(next)),
            _ => said(Tone::Waits, "Paused", why, Some(next)),
        };
    }
    let works: Vec<_> = fold
        .processes
        .iter()
        .filter(|process| life(run, fold, process) == Life::Works)
        .collect();
    if works.is_empty() {
        return nobody_works(run, fold);
    }
    let holding: Vec<_> = works
        .iter()
        .filter_map(|process| fold.holds.of(&process.worker))
        .collect();
    if let Some(first) = holding.iter().min_by_key(|hold| hold.from)
        && holding.len() == works.len()
    {
        let limit = match first.limit.is_empty() {
            true => String::new(),
            false => format!(" (limit {})", first.limit),
        };
        let why = format!(
            "{}: {}{limit}, since {}",
            first.signal,
            first.value,
            clock(first.from)
        );
        let next =
            "it goes on by itself; each hold and its signal is explained in the README".to_owned();
        return said(Tone::Waits, "Held", why, Some(next));
    }
    let stopped: Vec<_> = run
        .units
        .iter()
        .filter(|unit| unit.state == "stopped")
        .map(|unit| unit.unit.as_str())
        .collect();
    if !stopped.is_empty() {
        let why = format!("too many bad rows in {}", stopped.join(", "));
        let next = "mend the source or raise --max-bad, then run the same command again".to_owned();
        return said(Tone::Bad, "A unit stopped", why, Some(next));
    }
    let workers = match works.len() {
        1 => "1 process works".to_owned(),
        many => format!("{many} processes work"),
    };
    let workers = match lost(run, fold) {
        Some((1, at)) => format!("{workers}; one ended without a word at {}", clock(at)),
        Some((lost, at)) => format!(
            "{workers}; {lost} ended without a word, the last at {}",
            clock(at)
        ),
        None => workers,
    };
    let holds = match holding.len() {
        0 => String::new(),
        holding => format!(", {holding} of them held"),
    };
    if let Some(following) = &run.following {
        let reached = match following.caught_up_to {
            Some(to) => format!("caught up to {}", clock(to)),
            None => "not caught up yet".to_owned(),
        };
        return said(
            Tone::Good,
            "Following",
            format!("{reached}; {workers}{holds}"),
            None,
        );
    }
    said(Tone::Good, word, format!("{workers}{holds}"), None)
}

/// Processes that ended without a word and in whose place none came, and when the last of them was heard of.
fn lost(run: &status::Run, fold: &Fold) -> Option<(usize, i64)> {
    let lanes = fold.processes.lanes();
    let last = lanes.iter().filter_map(|lane| lane.last());
    let lost: Vec<_> = last
        .filter(|process| life(run, fold, process) == Life::Silent)
        .map(|process| process.last)
        .collect();
    Some((lost.len(), *lost.iter().max()?))
}

fn nobody_works(run: &status::Run, fold: &Fold) -> Standing {
    let last = fold.processes.iter().max_by_key(|process| process.last);
    let Some(last) = last else {
        let why = "no process has begun to work on it".to_owned();
        return said(Tone::Waits, "Opened", why, None);
    };
    let command = run.purpose.command();
    match &last.stopped {
        Some((at, reason)) => said(
            Tone::Bad,
            "Nobody works on it",
            format!("the last process ended at {}: {reason}", clock(*at)),
            Some(format!(
                "to go on, run the same command again ({command}); nothing is lost"
            )),
        ),
        None => said(
            Tone::Bad,
            "Nobody works on it",
            format!(
                "no event since {}: the process was killed, is cut off from the database, or has something long in hand, \
                 such as an index",
                clock(last.last)
            ),
            Some(format!(
                "if it is gone, run the same command again ({command}); nothing is lost"
            )),
        ),
    }
}

fn said(tone: Tone, word: &str, why: String, next: Option<String>) -> Standing {
    Standing {
        word: word.to_owned(),
        tone,
        why,
        next,
    }
}

/// An instant for people, to the second: `2025-11-04 02:13:05 UTC`.
#[must_use]
pub fn clock(millis: i64) -> String {
    let shown = time::show(millis);
    match shown.split_once('T') {
        Some((date, time)) => format!("{date} {} UTC", time.get(..8).unwrap_or(time)),
        None => shown,
    }
}

//! A replay of the quarantine: what it will try again, and what came of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use worker::repair::REPLAYED;
use worker::report::number;
use worker::status;

use super::text::count;

/// A replay of what a run set aside.
#[derive(Debug, Serialize)]
pub(crate) struct Replay {
    /// The run that set the rows aside; none where none stands.
    run: Option<String>,
    /// The replay's own run, once there is one.
    replay: Option<String>,
    units: Vec<Unit>,
}

/// A unit's part of it.
#[derive(Debug, Default, Serialize)]
struct Unit {
    unit: String,
    /// Rows that the run set aside.
    set_aside: i64,
    /// Of these, rows that were written.
    written: i64,
    /// Rows that are still bad.
    bad: i64,
    /// The others: written by an earlier replay, gone from the source, left to the next run, or part of a sum.
    others: i64,
}

impl Replay {
    /// Before it has begun: how many rows each unit has set aside.
    pub(crate) fn planned(run: Option<&str>, set_aside: BTreeMap<String, i64>) -> Self {
        let unit = |(unit, set_aside)| Unit {
            unit,
            set_aside,
            ..Unit::default()
        };
        Self {
            run: run.map(str::to_owned),
            replay: None,
            units: set_aside.into_iter().map(unit).collect(),
        }
    }

    /// From the replay's own run.
    pub(crate) fn done(run: &str, set_aside: &BTreeMap<String, i64>, replay: &status::Run) -> Self {
        let unit = |(name, set_aside): (&String, &i64)| {
            let own = format!("{name}{REPLAYED}");
            let own = replay.units.iter().find(|unit| unit.unit == own);
            let (written, bad) = own.map_or((0, 0), |own| (own.written, own.quarantined));
            Unit {
                unit: name.clone(),
                set_aside: *set_aside,
                written,
                bad,
                others: (set_aside - written - bad).max(0),
            }
        };
        Self {
            run: Some(run.to_owned()),
            replay: Some(replay.run.clone()),
            units: set_aside.iter().map(unit).collect(),
        }
    }
}

/// In words.
pub(crate) fn text(replay: &Replay) -> String {
    let Some(run) = &replay.run else {
        return "nothing to try again: no run stands in this database".into();
    };
    if replay.units.is_empty() {
        return format!("nothing to try again: run {run} set no row aside");
    }
    let sum = |of: fn(&Unit) -> i64| replay.units.iter().map(of).sum();
    let mut text = match &replay.replay {
        None => format!(
            "to be tried again, of run {run}: {}\n",
            count(sum(|unit| unit.set_aside), "row")
        ),
        Some(own) => format!(
            "tried again what run {run} set aside: {} written, {} still bad; it is run {own}, and `cli rollback --run {own}` \
             takes it back\n",
            count(sum(|unit| unit.written), "row"),
            number(sum(|unit| unit.bad))
        ),
    };
    for unit in &replay.units {
        let _ = write!(
            text,
            "  {}: {} in quarantine",
            unit.unit,
            number(unit.set_aside)
        );
        if replay.replay.is_some() {
            let _ = write!(
                text,
                ", {} written, {} still bad",
                number(unit.written),
                number(unit.bad)
            );
        }
        if replay.replay.is_some() && unit.others > 0 {
            let _ = write!(
                text,
                ", {} neither: written before, gone from the source, dated after this run and so left to the next, or part \
                 of a sum (`cli repair --unit {}` brings sums up to date)",
                number(unit.others),
                unit.unit
            );
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_quarantine_is_told() {
        let set_aside = BTreeMap::from([("agent_feedback".to_owned(), 1_200)]);
        let text_of = |run| text(&Replay::planned(run, set_aside.clone()));
        assert!(text_of(Some("0199")).contains("agent_feedback: 1,200 in quarantine"));
        assert!(text_of(None).contains("no run stands"));
        let none = Replay::planned(Some("0199"), BTreeMap::new());
        assert!(text(&none).contains("set no row aside"));
    }
}

//! Replay against the oracle, and its laws.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use worker::chain::Head;
use worker::core::event::{Event, Setting};
use worker::core::replay::Replay;
use worker::core::state::{Gate, PartitionState};
use worker::projection;

use crate::history::{Entry, histories, place};
use crate::oracle;

/// Folds events, all of which must be legal.
pub(crate) fn replay(entries: &[Entry]) -> Replay {
    let mut replay = Replay::default();
    go_on(&mut replay, entries);
    replay
}

fn go_on(replay: &mut Replay, entries: &[Entry]) {
    for (stream, event) in entries {
        let applied = replay.apply(stream, event);
        applied.unwrap_or_else(|error| panic!("{stream}: {error}"));
    }
}

/// The histories are worth something: among two thousand, every state of a run and of a unit is met.
#[test]
fn histories_go_everywhere() {
    let mut runner = TestRunner::deterministic();
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let history = histories().new_tree(&mut runner).expect("a history");
        let run = replay(&history.current().entries).run.expect("a run");
        met.insert(run.status.word());
        met.extend(run.units.values().map(|unit| unit.status.word()));
    }
    let all = [
        "running",
        "completed",
        "rolling back",
        "partly rolled back",
        "rolled back",
        "pending",
        "stopped",
    ];
    assert_eq!(met, all.into());
}

proptest! {
    /// At any instant of any history, the replay says what the scans say.
    #[test]
    fn replay_says_what_the_events_say(history in histories(), cut in any::<prop::sample::Index>()) {
        let entries = &history.entries[..=cut.index(history.entries.len())];
        let replay = replay(entries);
        let run = replay.run.as_ref().expect("the run has started");
        prop_assert_eq!(run.status, oracle::run_status(entries));
        prop_assert_eq!(&run.undoing, &oracle::undoing(entries));
        prop_assert_eq!(&run.database, &oracle::database(entries));
        prop_assert_eq!(run.as_of, oracle::as_of(entries));
        prop_assert_eq!(&run.followed, &oracle::followed(entries));
        prop_assert_eq!(run.max_bad.to_bits(), oracle::max_bad(entries).to_bits());
        for (name, unit) in &run.units {
            prop_assert_eq!(unit.status, oracle::unit_status(entries, name), "unit {}", name);
            prop_assert_eq!(unit.pass, oracle::pass(entries, name));
            let mark = unit.mark.as_ref().map(|(pass, mark)| (*pass, mark));
            prop_assert_eq!(mark, oracle::mark(entries, name));
            prop_assert_eq!(&unit.instants, &oracle::instants(entries, name));
            prop_assert_eq!(unit.is_caught_up, oracle::is_caught_up(entries, name));
            prop_assert_eq!(run.gate(name), oracle::gate(entries, name));
            prop_assert_eq!(run.is_undone(name), oracle::is_undone(entries, name));
            let budget = (unit.budget_read, unit.budget_quarantined);
            prop_assert_eq!(budget, oracle::budget(entries, name));
        }
        prop_assert_eq!(run.control(), oracle::control(entries));
        prop_assert!(replay.control.keys().eq(&oracle::wished_in(entries)));
        for (name, control) in &replay.control {
            prop_assert_eq!(&control.standing, &oracle::standing(entries, name));
            for setting in Setting::ALL {
                let wished = control.wished(setting).map(ToOwned::to_owned);
                prop_assert_eq!(wished, oracle::wished(entries, name, setting));
            }
        }
        let streams: Vec<_> = replay.partitions.keys().cloned().collect();
        prop_assert_eq!(streams, oracle::partitions(entries));
        for (name, partition) in &replay.partitions {
            is_as_told(entries, name, partition)?;
        }
    }

    /// A restart in the middle changes nothing, whatever is folded from the stored text of the events.
    #[test]
    fn a_prefix_and_then_the_rest_is_the_whole(history in histories(), cut in any::<prop::sample::Index>()) {
        let stored: Vec<_> = history.entries.iter().map(|(stream, event)| {
            let payload = event.payload().expect("plain data");
            (stream.clone(), Event::parse(event.kind(), &payload).expect("what was stored"))
        }).collect();
        prop_assert_eq!(&stored, &history.entries);
        let (before, after) = stored.split_at(cut.index(stored.len()));
        let mut resumed = replay(before).clone();
        go_on(&mut resumed, after);
        prop_assert_eq!(resumed, replay(&history.entries));
    }

    /// Nor does it matter how the streams interleave, as only their own order counts: the run's stream comes first.
    #[test]
    fn streams_are_ordered_among_themselves_alone(history in histories()) {
        let mut sorted = history.entries.clone();
        sorted.sort_by_key(|(stream, _)| (stream != "run", stream.clone()));
        prop_assert_eq!(replay(&sorted), replay(&history.entries));
    }

    /// A partition that goes on from its projection's row, as every batch does, ends where a replay ends.
    #[test]
    fn a_row_of_the_projection_stands_for_its_partition(history in histories()) {
        let whole = replay(&history.entries);
        for (name, partition) in &whole.partitions {
            let events: Vec<_> = history.entries.iter().filter(|(stream, _)| stream == name).collect();
            let mut state = PartitionState::new(partition.planned.clone());
            for (_, event) in events {
                state.apply(event).expect("legal");
                if state.pending_bad == 0 {
                    let is_fenced = matches!(event, Event::BatchUndone(_));
                    let gate = if is_fenced { Gate::Fenced } else { Gate::Open };
                    let row = projection::row("run", &state, gate, &Head::empty(), (0, 0));
                    let read = projection::state(&row).expect("what was written can be read");
                    // A fenced partition takes no batch either, so whether it was done is not kept.
                    let done = state.done || is_fenced;
                    prop_assert_eq!(&read, &PartitionState { done, ..state });
                    state = read;
                }
            }
            let done = state.done;
            prop_assert_eq!(state, PartitionState { done, ..partition.clone() });
        }
    }

    /// What is done and what is left never overlap, and together are the range.
    #[test]
    fn every_key_is_done_or_left(history in histories(), cut in any::<prop::sample::Index>()) {
        let entries = &history.entries[..=cut.index(history.entries.len())];
        for (name, partition) in &replay(entries).partitions {
            let end = history.ends[name];
            let left_from = match partition.done {
                true => end,
                false => place(partition.cursor.as_ref()),
            };
            for key in 1..=end {
                let holds = |batch: &&worker::core::event::BatchCommitted| {
                    place(batch.from.as_ref()) < key && key <= place(batch.to.as_ref())
                };
                let done = oracle::batches(entries, name).filter(holds).count();
                let left = usize::from(key > left_from);
                prop_assert_eq!(done + left, 1, "key {} of {}", key, name);
            }
        }
    }
}

/// Whether a partition's state is what scans of its events say.
fn is_as_told(entries: &[Entry], name: &str, state: &PartitionState) -> Result<(), TestCaseError> {
    let batches = || oracle::batches(entries, name);
    let undone = || oracle::undone(entries, name);
    let counted: i64 = batches().map(|batch| batch.quarantined).sum();
    prop_assert_eq!(&state.cursor, &oracle::cursor(entries, name));
    prop_assert_eq!(state.done, batches().any(|batch| batch.last));
    prop_assert_eq!(usize::try_from(state.batches), Ok(batches().count()));
    prop_assert_eq!(state.read, batches().map(|batch| batch.read).sum::<i64>());
    prop_assert_eq!(
        state.written,
        batches().map(|batch| batch.written).sum::<i64>()
    );
    prop_assert_eq!(
        state.skipped,
        batches()
            .flat_map(|batch| batch.skipped.values())
            .sum::<i64>()
    );
    prop_assert_eq!(state.quarantined, counted);
    prop_assert_eq!(state.pending_bad, oracle::bad(entries, name) - counted);
    prop_assert_eq!(state.undone_to, undone().map(|undone| undone.batch).min());
    prop_assert_eq!(
        state.removed,
        undone().map(|undone| undone.removed).sum::<i64>()
    );
    prop_assert_eq!(state.gone, undone().map(|undone| undone.gone).sum::<i64>());
    let kept: usize = undone().map(|undone| undone.kept.len()).sum();
    prop_assert_eq!(usize::try_from(state.kept), Ok(kept));
    Ok(())
}

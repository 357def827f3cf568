//! The model as it is, exhausted; and each mutant, caught.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use super::mutant::Mutant;
use super::promises;
use super::system::{Action, Run, State};
use crate::say;

/// 3 workers, 2 partitions, 2 batches each: every promise holds at every moment.
#[test]
fn the_promises_hold() {
    let more = std::env::var("BACKSTITCH_FAULTS").map(|more| more.parse().expect("a number"));
    let more = more.unwrap_or(0);
    exhaust(Run {
        workers: 3,
        crashes: 2 + more,
        cuts: 1 + more,
        application: false,
        mutant: Mutant::None,
        watched: None,
    });
}

/// Nor does an application that locks and edits rows meanwhile make a difference.
#[test]
fn the_promises_hold_beside_an_application() {
    exhaust(Run {
        workers: 2,
        crashes: 1,
        cuts: 1,
        application: true,
        mutant: Mutant::None,
        watched: None,
    });
}

/// The claim looks at the cursor once more, so a worker that forgot to look an unknown commit up would do no harm.
#[test]
fn the_cursor_makes_up_for_the_lookup() {
    exhaust(Run {
        workers: 2,
        crashes: 1,
        cuts: 1,
        application: false,
        mutant: Mutant::NotLookedUp,
        watched: None,
    });
}

fn exhaust(run: Run) {
    let began = Instant::now();
    let checker = run.checker().threads(2).spawn_bfs().join();
    say(&format!(
        "{run:?}: {} moments, {} steps, depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    ));
    assert!(checker.is_done(), "the model was not exhausted");
    for property in run.properties() {
        let found = checker.discovery(property.name);
        match property.expectation.discovery_is_failure() {
            true => assert_eq!(found.map(|path| told(&run, path)), None),
            // Without an application there is nothing that it could have edited, and one crash is not two.
            false => {
                let is_apart = (property.name == promises::EDITED && !run.application)
                    || (property.name == promises::TWO_CRASHES && run.crashes < 2);
                assert_eq!(found.is_none(), is_apart, "{}", property.name);
            }
        }
    }
}

/// The promises that a path's last moment breaks, and the path.
fn told(run: &Run, path: Path<State, Action>) -> (Vec<&'static str>, Vec<Action>) {
    let promises = promises::promises();
    let broken = promises
        .iter()
        .filter(|promise| !(promise.condition)(run, path.last_state()))
        .map(|promise| promise.name);
    (broken.collect(), path.into_actions())
}

/// Asserts that a mutant breaks a promise, and tells the shortest way there.
fn caught(mutant: Mutant, promise: &'static str) {
    let run = Run {
        workers: 2,
        crashes: 0,
        cuts: match mutant {
            Mutant::FoldedFirst | Mutant::UnknownIsDone | Mutant::UnknownIsFailed => 1,
            _ => 0,
        },
        application: matches!(mutant, Mutant::SkipLockedRows | Mutant::UndoIsBlind),
        mutant,
        watched: Some(promise),
    };
    let mut steps = broken(run, promise, None)
        .unwrap_or_else(|| panic!("{mutant:?} does not break \"{promise}\""));
    while let Some(fewer) = broken(run, promise, Some(steps.len() - 1)) {
        steps = fewer;
    }
    let lines: Vec<_> = steps.iter().map(|step| format!("\n  {step:?}")).collect();
    say(&format!(
        "{mutant:?} breaks \"{promise}\" in {} steps:{}",
        steps.len(),
        lines.concat()
    ));
}

/// Steps, of which there are at most so many, to a moment in which a promise is broken.
fn broken(run: Run, promise: &'static str, most: Option<usize>) -> Option<Vec<Action>> {
    let finish = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let mut builder = run.checker().finish_when(finish);
    if let Some(most) = most {
        // The checker counts moments, and stops ahead of the last.
        builder = builder.target_max_depth(most + 2);
    }
    let path = builder.spawn_bfs().join().discovery(promise)?;
    Some(path.into_actions())
}

#[test]
fn a_cursor_that_moves_first_is_caught() {
    caught(Mutant::CursorFirst, promises::ALL_WRITTEN);
}

#[test]
fn rows_without_their_event_are_caught() {
    caught(Mutant::RowsFirst, promises::TOGETHER);
}

#[test]
fn a_claim_without_a_lock_is_caught() {
    caught(Mutant::NoLock, promises::FENCED);
}

#[test]
fn rows_passed_over_by_a_batch_are_caught() {
    caught(Mutant::SkipLockedRows, promises::ALL_WRITTEN);
}

#[test]
fn rows_passed_over_by_an_undo_are_caught() {
    caught(Mutant::SkipLockedRows, promises::REPORTED);
}

#[test]
fn an_event_folded_before_it_is_stored_is_caught() {
    caught(Mutant::FoldedFirst, promises::FOLDS);
}

#[test]
fn events_with_one_seq_are_caught() {
    caught(Mutant::NoSeq, promises::FOLDS);
}

#[test]
fn an_unknown_commit_taken_for_done_is_caught() {
    caught(Mutant::UnknownIsDone, promises::ALL_WRITTEN);
}

#[test]
fn an_unknown_commit_taken_for_failed_is_caught() {
    caught(Mutant::UnknownIsFailed, promises::ONE_BATCH);
}

#[test]
fn an_undo_without_a_fence_is_caught() {
    caught(Mutant::NoFence, promises::NOTHING_LEFT);
}

#[test]
fn an_undo_that_does_not_look_is_caught() {
    caught(Mutant::UndoIsBlind, promises::NOT_OURS);
}

//! Liveness: from every moment, however many faults have struck, the end can be reached without another fault and
//! without anybody's wish. An exploration of its own, as a checker of single moments cannot tell a circle from a way.

use std::collections::{HashMap, VecDeque};

use stateright::Model;

use super::database::Transaction;
use super::mutant::Mutant;
use super::system::{Run, State};
use super::undoer::Undoer;
use crate::say;

#[test]
fn the_end_can_be_reached_from_everywhere() {
    let (moments, stuck) = explore(&run(Mutant::None));
    say(&format!("{moments} moments, the end is in reach from each"));
    assert_eq!(stuck, None);
}

/// Where a killed worker's lock outlives it, the others look and turn away for ever: they always can do something.
#[test]
fn a_lock_that_outlives_its_holder_is_caught() {
    let (_, stuck) = explore(&run(Mutant::LockOutlives));
    let stuck = stuck.expect("the others can never go on");
    let is_held = |orphan: &Transaction| matches!(orphan, Transaction::Held(_));
    assert!(stuck.orphans.iter().any(is_held));
    say(&format!("the end is out of reach: {stuck:?}"));
}

/// The batches above are passed over, and an undo that has not accounted for every row never says that it is complete.
#[test]
fn an_undo_from_the_oldest_batch_is_caught() {
    let (_, stuck) = explore(&run(Mutant::UndoOldestFirst));
    let stuck = stuck.expect("the undo never ends");
    assert_ne!(stuck.undoer, Undoer::Off);
    say(&format!("the end is out of reach: {stuck:?}"));
}

fn run(mutant: Mutant) -> Run {
    Run {
        workers: 2,
        crashes: 1,
        cuts: 1,
        application: false,
        mutant,
        watched: None,
    }
}

/// How many moments there are, and one from which the end cannot be reached, if there is one.
fn explore(run: &Run) -> (usize, Option<State>) {
    let mut places: HashMap<State, usize> = HashMap::new();
    // Steps backwards, but for those that nobody may count on.
    let mut before: Vec<Vec<usize>> = Vec::new();
    let mut ends = VecDeque::new();
    let mut waiting = VecDeque::new();
    for state in run.init_states() {
        places.insert(state.clone(), before.len());
        before.push(Vec::new());
        waiting.push_back(state);
    }
    while let Some(state) = waiting.pop_front() {
        let place = places[&state];
        if state.is_over() {
            ends.push_back(place);
        }
        for (action, next) in run.next_steps(&state) {
            let next = canonical(next);
            let next_place = *places.entry(next).or_insert_with_key(|next| {
                waiting.push_back(next.clone());
                before.push(Vec::new());
                before.len() - 1
            });
            if !action.is_idle() {
                before[next_place].push(place);
            }
        }
    }
    let mut reaches = vec![false; before.len()];
    while let Some(place) = ends.pop_front() {
        if !std::mem::replace(&mut reaches[place], true) {
            ends.extend(&before[place]);
        }
    }
    let stuck = places.iter().find(|(_, place)| !reaches[**place]);
    (places.len(), stuck.map(|(state, _)| state.clone()))
}

/// Workers are alike, so their order is no difference.
fn canonical(mut state: State) -> State {
    state.workers.sort_unstable();
    state
}

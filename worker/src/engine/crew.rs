//! A process's workers: as many as its command line says, or as somebody has set since. One that is too many leaves after
//! the batch in hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::Context;
use super::work::{self, Ended};
use crate::error::{Error, Result};
use crate::silence::panicked;

/// The workers of a process.
struct Crew {
    tasks: JoinSet<(usize, Result<Ended>)>,
    /// The places that are taken; the number of each is below that of workers wanted.
    places: BTreeSet<usize>,
    /// Whether nothing is left for this process.
    is_finished: bool,
    first_error: Option<Error>,
}

/// Works until all workers have ended; gives the first error that one could not go on without.
pub(super) async fn work(context: &Arc<Context>) -> Option<Error> {
    let mut crew = Crew {
        tasks: JoinSet::new(),
        places: BTreeSet::new(),
        is_finished: false,
        first_error: None,
    };
    loop {
        let wanted = context.steering.workers();
        crew.fill(context, wanted);
        tokio::select! {
            ended = crew.tasks.join_next() => match ended {
                Some(ended) => crew.leave(ended),
                None => return crew.first_error,
            },
            () = context.steering.other_workers(wanted) => {}
        }
    }
}

impl Crew {
    /// Fills the places that are free, as long as there is work.
    fn fill(&mut self, context: &Arc<Context>, wanted: usize) {
        if self.is_finished || self.first_error.is_some() || context.shutdown.is_requested() {
            return;
        }
        for place in 0..wanted {
            if self.places.insert(place) {
                let context = context.clone();
                self.tasks
                    .spawn(async move { (place, work::work(context, place).await) });
            }
        }
    }

    fn leave(&mut self, ended: Result<(usize, Result<Ended>), JoinError>) {
        match ended {
            Ok((place, Ok(ended))) => {
                self.places.remove(&place);
                self.is_finished |= ended == Ended::Finished;
            }
            Ok((_, Err(error))) => {
                self.first_error.get_or_insert(error);
            }
            Err(panic) => {
                self.first_error.get_or_insert(panicked(&panic));
            }
        }
    }
}

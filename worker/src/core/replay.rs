//! The fold of a journal into a run's state: what a restart, an audit and a rebuilt projection all rest on.

use std::collections::BTreeMap;

use super::event::{Event, Home};
use super::state::{ControlState, Illegal, PartitionState, RunState, RunbookState};

/// The name of the stream that holds a run's own events.
pub const RUN_STREAM: &str = "run";

/// The prefix of the streams that hold a worker's own events.
pub const WORKER_STREAM: &str = "worker/";

/// The stream that holds what operators wish of a run; of each of its rollbacks, that and its number: `control/1`.
pub const CONTROL_STREAM: &str = "control";

/// The stream that holds the runbook's events, and the name under which it stands in a run's place: evidence is of the
/// database, whatever runs there are.
pub const RUNBOOK: &str = "runbook";

/// A run as its events tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// The run's own state; none before `RunStarted`.
    pub run: Option<RunState>,
    /// Its partitions' states, by stream.
    pub partitions: BTreeMap<String, PartitionState>,
    /// What is wished of it, and of its rollbacks, by stream.
    pub control: BTreeMap<String, ControlState>,
    /// The runbook, where these are its events and no run's.
    pub runbook: RunbookState,
}

impl Replay {
    /// Folds one event in. A run's own stream comes before its partitions', each in the order of seq.
    ///
    /// # Errors
    /// The event is illegal in this state, or its stream is not one of the run's.
    pub fn apply(&mut self, stream: &str, event: &Event) -> Result<(), Illegal> {
        if stream == RUN_STREAM {
            match &mut self.run {
                None => self.run = Some(RunState::begin(event)?),
                Some(run) => run.apply(event)?,
            }
            if let Event::PartitionPlanned(planned) = event {
                let state = PartitionState::new(planned.clone());
                self.partitions.insert(planned.stream(), state);
            }
            return Ok(());
        }
        if stream.starts_with(WORKER_STREAM) {
            return worker(stream, event);
        }
        if let Some(run) = &self.run
            && run.is_control(stream)
        {
            let mut state = self.control.get(stream).cloned().unwrap_or_default();
            state.apply(stream, event)?;
            self.control.insert(stream.to_owned(), state);
            return Ok(());
        }
        // No run is called so, and a runbook plans no partition.
        if self.run.is_none() && event.home() != Home::Partition {
            return self.runbook.apply(stream, event);
        }
        match self.partitions.get_mut(stream) {
            Some(partition) => partition.apply(event),
            None => Err(Illegal {
                state: "unplanned".into(),
                event: event.kind(),
                why: format!("no partition {stream} was planned"),
            }),
        }
    }
}

/// A worker's stream tells its decisions; they bind nobody else, so only their kind is checked.
fn worker(stream: &str, event: &Event) -> Result<(), Illegal> {
    match event.home() {
        Home::Worker => Ok(()),
        _ => Err(Illegal {
            state: stream.into(),
            event: event.kind(),
            why: "it belongs to another stream".into(),
        }),
    }
}

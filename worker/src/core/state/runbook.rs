//! The runbook: the evidence for the steps of a migration that no run tells.

use std::collections::{BTreeMap, BTreeSet};

use super::Illegal;
use crate::core::event::{Event, Home};
use crate::core::replay::RUNBOOK;

/// What the runbook's stream folds into, beside the streams of its gates and deep validations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunbookState {
    /// The ids of the backups that were taken, or that the database was put back from.
    pub backups: BTreeSet<String>,
    /// The items of the checklist that somebody vouches for.
    pub ticked: BTreeSet<String>,
    /// The fingerprints of the plans that were approved.
    pub approved: BTreeSet<String>,
    /// The last hash of each stream of samples or progress, as a verdict ties it in.
    pub tied: BTreeMap<String, String>,
    /// The streams of samples and of progress that have begun.
    begun: BTreeSet<String>,
}

impl RunbookState {
    /// The next state.
    ///
    /// # Errors
    /// The event is illegal here; the state is unchanged.
    pub fn apply(&mut self, stream: &str, event: &Event) -> Result<(), Illegal> {
        let refuse = |why: &str| {
            Err(Illegal {
                state: stream.into(),
                event: event.kind(),
                why: why.into(),
            })
        };
        let fits = match event.home() {
            Home::Runbook => stream == RUNBOOK,
            Home::Gate => stream.starts_with("gate/"),
            Home::Validation => stream.starts_with("validation/"),
            Home::Run | Home::Partition | Home::Worker | Home::Control => false,
        };
        if !fits {
            return refuse("it belongs to another stream");
        }
        match event {
            Event::BackupTaken(backup) if !self.backups.insert(backup.id.clone()) => {
                return refuse("the backup was taken already");
            }
            // Whoever restores it brings a journal in which it is not noted yet.
            Event::BackupRestored(restored) => {
                self.backups.insert(restored.backup.id.clone());
            }
            Event::BackupVerified(verified) if !self.backups.contains(&verified.backup) => {
                return refuse("there is no such backup");
            }
            Event::PlanApproved { plan, .. } => {
                self.approved.insert(plan.clone());
            }
            Event::ItemTicked { item, .. } => {
                self.ticked.insert(item.clone());
            }
            Event::ItemReopened { item, .. } if !self.ticked.remove(item) => {
                return refuse("nobody vouched for the item");
            }
            Event::GateJudged(judged) => {
                self.tied.insert(judged.stream.clone(), judged.head.clone());
            }
            Event::Validated(validated) => {
                self.tied.extend(validated.deep.clone());
            }
            Event::GateStarted(_) | Event::ValidationStarted { .. }
                if !self.begun.insert(stream.to_owned()) =>
            {
                return refuse("it has begun already");
            }
            Event::GateSampled(_) | Event::ValidationAdvanced(_)
                if !self.begun.contains(stream) =>
            {
                return refuse("it has not begun");
            }
            _ => {}
        }
        Ok(())
    }
}

//! What the commands have in common that mend a run by a run of its own: repair, replay, a rollback of a part, redo.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use worker::backend::Database;
use worker::core::event::Purpose;
use worker::core::state::RunState;
use worker::engine::{Ending, Plan};
use worker::error::Error;
use worker::pace::{self, Limits};
use worker::repair::{self, Order, Task};
use worker::shutdown::Shutdown;
use worker::{runs, status};

use crate::args::Global;
use crate::confirm::confirm;
use crate::progress::Progress;
use crate::signals::Asked;
use crate::stop::{Result, Stop};
use crate::{output, signals};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What an operator says to each of them.
#[derive(Debug, clap::Args)]
pub(super) struct Word {
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,

    /// Why, for the journal.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = reason)]
    pub(super) reason: Option<String>,

    #[command(flatten)]
    pub(super) limits: Limits,

    /// Go on with what began in another database: this one is a restored or copied one.
    #[arg(long)]
    pub(super) adopt_database: bool,
}

/// A reason that says something.
fn reason(text: &str) -> std::result::Result<String, String> {
    match text.trim() {
        "" => Err("say why, for whoever reads the journal".into()),
        reason => Ok(reason.to_owned()),
    }
}

/// Where a command stands that mends.
pub(super) struct Mending {
    pub(super) database: Database,
    pub(super) plan: Plan,
    pub(super) shutdown: Shutdown,
    asked: Asked,
    is_json: bool,
}

impl Mending {
    /// Connects, and listens to signals.
    pub(super) async fn begin(global: &Global, word: &Word) -> Result<Self> {
        let database = match word.dry_run {
            true => global.journal().await?,
            false => global.journal_of_workers().await?,
        };
        let plan = super::validate::plan(&database).await?;
        let shutdown = Shutdown::default();
        Ok(Self {
            asked: signals::listen(shutdown.clone())?,
            database,
            plan,
            shutdown,
            is_json: global.json,
        })
    }

    /// Shows what will be done, and asks whether it shall be.
    pub(super) async fn confirm(&self, word: &Word, planned: &str, question: &str) -> Result {
        pace::check(&self.database, &word.limits).await?;
        // With --json, standard output is for the one document; the operator still reads what is about to happen.
        match self.is_json {
            true => output::note(planned),
            false => output::result(planned)?,
        }
        if !word.yes {
            confirm(question)?;
        }
        Ok(())
    }

    /// Does it to a run, or goes on with it, to its end; gives what was done. None: somebody asked to stop.
    pub(super) async fn work(
        &self,
        base: (&str, &RunState),
        task: Task,
        word: Word,
    ) -> Result<Option<status::Run>> {
        let order = Order {
            task,
            // The parser asks for a reason, but for a dry run.
            reason: word.reason.unwrap_or_default(),
            adopt_database: word.adopt_database,
            limits: word.limits,
        };
        let (database, shutdown) = (&self.database, &self.shutdown);
        let worker = runs::worker_id("cli");
        let opened = repair::open(database, &self.plan, base, &order, &worker).await?;
        let mut progress = Progress::start("source rows read", 0);
        let mut working = Box::pin(repair::work(database, &opened, &worker, shutdown));
        // The work goes on in tasks of its own while this looks at it.
        let ending = loop {
            match tokio::time::timeout(LOOK, &mut working).await {
                Ok(ending) => break ending,
                Err(_) => {
                    let run = status::load(database.connection(), opened.run()).await;
                    if let Ok(run) = run {
                        let sum = |of: fn(&status::Unit) -> i64| run.units.iter().map(of).sum();
                        progress.reach_of(sum(|unit| unit.read), sum(|unit| unit.expected));
                    }
                }
            }
        };
        progress.finish();
        if ending? == Ending::Interrupted {
            return Ok(None);
        }
        let done = status::load(database.connection(), opened.run()).await?;
        Ok(Some(done))
    }

    /// Shows what came of it, in words or as one document; none: somebody asked to stop.
    pub(super) fn show<T: Serialize>(
        &self,
        ended: Result<Option<T>>,
        text: impl Fn(&T) -> String,
    ) -> Result {
        match ended {
            Ok(Some(told)) if self.is_json => output::json(&told),
            Ok(Some(told)) => output::result(&text(&told)),
            Ok(None) => Err(Stop::Asked(self.asked.exit_code())),
            Err(Stop::Failed(error)) if self.shutdown.is_requested() && error.is_transient() => {
                Err(Stop::Asked(self.asked.exit_code()))
            }
            Err(stop) => Err(stop),
        }
    }
}

/// Units as they were named, each once.
pub(super) fn named_once(mut units: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    units.retain(|unit| seen.insert(unit.clone()));
    units
}

/// Refuses to go on with what is open for other units than it is for.
///
/// # Errors
/// [`Error::Refused`], naming its own.
pub(super) fn check_same_units(
    purpose: Purpose,
    open: &str,
    units: &[String],
    named: &[String],
) -> std::result::Result<(), Error> {
    let are_all = named.len() == units.len() && named.iter().all(|name| units.contains(name));
    if named.is_empty() || are_all {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "run {open} of `{}` is open, units {}: finish that first, with the same units or none named",
        purpose.command(),
        units.join(", ")
    )))
}

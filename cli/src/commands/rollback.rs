//! `cli rollback`.

use worker::backend::Database;
use worker::core::event::Purpose;
use worker::core::state::{RunState, RunStatus};
use worker::error::Error;
use worker::pace::{self, Pace};
use worker::shutdown::Shutdown;
use worker::undo::{self, Elsewhere, Ending, Order, UnitUndo};
use worker::{journal, runs, status, time};

use super::mend::Word;
use super::part::{self, Which};
use crate::args::{Global, RunArg};
use crate::confirm::confirm;
use crate::progress::Progress;
use crate::render::rollback::{Nothing, Outcome, Plan};
use crate::select::Undoable;
use crate::stop::{Result, Stop};
use crate::{output, render, select, signals};

/// Kept rows that the text names before anything is done.
const EXAMPLES: usize = 20;

/// Take back what a run wrote: remove its rows, put overwritten values back, and keep what was edited since.
///
/// Example: `cli rollback --unit kpi_history --reason "wrong quarter"`
///
/// Changes data: yes, exactly the rows that the journal says the run wrote, and of these only those that still stand
/// as they were written.
///
/// Safe to repeat: yes, after an interruption the same command goes on.
///
/// Rows that others refer to are kept as well; all that is kept is listed. The schema stays.
///
/// Without --run: a rollback that is under way, else the newest run that still holds rows; without --unit, all its
/// units. Any other condition takes back a part of a completed run, by a run of its own, which `cli rollback` takes back in
/// its turn. With --json: one document on standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArg,

    #[command(flatten)]
    word: Word,

    #[command(flatten)]
    which: Which,
}

/// Takes back what a run wrote.
pub(crate) async fn run(global: &Global, args: Args) -> Result {
    let Args { run, word, which } = args;
    if which.is_part() {
        return part::run(global, Purpose::Undo, &run, which, word).await;
    }
    let named = which.units();
    let database = match word.dry_run {
        true => global.journal().await?,
        false => global.writable_journal().await?,
    };
    journal::check_format(database.connection()).await?;
    for unit in &named {
        select::check_unit(&database, Some(unit)).await?;
    }
    let Undoable { run, why } = select::undoable(&database, run.named(), &named).await?;
    let Some(run) = run else {
        return nothing(global, &database, None).await;
    };
    let (state, _) = runs::load(database.connection(), &run).await?;
    let units = match state.status {
        RunStatus::RolledBack => Vec::new(),
        _ => undo::units(&run, &state, &named)?,
    };
    if units.is_empty() {
        return nothing(global, &database, Some(run)).await;
    }
    undo::check_unblocked(&database, &run, &units).await?;
    let worker = runs::worker_id("cli");
    let order = Order {
        run: &run,
        units: &units,
        // The parser asks for a reason, but for a dry run.
        reason: word.reason.as_deref().unwrap_or_default(),
        worker: &worker,
        elsewhere: match word.adopt_database {
            true => Elsewhere::Adopt,
            false => Elsewhere::Refuse,
        },
    };
    if !word.dry_run {
        undo::check_database(&database, &run, &state, order.elsewhere).await?;
    }
    let others = others(&database, Some(&run)).await?;
    let (plan, done) = preview(global, &database, &run, &state, &units).await?;
    let plan = plan.beside(others, why);
    if word.dry_run {
        return show(global, &plan, Outcome::Planned);
    }
    // With --json, standard output is for the one document; the operator still reads what is about to happen.
    match global.json {
        true => output::note(&render::rollback::plan(&plan)),
        false => output::result(&render::rollback::plan(&plan))?,
    }
    let limits = word.limits.clone();
    pace::check(&database, &limits).await?;
    let pace = Pace::new(limits);
    if !word.yes {
        confirm("Roll this back?")?;
    }
    let Some(totals) = work(&database, &order, &pace, plan.rows() - done).await? else {
        return nothing(global, &database, Some(run)).await;
    };
    let kept = undo::kept(database.connection(), &run).await?;
    let plan = plan.done(totals, kept);
    show(global, &plan, Outcome::Completed)?;
    if state.started.repairs.is_none() {
        output::note(&format!(
            "to write it again as of the same instant, once its cause is mended: worker run --as-of {} --window-days {}",
            time::show(state.as_of),
            state.started.window_days
        ));
    }
    Ok(())
}

/// Undoes it; gives what was done to each unit, or none where somebody else was first.
async fn work(
    database: &Database,
    order: &Order<'_>,
    pace: &Pace,
    left: i64,
) -> Result<Option<Vec<UnitUndo>>> {
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let mut progress = Progress::start("rows looked at", left);
    let ended = undo::undo(database, order, pace, &shutdown, |removed, kept| {
        progress.advance(removed + kept);
    })
    .await;
    let done = progress.finish();
    match ended {
        Ok(Ending::Completed(totals)) => Ok(Some(totals)),
        Ok(Ending::Nothing) => Ok(None),
        Ok(Ending::Interrupted) => Err(Stop::Asked(asked.exit_code())),
        Err(error) if shutdown.is_requested() && error.is_transient() => {
            Err(Stop::Asked(asked.exit_code()))
        }
        Err(error) => {
            if done > 0 {
                output::note(&render::rollback::stopped(done));
            }
            Err(error.into())
        }
    }
}

/// What would be done, and how many rows of it are done already.
async fn preview(
    global: &Global,
    database: &Database,
    run: &str,
    state: &RunState,
    units: &[String],
) -> Result<(Plan, i64)> {
    // Programs get all rows that would be kept; people a few.
    let examples = if global.json { usize::MAX } else { EXAMPLES };
    let (previews, kept) = undo::preview(database, run, state, units, examples).await?;
    let standing = status::load(database.connection(), run).await?;
    let is_concerned = |unit: &&status::Unit| units.contains(&unit.unit);
    let done = standing
        .units
        .iter()
        .filter(is_concerned)
        .map(|unit| unit.removed + unit.kept);
    Ok((Plan::new(run, state, previews, kept), done.sum()))
}

fn show(global: &Global, plan: &Plan, outcome: Outcome) -> Result {
    match (global.json, outcome) {
        (true, _) => output::json(&plan.document(outcome)),
        (false, Outcome::Completed) => output::result(&render::rollback::done(plan)),
        (false, Outcome::Planned) => {
            output::result(&render::rollback::plan(plan))?;
            output::result("a dry run: nothing was changed")
        }
    }
}

/// Nothing is to be undone; other runs may still hold rows.
async fn nothing(global: &Global, database: &Database, run: Option<String>) -> Result {
    let others = others(database, run.as_deref()).await?;
    let kept = match &run {
        Some(run) => undo::kept(database.connection(), run).await?.len(),
        None => 0,
    };
    let nothing = Nothing { run, others, kept };
    match global.json {
        true => output::json(&nothing.document()),
        false => output::result(&render::rollback::nothing(&nothing)),
    }
}

/// Runs beside this one that still hold rows.
async fn others(database: &Database, run: Option<&str>) -> std::result::Result<Vec<String>, Error> {
    let mut holding = select::holding_rows(database, &[]).await?;
    holding.retain(|other| Some(other.as_str()) != run);
    Ok(holding)
}

//! Proof of completeness: counts, the units' own checks, journaled rows against the destinations, and sources against
//! destinations; [`deep`] computes every row from its source again. Changes nothing in them.

pub mod deep;
mod evidence;
mod journaled;
mod sources;

use serde::Serialize;

use crate::backend::{Database, Dialect, quote};
use crate::core::plan::Write;
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::engine::{self, Plan};
use crate::error::{Doing, Error, Result};
use crate::unit::Unit;
use crate::{journal, projection, runs, schema};

pub use self::evidence::evidence;

/// Source rows read at a time.
const PAGE: u32 = 2_000;
/// Keys named as examples.
const EXAMPLES: usize = 5;

/// What a validation found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The newest run that stands; none where nothing was run, or all is rolled back.
    pub run: Option<String>,
    /// Rows in each destination.
    pub counts: Vec<Count>,
    /// What was checked.
    pub checks: Vec<Checked>,
    /// How far rows were computed from their sources again; none: they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deep: Option<deep::Deep>,
}

/// Rows in a destination.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// The unit that writes it.
    pub unit: String,
    /// The table, or the column where the unit fills one.
    pub destination: String,
    /// How many.
    pub rows: i64,
}

/// The answer to one question.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// What was counted.
    pub what: String,
    /// How many; good is zero.
    pub count: i64,
    /// Whether a count above zero is an error, or merely worth a look.
    pub is_error: bool,
    /// What to think of it.
    pub note: String,
    /// A few keys.
    pub examples: Vec<String>,
}

impl Report {
    /// Whether an error stands.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.checks
            .iter()
            .any(|check| check.is_error && check.count > 0)
    }
}

impl Checked {
    fn error(what: impl Into<String>, note: &str) -> Self {
        Self {
            what: what.into(),
            count: 0,
            is_error: true,
            note: note.to_owned(),
            examples: Vec::new(),
        }
    }

    fn add(&mut self, key: impl Into<String>) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(key.into());
        }
    }
}

/// Validates.
///
/// # Errors
/// The database's; [`Error::Refused`]: a rollback is under way. What is wrong with the data is no error but an answer.
pub async fn validate(database: &Database, plan: &Plan) -> Result<Report> {
    let standing = standing(database).await?;
    let mut report = survey(database, plan, standing.as_ref()).await?;
    if let Some((run, state)) = &standing {
        let missing = sources::missing(database, plan, run, state).await?;
        report.checks.push(missing);
    }
    Ok(report)
}

/// The newest run that stands and brings rows of its own: the one that is validated. None where nothing was run, or all
/// is rolled back.
///
/// # Errors
/// [`Error::Refused`]: the schema is not applied, or a rollback is under way. The database's.
pub async fn standing(database: &Database) -> Result<Option<(String, RunState)>> {
    schema::check_applied(database).await?;
    let mut standing = None;
    for run in journal::runs(database.connection()).await? {
        let (state, _) = runs::load(database.connection(), &run).await?;
        match state.status {
            RunStatus::RolledBack => {}
            RunStatus::Undoing => {
                return Err(Error::Refused(format!(
                    "run {run} is being rolled back, so rows are missing that were journaled: validate once `cli \
                     rollback --run {run}` has come to its end"
                )));
            }
            _ if state.started.repairs.is_some() => {}
            _ => standing = Some((run, state)),
        }
    }
    Ok(standing)
}

/// All that is checked without reading the sources.
async fn survey(
    database: &Database,
    plan: &Plan,
    standing: Option<&(String, RunState)>,
) -> Result<Report> {
    let mut report = Report {
        run: None,
        counts: Vec::new(),
        checks: Vec::new(),
        deep: None,
    };
    let now = journal::now(database.connection()).await?;
    for unit in plan.iter() {
        report.counts.push(count(database, unit.as_ref()).await?);
    }
    for unit in plan.iter() {
        for check in unit.checks() {
            let sql = expand(check.sql, database.dialect(), now);
            report.checks.push(Checked {
                what: check.counts.to_owned(),
                count: ask(database, &sql, check.counts).await?,
                is_error: check.is_error,
                note: check.note.to_owned(),
                examples: Vec::new(),
            });
        }
    }
    report.checks.extend(journaled::journaled(database).await?);
    if let Some((run, state)) = standing {
        report.checks.push(incomplete(plan, state));
        report.checks.push(absent(state));
        report.checks.extend(budgets(database, run, state).await?);
        report.checks.extend(unrepaired(database).await?);
        report.run = Some(run.clone());
    }
    Ok(report)
}

/// A repair that has not come to its end; of others nothing is said.
async fn unrepaired(database: &Database) -> Result<Option<Checked>> {
    let Some((run, state)) = runs::unfinished(database.connection()).await? else {
        return Ok(None);
    };
    let note = format!("`{}` goes on with it", state.started.purpose().command());
    let mut open = Checked::error("unfinished repairs", &note);
    open.add(format!("run {run}"));
    Ok(state.started.repairs.is_some().then_some(open))
}

async fn count(database: &Database, unit: &dyn Unit) -> Result<Count> {
    let definition = unit.definition();
    let destination = &definition.destination;
    let table = quote(&destination.table);
    let (sql, name) = match &destination.write {
        Write::Insert | Write::Remove | Write::Restore => (
            format!("SELECT count(*) AS \"count\" FROM {table}"),
            destination.table.clone(),
        ),
        Write::Update { .. } => {
            let column = &destination.values()[0].name;
            let is_set = quote(column);
            (
                format!("SELECT count(*) AS \"count\" FROM {table} WHERE {is_set} IS NOT NULL"),
                format!("{}.{column}", destination.table),
            )
        }
    };
    Ok(Count {
        unit: definition.name.clone(),
        rows: ask(database, &sql, &name).await?,
        destination: name,
    })
}

async fn ask(database: &Database, sql: &str, what: &str) -> Result<i64> {
    let doing = format!("counting {what}");
    let row = database.one(sql, []).await.doing(doing.as_str())?;
    row.map_or(Ok(0), |row| row.try_get("", "count"))
        .doing(doing)
}

/// Fills in a check's `{now}` and `{millis:…}`.
fn expand(sql: &str, dialect: Dialect, now: i64) -> String {
    let mut expanded = sql.replace("{now}", &now.to_string());
    while let Some(start) = expanded.find("{millis:") {
        let Some(length) = expanded[start..].find('}') else {
            break;
        };
        let column = expanded[start + "{millis:".len()..start + length].to_owned();
        expanded.replace_range(start..=start + length, &dialect.millis(&column));
    }
    expanded
}

/// Units of the run that are not complete: their sources are not compared.
fn incomplete(plan: &Plan, state: &RunState) -> Checked {
    let mut incomplete = Checked::error(
        "incomplete units",
        "their sources were not compared; `worker run` goes on with them",
    );
    for unit in plan.iter() {
        let name = &unit.definition().name;
        let status = state.units.get(name).map(|unit| unit.status);
        if let Some(status) = status
            && !matches!(status, UnitStatus::Completed | UnitStatus::Undone)
        {
            incomplete.add(format!("{name} ({})", status.word()));
        }
    }
    incomplete
}

/// Optional tables that the run did without.
fn absent(state: &RunState) -> Checked {
    let mut absent = Checked::error("missing optional tables", "nothing came of them");
    absent.is_error = false;
    for table in &state.started.missing {
        absent.add(table);
    }
    absent
}

/// Bad rows of each unit, beyond what its budget allows.
async fn budgets(database: &Database, run: &str, state: &RunState) -> Result<Vec<Checked>> {
    let partitions = projection::load(database.connection(), run).await?;
    let mut checks = Vec::new();
    for (unit, unit_state) in &state.units {
        // Counted as the engine counts: anew since somebody mended the cause of a stop.
        let (read, bad) = projection::totals(partitions.iter().filter(|row| row.unit == *unit));
        let (read, bad) = (
            read - unit_state.budget_read,
            bad - unit_state.budget_quarantined,
        );
        let allowed = engine::allowed(state.max_bad, read);
        let mut check = Checked::error(
            format!("bad rows of {unit} beyond its budget"),
            &format!("{bad} of {read} are in quarantine, {allowed} allowed"),
        );
        check.count = (bad - allowed).max(0);
        checks.push(check);
    }
    Ok(checks)
}

//! Read-only proof of completeness: counts, the units' own checks, journaled rows against the destinations, and
//! sources against destinations.

use std::collections::HashSet;

use serde::Serialize;

use crate::backend::{Database, Dialect, quote};
use crate::core::event::Cursor;
use crate::core::plan::{UnitPin, Write};
use crate::core::state::{RunState, RunStatus, UnitStatus};
use crate::engine::{self, Plan};
use crate::error::{Doing, Error, Result};
use crate::source::Source;
use crate::unit::{Item, Range, Unit};
use crate::write::Lock;
use crate::{journal, projection, runs, schema, standing, write};

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
            _ => standing = Some((run, state)),
        }
    }
    let mut report = Report {
        run: None,
        counts: Vec::new(),
        checks: Vec::new(),
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
    report.checks.extend(journaled(database).await?);
    if let Some((run, state)) = standing {
        let missing = missing(database, plan, &run, &state).await?;
        report.checks.push(incomplete(plan, &state));
        report.checks.push(missing);
        report.checks.push(absent(&state));
        report.checks.extend(budgets(database, &run, &state).await?);
        report.run = Some(run);
    }
    Ok(report)
}

async fn count(database: &Database, unit: &dyn Unit) -> Result<Count> {
    let definition = unit.definition();
    let destination = &definition.destination;
    let table = quote(&destination.table);
    let (sql, name) = match &destination.write {
        Write::Insert => (
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

/// Rows that the journal says were written, and not undone: there, and as they were written.
async fn journaled(database: &Database) -> Result<[Checked; 3]> {
    let mut missing = Checked::error(
        "journaled rows missing from their destination",
        "deleted since",
    );
    let mut changed = Checked::error(
        "journaled rows changed in their destination",
        "edited since",
    );
    let mut untold = Checked::error(
        "journaled rows without provenance",
        "the journal was changed: see `cli journal verify`",
    );
    for run in journal::runs(database.connection()).await? {
        let (state, _) = runs::load(database.connection(), &run).await?;
        for row in projection::load(database.connection(), &run).await? {
            if state.is_undone(&row.unit) {
                continue;
            }
            let mut pins = state.started.units.iter();
            let Some(pin) = pins.find(|pin| pin.name == row.unit) else {
                continue;
            };
            let found = compare(database, &run, &row, pin, &mut missing, &mut changed).await?;
            let standing = row.written - row.removed - row.kept - row.gone;
            // A worker that goes on meanwhile adds rows, and takes none away.
            if found < standing {
                untold.add(format!("run {run} partition {}", row.stream));
                untold.count += standing - found - 1;
            }
        }
    }
    Ok([missing, changed, untold])
}

/// Compares what one partition wrote; gives how many rows the journal speaks of.
async fn compare(
    database: &Database,
    run: &str,
    row: &projection::Row,
    pin: &UnitPin,
    missing: &mut Checked,
    changed: &mut Checked,
) -> Result<i64> {
    let mut found = 0;
    let mut below = row.undone_to;
    loop {
        let transaction = database.begin_read().await.doing("reading provenance")?;
        let place = (run, row.stream.as_str());
        let batches = standing::newest_batches(&transaction, place, pin, below).await?;
        let Some((oldest, written)) = batches else {
            transaction.rollback().await.doing("reading provenance")?;
            return Ok(found);
        };
        let keys: Vec<_> = written.iter().map(|row| row.key.as_str()).collect();
        let standing = write::digests(
            &transaction,
            &pin.destination,
            &pin.image,
            &keys,
            Lock::None,
        )
        .await?;
        transaction.rollback().await.doing("reading provenance")?;
        found += i64::try_from(written.len()).unwrap_or(i64::MAX);
        for row in &written {
            match standing.get(&row.key) {
                None => missing.add(format!("{} {}", pin.destination.table, row.key)),
                Some(digest) if *digest != row.digest => {
                    changed.add(format!("{} {}", pin.destination.table, row.key));
                }
                Some(_) => {}
            }
        }
        below = Some(oldest);
    }
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

/// Source rows that should have a destination row and have none: every completed unit reads its source once more.
async fn missing(database: &Database, plan: &Plan, run: &str, state: &RunState) -> Result<Checked> {
    let mut missing = Checked::error(
        "source rows without their destination row",
        "and not in quarantine",
    );
    let started = &state.started;
    let source = schema::source(database, plan, started.as_of, started.window_days).await?;
    let source = source.catching_up();
    for unit in plan.iter() {
        let name = &unit.definition().name;
        let is_complete = state
            .units
            .get(name)
            .is_some_and(|unit| unit.status == UnitStatus::Completed);
        if is_complete {
            for section in 0..unit.definition().sections.len() {
                section_missing(&source, unit.as_ref(), section, run, &mut missing).await?;
            }
        }
    }
    Ok(missing)
}

async fn section_missing(
    source: &Source,
    unit: &dyn Unit,
    section: usize,
    run: &str,
    missing: &mut Checked,
) -> Result<()> {
    let destination = &unit.definition().destination;
    let connection = source.database().connection();
    let whole = Range {
        lower: None,
        upper: None,
        estimate: 0,
    };
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = unit
            .read(source, section, &whole, cursor.as_ref(), PAGE)
            .await?;
        let row_keys: Vec<_> = page
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Row(row) => Some(row.key.as_str()),
                Item::Skip(_) | Item::Bad { .. } => None,
            })
            .collect();
        // A row that an updating unit still wants to write is one whose value was not set.
        let present = match destination.write {
            Write::Insert if !row_keys.is_empty() => {
                write::present(connection, destination, &row_keys).await?
            }
            _ => Vec::new(),
        };
        let present: HashSet<&str> = present.iter().map(String::as_str).collect();
        let unaccounted: Vec<String> = page
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Row(row) if present.contains(row.key.as_str()) => None,
                Item::Row(row) => Some(journal::short_key(&row.source)),
                Item::Bad { key, .. } => Some(journal::short_key(key)),
                Item::Skip(_) => None,
            })
            .collect();
        if !unaccounted.is_empty() {
            let keys: Vec<_> = unaccounted.iter().map(String::as_str).collect();
            let name = &unit.definition().name;
            let known = journal::quarantined(connection, run, name, &keys).await?;
            let known: HashSet<_> = known.into_iter().collect();
            for key in unaccounted.iter().filter(|key| !known.contains(*key)) {
                missing.add(format!("{name} {key}"));
            }
        }
        if page.last {
            return Ok(());
        }
        cursor = page.to;
    }
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

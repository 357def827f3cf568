//! What differs between two runs of one database: how each was started, what each did, and which rows each wrote. Only reads.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::backend::{Connection, Database};
use crate::core::event::{Event, Purpose, RunStarted};
use crate::core::plan::UnitPin;
use crate::core::state::RunState;
use crate::error::{Error, Result};
use crate::journal::{self, Filter, Work};
use crate::{runs, status, time};

pub use self::rows::{Differing, Rows};

/// Starts of workers that are looked at; a run has a few.
const MOST_STARTS: u64 = 1_000;

/// Two runs, side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// The runs.
    pub runs: [Run; 2],
    /// How they were started, where that differs.
    pub settings: Vec<Setting>,
    /// Their units, in the first run's order.
    pub units: Vec<Unit>,
    /// Rows that were set aside.
    pub set_aside: SetAside,
    /// Rows that were written, by table.
    pub rows: BTreeMap<String, Rows>,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its id.
    pub run: String,
    /// `running`, `completed`, …
    pub state: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// When its first event was appended, milliseconds since 1970.
    pub started_at: i64,
    /// How long after that its last was; a rollback counts too.
    pub millis: i64,
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// What.
    pub what: String,
    /// What it is in each run; none: nothing.
    pub values: [Option<String>; 2],
}

/// A unit in both runs.
#[derive(Clone, Debug, Serialize)]
pub struct Unit {
    /// Its name.
    pub unit: String,
    /// What it did in each run; none: the run has no such unit.
    pub sides: [Option<Side>; 2],
}

/// What a unit did in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Its version.
    pub version: u32,
    /// `pending`, `running`, …
    pub state: &'static str,
    /// Source rows read.
    pub read: i64,
    /// Rows written.
    pub written: i64,
    /// Rows that needed nothing, by reason; a catch-up pass counts again what it reads again.
    pub skipped: BTreeMap<String, i64>,
    /// Bad rows set aside.
    pub quarantined: i64,
    /// How often rows were brought up to date.
    pub refreshed: i64,
    /// Rows that a rollback removed or put back.
    pub removed: i64,
    /// Rows that it kept.
    pub kept: i64,
    /// From its first batch to its last, milliseconds; a rollback does not count.
    pub millis: i64,
    /// Source rows a second, of all passes; none where it was too brief to tell.
    pub rows_per_second: Option<f64>,
}

/// Rows that were set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// By each run alone.
    pub alone: [i64; 2],
    /// By both.
    pub both: i64,
    /// Some of those of each run alone, by unit and key.
    pub examples: [Vec<(String, String)>; 2],
}

/// Compares two runs; names up to `limit` rows of each kind.
///
/// # Errors
/// [`Error::Usage`]: they are one. There is no such run; provenance that was changed; the database's.
pub async fn between(database: &Database, runs: [&str; 2], limit: usize) -> Result<Diff> {
    let [first, second] = runs;
    if first == second {
        return Err(Error::Usage(format!(
            "{first} was named twice: name two runs; `cli runs` lists them"
        )));
    }
    let connection = database.connection();
    let one = Loaded::load(connection, first).await?;
    let other = Loaded::load(connection, second).await?;
    let mut names: Vec<&str> = one.pins().map(|pin| pin.name.as_str()).collect();
    let others = other.pins().map(|pin| pin.name.as_str());
    names.extend(others.filter(|name| one.pin(name).is_none()));
    let units = names.into_iter().map(|name| Unit {
        unit: name.to_owned(),
        sides: [one.side(name), other.side(name)],
    });
    let [ones, theirs] = journal::set_aside_alone(connection, runs, limit).await?;
    let counts = [
        journal::set_aside(connection, first).await?,
        journal::set_aside(connection, second).await?,
    ];
    let set_aside = SetAside {
        alone: [ones.0, theirs.0],
        both: counts[0] - ones.0,
        examples: [ones.1, theirs.1],
    };
    let tables: BTreeSet<&str> = (one.pins().chain(other.pins()))
        .map(|pin| pin.destination.table.as_str())
        .collect();
    let mut written = BTreeMap::new();
    for table in tables {
        let sides = [one.streams(table), other.streams(table)];
        let counts = sides.each_ref().map(|(_, rows)| *rows);
        if counts == [0, 0] {
            continue;
        }
        let [(ones, _), (theirs, _)] = sides;
        let sides = [(first, ones.as_slice()), (second, theirs.as_slice())];
        let is_comparable = one.images(table) == other.images(table);
        let rows = rows::compare(database, sides, counts, is_comparable, limit).await?;
        written.insert(table.to_owned(), rows);
    }
    Ok(Diff {
        settings: settings(&one, &other),
        units: units.collect(),
        set_aside,
        rows: written,
        runs: [one.run(), other.run()],
    })
}

/// What is known of a run.
struct Loaded {
    state: RunState,
    status: status::Run,
    releases: BTreeSet<String>,
    workers: usize,
    partitions: Vec<crate::projection::Row>,
    skipped: BTreeMap<String, BTreeMap<String, i64>>,
    work: BTreeMap<String, Work>,
}

impl Loaded {
    async fn load(connection: &Connection, run: &str) -> Result<Self> {
        let (state, _) = runs::load(connection, run).await?;
        let filter = Filter {
            run: Some(run.to_owned()),
            kind: Some("WorkerStarted".into()),
            ..Filter::default()
        };
        let starts = journal::select(connection, &filter, MOST_STARTS, false).await?;
        let mut releases = BTreeSet::new();
        for start in &starts {
            if let Event::WorkerStarted { release, .. } = journal::event(start)? {
                releases.insert(release);
            }
        }
        Ok(Self {
            state,
            status: status::load(connection, run).await?,
            releases,
            workers: starts.len(),
            partitions: crate::projection::load(connection, run).await?,
            skipped: journal::skips(connection, run).await?,
            work: journal::work(connection, run).await?,
        })
    }

    fn pins(&self) -> impl Iterator<Item = &UnitPin> {
        self.state.started.units.iter()
    }

    fn pin(&self, name: &str) -> Option<&UnitPin> {
        self.pins().find(|pin| pin.name == name)
    }

    fn run(&self) -> Run {
        Run {
            run: self.status.run.clone(),
            state: self.status.state,
            purpose: self.status.purpose,
            started_at: self.status.started_at,
            millis: self.status.last_at - self.status.started_at,
        }
    }

    fn side(&self, name: &str) -> Option<Side> {
        let pin = self.pin(name)?;
        let unit = self.status.units.iter().find(|unit| unit.unit == name)?;
        let work = self.work.get(name).copied().unwrap_or_default();
        let millis = work.last_at - work.first_at;
        Some(Side {
            version: pin.version,
            state: unit.state,
            read: unit.read,
            written: unit.written,
            skipped: self.skipped.get(name).cloned().unwrap_or_default(),
            quarantined: unit.quarantined,
            refreshed: work.refreshed,
            removed: unit.removed,
            kept: unit.kept,
            millis,
            rows_per_second: rate(work.read, millis),
        })
    }

    /// The streams that wrote into a table, in the order in which they were worked through, and how many rows they did.
    fn streams(&self, table: &str) -> (Vec<String>, i64) {
        let of = |name: &str| {
            self.pin(name)
                .is_some_and(|pin| pin.destination.table == table)
        };
        let mut rows: Vec<_> = self.partitions.iter().filter(|row| of(&row.unit)).collect();
        rows.sort_by_key(|row| (row.pass, row.section, row.part));
        let written = rows.iter().map(|row| row.written).sum();
        (
            rows.into_iter().map(|row| row.stream.clone()).collect(),
            written,
        )
    }

    /// The columns that the digests of a table's rows cover.
    fn images(&self, table: &str) -> BTreeSet<&[String]> {
        let pins = self.pins().filter(|pin| pin.destination.table == table);
        pins.map(|pin| pin.image.as_slice()).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(rows: i64, millis: i64) -> Option<f64> {
    (millis > 0).then(|| rows as f64 * 1_000.0 / millis as f64)
}

/// How the runs were started, where that differs.
fn settings(one: &Loaded, other: &Loaded) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut differ = |what: String, values: [Option<String>; 2]| {
        if values[0] != values[1] {
            settings.push(Setting { what, values });
        }
    };
    let both = [one, other];
    let started = |of: fn(&RunStarted) -> String| both.map(|run| Some(of(&run.state.started)));
    differ("plan".into(), started(|started| started.plan.clone()));
    differ(
        "as_of".into(),
        both.map(|run| Some(time::show(run.state.as_of))),
    );
    let window = started(|started| format!("{} days", started.window_days));
    differ("window".into(), window);
    differ(
        "max_bad".into(),
        both.map(|run| Some(run.state.max_bad.to_string())),
    );
    differ("inputs".into(), started(inputs));
    differ(
        "tables that were missing".into(),
        started(|started| started.missing.join(", ")),
    );
    differ(
        "database".into(),
        both.map(|run| Some(run.state.database.clone())),
    );
    differ(
        "indexes to build".into(),
        started(|started| started.indexes.len().to_string()),
    );
    differ(
        "repairs".into(),
        both.map(|run| {
            run.state
                .started
                .repairs
                .as_ref()
                .map(|repairs| repairs.run.clone())
        }),
    );
    let releases = |run: &Loaded| {
        let releases: Vec<_> = run.releases.iter().cloned().collect();
        Some(releases.join(", "))
    };
    differ("release".into(), both.map(releases));
    differ(
        "workers that began".into(),
        both.map(|run| Some(run.workers.to_string())),
    );
    let names: BTreeSet<&str> = (one.pins().chain(other.pins()))
        .map(|pin| pin.name.as_str())
        .collect();
    for name in names {
        let pins = both.map(|run| run.pin(name));
        let version = |pin: &UnitPin| format!("version {}", pin.version);
        let versions = pins.map(|pin| pin.map(version));
        let fingerprints = pins.map(|pin| pin.map(|pin| pin.fingerprint.clone()));
        match versions[0] == versions[1] {
            true => differ(format!("definition of {name}"), fingerprints),
            false => differ(format!("unit {name}"), versions),
        }
    }
    settings
}

/// The files that a run read, each with the beginning of its digest.
fn inputs(started: &RunStarted) -> String {
    let inputs = started.inputs.iter().map(|input| {
        let digest = input.digest.get(..12).unwrap_or(&input.digest);
        format!("{} ({digest})", input.path)
    });
    inputs.collect::<Vec<_>>().join(", ")
}

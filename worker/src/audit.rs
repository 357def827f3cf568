//! The audit: refolds the whole journal and checks every hash, every transition, every projection and all provenance.
//! Reads in pages; holds one run's partitions in memory, never its batches.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};
use serde::Serialize;

use crate::backend::{self, Dialect};
use crate::chain::Head;
use crate::core::event::{Event, FORMAT};
use crate::core::replay::{RUN_STREAM, Replay};
use crate::error::{Doing, Error, Result};
use crate::journal::{self, Entry};
use crate::{projection, provenance, standing};

/// Events in a page.
const PAGE: u64 = 1_000;

/// What an audit found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Runs read.
    pub runs: usize,
    /// Streams read.
    pub streams: usize,
    /// Events read.
    pub events: u64,
    /// Rows of which the provenance was checked.
    pub rows: u64,
    /// What is off, the first of each stream; empty where nothing is.
    pub findings: Vec<Finding>,
}

/// Something that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The run.
    pub run: String,
    /// The stream.
    pub stream: String,
    /// The event; none where it is not one event.
    pub seq: Option<i64>,
    /// What is off.
    pub what: String,
}

/// Audits the whole journal.
///
/// # Errors
/// The database's; what is off in the journal is no error but a finding.
pub async fn audit(connection: &impl ConnectionTrait) -> Result<Report> {
    let mut report = Report::default();
    let mut by_run: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (run, stream) in journal::streams(connection).await? {
        by_run.entry(run).or_default().push(stream);
    }
    let mut checked_rows = 0;
    for (run, mut streams) in by_run {
        // The run's own stream plans the partitions, so it is folded first.
        streams.sort_by_key(|stream| (stream != RUN_STREAM, stream.clone()));
        report.runs += 1;
        checked_rows += Auditor::new(connection, &run, &mut report)
            .run(&streams)
            .await?;
    }
    let stored = entity::backstitch_journal_rows::Entity::find();
    let stored = stored.count(connection).await;
    let stored = stored.doing("counting provenance")?;
    if stored != checked_rows && report.findings.is_empty() {
        report.findings.push(Finding {
            run: String::new(),
            stream: String::new(),
            seq: None,
            what: format!("{stored} batches have provenance, and {checked_rows} batches say so"),
        });
    }
    report.findings.extend(triggers(connection).await?);
    Ok(report)
}

struct Auditor<'a, C> {
    connection: &'a C,
    run: &'a str,
    report: &'a mut Report,
    replay: Replay,
    heads: BTreeMap<String, Head>,
    /// The heads before anything was undone: what `UnitCompleted` ties in.
    forward: BTreeMap<String, String>,
    provenance: u64,
}

impl<'a, C: ConnectionTrait> Auditor<'a, C> {
    fn new(connection: &'a C, run: &'a str, report: &'a mut Report) -> Self {
        Self {
            connection,
            run,
            report,
            replay: Replay::default(),
            heads: BTreeMap::new(),
            forward: BTreeMap::new(),
            provenance: 0,
        }
    }

    /// Audits a run's streams; gives how many batches of it have provenance.
    async fn run(mut self, streams: &[String]) -> Result<u64> {
        let before = self.report.findings.len();
        for stream in streams {
            self.report.streams += 1;
            self.stream(stream).await?;
        }
        self.completed();
        // A projection of a stream that does not fold says nothing more.
        if self.report.findings.len() == before {
            self.projections().await?;
        }
        Ok(self.provenance)
    }

    async fn stream(&mut self, stream: &str) -> Result<()> {
        let mut head = Head::empty();
        loop {
            let page =
                journal::stream_after(self.connection, self.run, stream, head.seq, PAGE).await?;
            for entry in &page {
                self.report.events += 1;
                if let Err(what) = self.event(stream, &head, entry).await? {
                    self.find(stream, Some(entry.seq), what);
                    return Ok(());
                }
                head = Head {
                    seq: entry.seq,
                    hash: entry.hash.clone(),
                };
                if entry.kind != "BatchUndone" {
                    self.forward.insert(stream.to_owned(), entry.hash.clone());
                }
            }
            if (page.len() as u64) < PAGE {
                self.heads.insert(stream.to_owned(), head);
                return Ok(());
            }
        }
    }

    /// Checks one event and folds it; the inner error says what is off.
    async fn event(
        &mut self,
        stream: &str,
        head: &Head,
        entry: &Entry,
    ) -> Result<std::result::Result<(), String>> {
        if entry.seq != head.seq + 1 {
            return Ok(Err(format!("event {} before it is missing", head.seq + 1)));
        }
        if entry.version > FORMAT {
            return Ok(Err(format!(
                "it has format {}, which this build does not know",
                entry.version
            )));
        }
        if entry.prev != head.hash {
            return Ok(Err(
                "it does not follow the event before it: the chain is broken".into(),
            ));
        }
        if journal::hash(entry) != entry.hash {
            return Ok(Err("it does not match its hash: it was changed".into()));
        }
        let event = match journal::event(entry) {
            Ok(event) => event,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if (event.unit(), event.key()) != (entry.unit.as_deref(), entry.key.as_deref()) {
            return Ok(Err("its unit or key column is not its payload's".into()));
        }
        if let Err(illegal) = self.replay.apply(stream, &event) {
            return Ok(Err(illegal.to_string()));
        }
        match event {
            Event::BatchCommitted(batch) if batch.provenance.is_some() => {
                let place = (self.run, stream, entry.seq);
                let packed = provenance::load(self.connection, place).await?;
                self.provenance += 1;
                match packed {
                    None => Ok(Err("its provenance is missing".into())),
                    Some(packed) if !standing::is_of(&packed, &batch) => {
                        Ok(Err("its provenance was changed".into()))
                    }
                    Some(packed) => match packed.unpack() {
                        Ok(rows) if rows.len() as u64 == batch.written.unsigned_abs() => {
                            self.report.rows += rows.len() as u64;
                            Ok(Ok(()))
                        }
                        _ => Ok(Err("its provenance has another number of rows".into())),
                    },
                }
            }
            _ => Ok(Ok(())),
        }
    }

    /// The heads that completed units tie into the run's chain are those of their streams.
    fn completed(&mut self) {
        let Some(run) = &self.replay.run else {
            self.find(RUN_STREAM, None, "the run has no RunStarted".into());
            return;
        };
        let mut broken = Vec::new();
        for heads in run.completed.values() {
            for (stream, head) in heads {
                if self.forward.get(stream) != Some(head) {
                    broken.push(stream.clone());
                }
            }
        }
        for stream in broken {
            let is_found = |finding: &Finding| finding.run == self.run && finding.stream == stream;
            if !self.report.findings.iter().any(is_found) {
                let what =
                    "it does not end where UnitCompleted says: events are missing at its end";
                self.find(&stream, None, what.into());
            }
        }
    }

    /// Every projection is what its stream folds into.
    async fn projections(&mut self) -> Result<()> {
        let Some(run) = self.replay.run.take() else {
            return Ok(());
        };
        let mut rows: BTreeMap<_, _> = projection::load(self.connection, self.run)
            .await?
            .into_iter()
            .map(|row| (row.stream.clone(), row))
            .collect();
        for (stream, state) in std::mem::take(&mut self.replay.partitions) {
            let head = self.heads.get(&stream).cloned().unwrap_or_else(Head::empty);
            match rows.remove(&stream) {
                None => self.find(&stream, None, "its projection is missing".into()),
                Some(row) => {
                    let fenced = run.is_fenced(&state.planned.unit);
                    let times = (row.first_at, row.last_at);
                    if projection::row(self.run, &state, fenced, &head, times) != row {
                        let what =
                            "its projection (backstitch_partition) is not what it folds into";
                        self.find(&stream, Some(head.seq), what.into());
                    }
                }
            }
        }
        for stream in rows.into_keys() {
            self.find(&stream, None, "a projection stands for no partition".into());
        }
        Ok(())
    }

    fn find(&mut self, stream: &str, seq: Option<i64>, what: String) {
        self.report.findings.push(Finding {
            run: self.run.to_owned(),
            stream: stream.to_owned(),
            seq,
            what,
        });
    }
}

/// The triggers that keep the journal append-only stand, and on PostgreSQL fire always.
async fn triggers(connection: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let (sql, expected) = match Dialect::of(connection) {
        Dialect::Postgres => (
            "SELECT count(*) AS \"count\" FROM pg_trigger WHERE tgname = 'backstitch_append_only' \
             AND tgenabled = 'A' AND tgrelid IN (to_regclass('backstitch_journal'), \
             to_regclass('backstitch_journal_rows'))",
            2,
        ),
        Dialect::Sqlite => (
            "SELECT count(*) AS \"count\" FROM sqlite_master WHERE \"type\" = 'trigger' \
             AND \"name\" LIKE 'backstitch_journal%' AND \"tbl_name\" LIKE 'backstitch_journal%'",
            4,
        ),
    };
    let doing = "looking for the journal's triggers";
    let rows = backend::all(connection, sql, []).await.doing(doing)?;
    let count: Result<i64, _> = rows.first().map_or(Ok(0), |row| row.try_get("", "count"));
    if count.doing(doing)? == expected {
        return Ok(Vec::new());
    }
    Ok(vec![Finding {
        run: String::new(),
        stream: String::new(),
        seq: None,
        what: "a trigger that keeps the journal append-only is missing or switched off".into(),
    }])
}

impl Report {
    /// The report as an error, where something is off.
    ///
    /// # Errors
    /// [`Error::Failed`], naming the first finding.
    pub fn into_result(self) -> Result<Self> {
        match self.findings.first() {
            None => Ok(self),
            Some(first) => Err(Error::Failed(format!("the journal is damaged: {first}"))),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.run.is_empty() {
            write!(formatter, "run {} stream {}", self.run, self.stream)?;
            if let Some(seq) = self.seq {
                write!(formatter, " event {seq}")?;
            }
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.what)
    }
}

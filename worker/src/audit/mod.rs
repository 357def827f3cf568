//! The audit: refolds the whole journal and checks every hash, every transition, every projection and all provenance.
//! Reads in pages; holds one run's partitions in memory, never its batches. A worker may go on meanwhile: what differs
//! is looked at again at one instant before it is called wrong.

mod batches;
pub(crate) mod guards;
mod report;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{Connection, Database};
use crate::chain::Head;
use crate::core::event::{Event, FORMAT};
use crate::core::replay::{RUN_STREAM, RUNBOOK, Replay};
use crate::error::{Doing, Result};
use crate::heads::Heads;
use crate::journal::{self, Entry};
use crate::provenance::{Ends, Packed};
use crate::{projection, provenance, runs};

pub use self::report::{Finding, Report};

/// Events in a page.
const PAGE: u64 = 1_000;

/// What is wrong with an event that is there again.
const TWICE: &str = "it stands more than once";

/// Audits the whole journal; with heads that were kept elsewhere also that nothing up to them is missing.
///
/// # Errors
/// The database's; what is off in the journal is no error but a finding.
pub async fn audit(database: &Database, kept: Option<&Heads>) -> Result<Report> {
    let mut report = Report::default();
    let mut by_run: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (run, stream) in journal::streams(database.connection()).await? {
        by_run.entry(run).or_default().insert(stream);
    }
    let (table, column) = provenance::LOOKED_UP;
    let columns = database.columns(table).await?;
    let has_ends = columns.iter().any(|name| name == column);
    let mut gone = Vec::new();
    for (run, stream, head) in kept.iter().flat_map(|kept| kept.iter()) {
        let streams = by_run.get(run);
        if !streams.is_some_and(|streams| streams.contains(stream)) {
            gone.push(Finding::cut(run, stream, 0, head.seq));
        }
    }
    for (run, streams) in by_run {
        // The run's own stream plans the partitions, so it is folded first.
        let mut streams = Vec::from_iter(streams);
        streams.sort_by_key(|stream| stream != RUN_STREAM);
        report.runs += usize::from(run != RUNBOOK);
        let mut auditor = Auditor::new(database, &run, kept, &mut report);
        auditor.has_ends = has_ends;
        auditor.run(&streams).await?;
    }
    report.findings.extend(gone);
    let mut around = surroundings::look(database.connection()).await?;
    // An event that stands twice may have been met in its stream.
    around.retain(|finding| !report.findings.contains(finding));
    report.findings.extend(around);
    let unguarded = guards::look(database.connection()).await?;
    report.findings.extend(unguarded);
    Ok(report)
}

struct Auditor<'a> {
    database: &'a Database,
    run: &'a str,
    kept: Option<&'a Heads>,
    report: &'a mut Report,
    replay: Replay,
    ends: BTreeMap<String, End>,
    /// The heads before anything was undone: what `UnitCompleted` ties in.
    forward: BTreeMap<String, String>,
    /// The provenance of the stream's next batches, by seq, and the table that each names.
    ahead: BTreeMap<i64, (String, Packed)>,
    /// The ends of their keys, where the schema has them.
    ends_ahead: BTreeMap<i64, Ends>,
    /// Whether it has.
    has_ends: bool,
    /// Whether this build knows every event so far; what follows one that it does not know cannot be folded.
    is_known: bool,
}

/// Where a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    head: Head,
    /// Where its last event stands among those of all streams.
    position: i64,
    /// When its first and its last event were appended.
    times: (i64, i64),
}

impl<'a> Auditor<'a> {
    fn new(
        database: &'a Database,
        run: &'a str,
        kept: Option<&'a Heads>,
        report: &'a mut Report,
    ) -> Self {
        Self {
            database,
            run,
            kept,
            report,
            replay: Replay::default(),
            ends: BTreeMap::new(),
            forward: BTreeMap::new(),
            ahead: BTreeMap::new(),
            ends_ahead: BTreeMap::new(),
            has_ends: false,
            is_known: true,
        }
    }

    fn kept(&self, stream: &str) -> Option<&'a Head> {
        self.kept.and_then(|kept| kept.get(self.run, stream))
    }

    fn connection(&self) -> &'a Connection {
        self.database.connection()
    }

    /// Audits a run's streams.
    async fn run(mut self, streams: &[String]) -> Result<()> {
        let before = self.report.findings.len();
        for stream in streams {
            self.report.streams += 1;
            self.stream(stream).await?;
        }
        if !self.is_known {
            return Ok(());
        }
        if self.run == RUNBOOK {
            self.tied();
            return Ok(());
        }
        self.completed();
        // A projection of a stream that does not fold says nothing more.
        if self.report.findings.len() == before {
            self.projections().await?;
        }
        Ok(())
    }

    async fn stream(&mut self, stream: &str) -> Result<()> {
        let mut end = End::start();
        self.ahead.clear();
        loop {
            let connection = self.connection();
            let page =
                journal::stream_after(connection, self.run, stream, end.head.seq, PAGE).await?;
            for entry in &page {
                self.report.events += 1;
                if let Err(what) = self.event(stream, &end, entry).await? {
                    self.find(stream, Some(entry.seq), what);
                    return Ok(());
                }
                end = end.then(entry);
                if entry.kind != "BatchUndone" {
                    self.forward.insert(stream.to_owned(), entry.hash.clone());
                }
            }
            if (page.len() as u64) < PAGE {
                if let Some(kept) = self.kept(stream).filter(|kept| kept.seq > end.head.seq) {
                    let cut = Finding::cut(self.run, stream, end.head.seq, kept.seq);
                    self.report.findings.push(cut);
                }
                self.ends.insert(stream.to_owned(), end);
                return Ok(());
            }
        }
    }

    /// Checks one event and folds it; the inner error says what is off.
    async fn event(
        &mut self,
        stream: &str,
        End { head, position, .. }: &End,
        entry: &Entry,
    ) -> Result<std::result::Result<(), String>> {
        if entry.seq == head.seq {
            return Ok(Err(TWICE.into()));
        }
        if entry.seq != head.seq + 1 {
            return Ok(Err(format!("event {} before it is missing", head.seq + 1)));
        }
        if entry.prev != head.hash {
            return Ok(Err(
                "it does not follow the event before it: the chain is broken".into(),
            ));
        }
        if journal::hash(entry) != entry.hash {
            return Ok(Err("it does not match its hash: it was changed".into()));
        }
        // Whoever appends to a stream does so behind its end, and positions are given as events are inserted.
        if entry.position <= *position {
            return Ok(Err(
                "its position is not behind that of the event before it: they were renumbered"
                    .into(),
            ));
        }
        let kept = self.kept(stream).filter(|kept| kept.seq == entry.seq);
        if kept.is_some_and(|kept| kept.hash != entry.hash) {
            return Ok(Err("it is not the event that the head names".into()));
        }
        if entry.version > FORMAT {
            self.is_known = false;
            self.report.newer = self.report.newer.max(Some(entry.version));
        }
        if !self.is_known {
            return Ok(Ok(()));
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
                self.provenance((stream, entry.seq), &batch).await
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

    /// The heads that verdicts tie into the runbook's chain are those of their streams.
    fn tied(&mut self) {
        for (stream, head) in std::mem::take(&mut self.replay.runbook.tied) {
            if self.forward.get(&stream) != Some(&head) {
                let what = "it does not end where the runbook says: events at its end are missing, or stand behind it";
                self.find(&stream, None, what.into());
            }
        }
    }

    /// Every projection is what its stream folds into.
    async fn projections(&mut self) -> Result<()> {
        let Some(run) = self.replay.run.take() else {
            return Ok(());
        };
        let rows = projection::load(self.connection(), self.run).await?;
        let mut rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row.stream.clone(), row))
            .collect();
        let mut differing = Vec::new();
        for (stream, state) in std::mem::take(&mut self.replay.partitions) {
            let End { head, times, .. } = self.ends.remove(&stream).unwrap_or_else(End::start);
            let gate = run.gate(&state.planned.unit);
            let folded = projection::row(self.run, &state, gate, &head, times);
            if rows.remove(&stream) != Some(folded) {
                differing.push(stream);
            }
        }
        differing.extend(rows.into_keys());
        for stream in differing {
            if let Some((seq, what)) = self.look_again(&stream).await? {
                self.find(&stream, seq, what.into());
            }
        }
        Ok(())
    }

    /// Looks at a partition at one instant: a worker may have gone on between the reading of its stream and of its row.
    async fn look_again(&self, stream: &str) -> Result<Option<(Option<i64>, &'static str)>> {
        let doing = "looking at a partition again";
        let snapshot = self.database.begin_read().await.doing(doing)?;
        let (run, _) = runs::load(&snapshot, self.run).await?;
        let row = projection::find(&snapshot, self.run, stream).await?;
        let found = match (run.partitions.get(stream), row) {
            (None, None) => None,
            (None, Some(_)) => Some((None, "a projection stands for no partition")),
            (Some(_), None) => Some((None, "its projection is missing")),
            (Some(planned), Some(row)) => {
                let gate = run.gate(&planned.unit);
                let folded = projection::rebuild(&snapshot, self.run, planned, gate).await?;
                let what = "its projection (backstitch_partition) is not what it folds into";
                (folded != row).then_some((Some(folded.seq), what))
            }
        };
        snapshot.rollback().await.doing(doing)?;
        Ok(found)
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

impl End {
    fn start() -> Self {
        Self {
            head: Head::empty(),
            position: 0,
            times: (0, 0),
        }
    }

    fn then(&self, entry: &Entry) -> Self {
        let first = match self.head.seq {
            0 => entry.at,
            _ => self.times.0,
        };
        Self {
            head: Head {
                seq: entry.seq,
                hash: entry.hash.clone(),
            },
            position: entry.position,
            times: (first, entry.at),
        }
    }
}

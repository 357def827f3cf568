//! Watching: samples at fixed instants, each noted in the gate's own stream, and in the end a verdict in the runbook that
//! ties the stream in. A watch that was killed has no verdict, and the next one begins anew.

mod clock;
mod noter;

use std::time::Duration;

use super::verdict::{Ending, Tally, Verdict};
use super::{Slo, Sources};
use crate::backend::Database;
use crate::core::event::{Event, GateJudged, GateSampled, GateStarted};
use crate::core::replay::RUNBOOK;
use crate::error::Result;
use crate::shutdown::Shutdown;
use crate::{journal, runbook};

use self::clock::Clock;
use self::noter::Noter;

/// What is to be watched.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The targets.
    pub slo: &'a Slo,
    /// Where: an environment of the file.
    pub environment: &'a str,
    /// How long.
    pub length: Duration,
    /// How often.
    pub every: Duration,
    /// End with the first sample after which it cannot open any more.
    pub fail_fast: bool,
    /// Who watches, for the journal.
    pub worker: &'a str,
}

/// What is told while it is watched.
#[derive(Debug)]
pub enum Told<'a> {
    /// It begins.
    Begun {
        /// The gate's stream.
        stream: &'a str,
        /// Streams of earlier watches of this environment that have no verdict.
        abandoned: &'a [String],
    },
    /// A sample was taken.
    Sampled {
        /// The sample.
        sample: &'a GateSampled,
        /// What each target came to so far.
        tallies: &'a [Tally],
        /// How long it is still to be watched.
        left: Duration,
    },
    /// A sample could not be noted yet; it is kept, and tried again.
    Unnoted(&'a crate::error::Error),
}

/// A watch that has ended.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The verdict, as it is noted.
    pub judged: GateJudged,
    /// How it ended.
    pub ending: Ending,
}

/// Watches to the end, and notes the verdict.
///
/// # Errors
/// [`crate::error::Error::Usage`]: the file says nothing of the environment. The beginning or the verdict could not
/// be noted; the
/// database's. A source that fails is no error but a gap.
pub async fn watch(
    database: &Database,
    order: &Order<'_>,
    sources: &mut Sources,
    shutdown: &Shutdown,
    mut told: impl FnMut(Told<'_>),
) -> Result<Watched> {
    let Order { slo, every, .. } = *order;
    let required = slo.required(order.environment)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let stream = format!("gate/{}", &id[..12]);
    let abandoned = abandoned(database, order.environment).await?;
    told(Told::Begun {
        stream: &stream,
        abandoned: &abandoned,
    });
    let started = Event::GateStarted(started(order));
    runbook::note_in(database, order.worker, &stream, &[started]).await?;
    let mut noter = Noter::new(database, order.worker, &stream);
    let mut clock = Clock::start(database).await;
    let mut verdict = Verdict::new(&slo.targets);
    let last = ticks(order.length, every);
    let mut ending = Ending::Complete;
    let mut next = 1;
    while next <= last {
        let due = every.saturating_mul(u32::try_from(next).unwrap_or(u32::MAX));
        shutdown.sleep(due.saturating_sub(clock.elapsed())).await;
        if shutdown.is_requested() {
            ending = Ending::Interrupted;
            break;
        }
        clock.compare(every).await;
        // What is due by now is taken now; what was due before is lost.
        next = ticks(clock.elapsed(), every).clamp(next, last);
        let end = every.saturating_mul(u32::try_from(next + 1).unwrap_or(u32::MAX));
        let patience = end.saturating_sub(clock.elapsed());
        let sampling = sources.sample(next, patience);
        // What is asked goes on without us.
        let sample = tokio::select! {
            sample = sampling => sample,
            () = shutdown.requested() => {
                ending = Ending::Interrupted;
                break;
            }
        };
        clock.ask(database);
        verdict.take(&sample);
        noter.push(Event::GateSampled(sample.clone()));
        if let Some(error) = noter.turn().await {
            told(Told::Unnoted(&error));
        }
        told(Told::Sampled {
            sample: &sample,
            tallies: verdict.tallies(),
            left: order.length.saturating_sub(clock.elapsed()),
        });
        next += 1;
        if order.fail_fast && verdict.is_lost(last) && next <= last {
            ending = Ending::FailedFast;
            break;
        }
    }
    if ending == Ending::Complete {
        // The time may be no multiple of the time between two samples.
        let left = order.length.saturating_sub(clock.elapsed());
        shutdown.sleep(left).await;
        clock.compare_at_last(every).await;
        if shutdown.is_requested() && clock.elapsed() < order.length {
            ending = Ending::Interrupted;
        }
    }
    let watched = match ending {
        Ending::Complete => order.length,
        Ending::Interrupted | Ending::FailedFast => clock.elapsed().min(order.length),
    };
    let due = match ending {
        // A machine that slept has missed what was due meanwhile, be it beyond the end.
        Ending::Complete => last.max(ticks(clock.elapsed(), every).saturating_sub(1)),
        Ending::Interrupted | Ending::FailedFast => next - 1,
    };
    let (targets, reasons) = verdict.judge(due, ending, watched, order.length);
    let head = noter.flush().await?;
    let judged = GateJudged {
        stream,
        head: head.hash,
        environment: order.environment.to_owned(),
        open: reasons.is_empty(),
        required_seconds: required.as_secs(),
        watched_seconds: watched.as_secs(),
        targets,
        reasons,
    };
    let event = Event::GateJudged(judged.clone());
    runbook::note(database, order.worker, &[event]).await?;
    Ok(Watched { judged, ending })
}

/// How many times `every` fits into a time.
fn ticks(length: Duration, every: Duration) -> u64 {
    u64::try_from(length.as_nanos() / every.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn started(order: &Order<'_>) -> GateStarted {
    let targets = order.slo.targets.iter();
    GateStarted {
        environment: order.environment.to_owned(),
        slo: order.slo.digest.clone(),
        seconds: order.length.as_secs(),
        every_millis: u64::try_from(order.every.as_millis()).unwrap_or(u64::MAX),
        targets: targets
            .map(|target| format!("{} {}", target.name, target.limit))
            .collect(),
    }
}

/// The streams of earlier watches of an environment that were begun and never judged: their process was killed, or goes on
/// elsewhere.
async fn abandoned(database: &Database, environment: &str) -> Result<Vec<String>> {
    let tied = runbook::load(database).await?.state.tied;
    if !crate::schema::has_journal(database).await? {
        return Ok(Vec::new());
    }
    let connection = database.connection();
    let mut found = Vec::new();
    for (run, stream) in journal::streams(connection).await? {
        if run != RUNBOOK || !stream.starts_with("gate/") || tied.contains_key(&stream) {
            continue;
        }
        let first = journal::at(connection, RUNBOOK, &stream, 1).await?;
        let first = first.map(|entry| journal::event(&entry)).transpose()?;
        if matches!(first, Some(Event::GateStarted(started)) if started.environment == environment)
        {
            found.push(stream);
        }
    }
    Ok(found)
}

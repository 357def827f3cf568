//! Each of a thousand events forged in four ways, by somebody with the power to lift the triggers: found, every time.
//!
//! A verification names the first bad event of each stream, so one of each is forged at a time; those of a run's own
//! stream alone, as all others are folded by what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::random::Random;
use tests::scenario::Scenario;
use tests::{process, scratch};

use crate::tamper::unlocked;

/// The columns of which a byte is flipped.
const COLUMNS: [&str; 6] = ["payload", "payload", "kind", "worker", "prev", "hash"];

/// All but the one that makes most rows of fewest, and so one very long stream.
const UNITS: [&str; 8] = [
    "--unit",
    "campaign_prompt",
    "--unit",
    "intelligence_event",
    "--unit",
    "prompt_performance",
    "--unit",
    "agent_feedback",
];

/// A way to forge an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Flip,
    Delete,
    /// With the next.
    Swap,
    /// With all that follow.
    Cut,
}

/// A run and one of its streams.
type Stream = (String, String);

/// An event by its stream and seq.
type Event = (Stream, i64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_a_thousand_events() -> Result<()> {
    let scenario = worked_on().await?;
    let head = scratch::folder("head")?.join("head.txt");
    let printed = scenario.cli(&["journal", "head"])?.expect(0).await?;
    std::fs::write(&head, &printed.stdout)?;
    // Somebody works on; what was there when the head was taken is still the beginning of each stream.
    scenario.run()?.expect(0).await?;
    let path = head.to_string_lossy().into_owned();
    let verify = ["journal", "verify", "--head", &path];
    scenario.cli(&verify)?.expect(0).await?;

    let now = scenario.cli(&["journal", "head"])?.expect(0).await?;
    let now = lengths(&now.stdout)?;
    let then = lengths(&printed.stdout)?;
    let events: i64 = then.values().sum();
    ensure!(events > 1_000, "only {events} events");
    let (of_runs, others): (Vec<_>, Vec<_>) = then
        .into_iter()
        .partition(|((_, stream), _)| stream == "run");
    let mut random = Random::new(7);
    let mut forged = 0;
    for streams in [of_runs, others] {
        let longest = streams.iter().map(|(_, length)| *length).max();
        for seq in 1..=longest.context("there are no streams")? {
            let is_there = |(stream, length): &(Stream, i64)| {
                (*length >= seq).then(|| ((stream.clone(), seq), now.get(stream) == Some(&seq)))
            };
            let round: Vec<_> = streams.iter().filter_map(is_there).collect();
            for way in [Way::Flip, Way::Delete, Way::Swap, Way::Cut] {
                let copy = scenario.database.copy().await?;
                let found = forge(&copy, way, &round, &head, &mut random).await;
                forged += found.with_context(|| format!("{way:?} of event {seq}"))?;
                copy.close().await?;
            }
        }
    }
    // The last of a stream has no neighbour behind it.
    ensure!(forged > 3 * events, "{forged} forgeries of {events} events");
    Ok(())
}

/// A journal of many short runs, each taken back again but for the last: the shorter its streams, the more events are
/// forged at a time.
async fn worked_on() -> Result<Scenario> {
    let profile = Profile {
        campaigns: 30,
        agent_tasks: 60,
        log_lines: 30,
        ..Profile::busy(Backend::Sqlite, 131)
    };
    let scenario = Scenario::load(&profile).await?;
    loop {
        let small = ["--batch-rows", "20", "--partitions", "1"];
        let run = scenario.run()?.args(small).args(UNITS);
        run.expect(0).await?;
        if scenario.database.count("backstitch_journal").await? > 1_000 {
            return Ok(scenario);
        }
        let rollback = ["rollback", "--yes", "--reason", "a test"];
        scenario.cli(&rollback)?.expect(0).await?;
    }
}

/// How many events each stream had, by the head.
fn lengths(head: &str) -> Result<BTreeMap<Stream, i64>> {
    let mut lengths = BTreeMap::new();
    for line in head.lines() {
        if let [run, stream, seq, _] = line.split('\t').collect::<Vec<_>>()[..] {
            lengths.insert((run.to_owned(), stream.to_owned()), seq.parse()?);
        }
    }
    Ok(lengths)
}

/// Forges these events, each with whether it is its stream's last, and expects each to be named, and no other stream;
/// gives how many there were.
async fn forge(
    copy: &Database,
    way: Way,
    round: &[(Event, bool)],
    head: &Path,
    random: &mut Random,
) -> Result<i64> {
    let mut changes = Vec::new();
    let mut named = BTreeSet::new();
    for ((stream, seq), is_last) in round {
        if way == Way::Swap && *is_last {
            continue;
        }
        changes.extend(changes_for(way, stream, *seq, random));
        // Of an event that is gone, the next is the first that is wrong.
        let off = if way == Way::Delete && !is_last { 1 } else { 0 };
        named.insert((stream.clone(), seq + off));
    }
    if named.is_empty() {
        return Ok(0);
    }
    let changes: Vec<_> = changes.iter().map(String::as_str).collect();
    unlocked(copy, &changes).await?;
    let verify = process::cli(copy)?.args(["journal", "verify", "--head"]);
    let verified = verify.args([head]).expect(3).await?;
    let found = findings(&verified.stdout);
    let missed: Vec<_> = named.difference(&found).collect();
    ensure!(missed.is_empty(), "not found: {missed:?}, but {found:?}");
    let is_forged = |stream: &Stream| named.iter().any(|(other, _)| other == stream);
    let is_of_run = named.iter().any(|((_, stream), _)| stream == "run");
    let other = found
        .iter()
        .find(|(stream, _)| !is_of_run && !is_forged(stream));
    ensure!(other.is_none(), "found as well: {other:?}");
    Ok(i64::try_from(named.len())?)
}

fn changes_for(way: Way, (run, stream): &Stream, seq: i64, random: &mut Random) -> Vec<String> {
    let of = format!("run = '{run}' AND stream = '{stream}'");
    let update = |set: &str, seq: i64| {
        format!("UPDATE backstitch_journal SET {set} WHERE {of} AND seq = {seq}")
    };
    match way {
        Way::Flip => {
            let column = random.pick(&COLUMNS);
            let place = format!("(1 + {} % length({column}))", random.index(10_000));
            let byte = format!("unicode(substr({column}, {place}, 1))");
            let flipped = format!("char(({byte} | 1) - ({byte} & 1))");
            let set = format!(
                "{column} = substr({column}, 1, {place} - 1) || {flipped} || substr({column}, {place} + 1)"
            );
            vec![update(&set, seq)]
        }
        Way::Delete => vec![format!(
            "DELETE FROM backstitch_journal WHERE {of} AND seq = {seq}"
        )],
        Way::Swap => vec![
            update("seq = -1", seq),
            update(&format!("seq = {seq}"), seq + 1),
            update(&format!("seq = {}", seq + 1), -1),
        ],
        Way::Cut => vec![format!(
            "DELETE FROM backstitch_journal WHERE {of} AND seq >= {seq}"
        )],
    }
}

/// The events that a verification found to be off.
fn findings(report: &str) -> BTreeSet<Event> {
    let event = |line: &str| {
        let line = line.strip_prefix("❌ run ")?;
        let (run, line) = line.split_once(" stream ")?;
        let (stream, line) = line.split_once(" event ")?;
        let (seq, _) = line.split_once(": ")?;
        Some(((run.to_owned(), stream.to_owned()), seq.parse().ok()?))
    };
    report.lines().filter_map(event).collect()
}

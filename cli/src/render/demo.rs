//! A demo that was made.

use std::fmt::Write;

use chrono::SecondsFormat;
use serde::Serialize;
use worker::demo::{Counts, Outcome, Size};
use worker::report::number;

use worker::report::table;

/// What `cli demo --json` prints.
#[derive(Serialize)]
pub(crate) struct Document {
    /// Whether it was there already, complete.
    already_there: bool,
    campaigns: u64,
    tasks: u64,
    seed: u64,
    /// The demo's present, milliseconds since 1970.
    as_of: i64,
    /// Rows made, by table; none where it was there already.
    rows: Option<Rows>,
}

#[derive(Serialize)]
struct Rows {
    campaigns: u64,
    assets: u64,
    publish_jobs: u64,
    agent_tasks: u64,
    deals: u64,
    kpi_snapshots: u64,
    user_feedback: u64,
}

/// For programs.
pub(crate) fn document(size: &Size, outcome: &Outcome) -> Document {
    let rows = match outcome {
        Outcome::Created(counts) => Some(Rows {
            campaigns: counts.campaigns,
            assets: counts.assets,
            publish_jobs: counts.publish_jobs,
            agent_tasks: counts.agent_tasks,
            deals: counts.deals,
            kpi_snapshots: counts.kpi_snapshots,
            user_feedback: counts.user_feedback,
        }),
        Outcome::AlreadyThere(_) => None,
    };
    Document {
        already_there: rows.is_none(),
        campaigns: size.campaigns,
        tasks: size.tasks,
        seed: size.seed,
        as_of: size.as_of.timestamp_millis(),
        rows,
    }
}

/// For people, with the commands to run next; `names_database`: they must name it, too.
pub(crate) fn text(size: &Size, outcome: &Outcome, names_database: bool) -> String {
    let mut text = match outcome {
        Outcome::Created(counts) => format!("made a demo: {size}\n{}\n", counted(counts)),
        Outcome::AlreadyThere(size) => format!("this very demo is there already: {size}\n"),
    };
    let as_of = size.as_of.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let _ = write!(
        text,
        "\nnext:\n  cli schema up\n  worker run --as-of {as_of}\n  cli validate\n"
    );
    if names_database {
        // The URL may hold a password, so it is not repeated.
        text.push_str("each with the same --database-url or DATABASE_URL\n");
    }
    text
}

fn counted(counts: &Counts) -> String {
    let rows = [
        ("Campaign", counts.campaigns),
        ("Asset", counts.assets),
        ("PublishJob", counts.publish_jobs),
        ("AgentTask", counts.agent_tasks),
        ("Deal", counts.deals),
        ("KpiSnapshot", counts.kpi_snapshots),
        ("UserFeedback", counts.user_feedback),
    ];
    let rows = rows.map(|(table, rows)| {
        [
            table.to_owned(),
            number(i64::try_from(rows).unwrap_or(i64::MAX)),
        ]
    });
    table(["table", "rows"], rows, &[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_commands_carry_the_demos_present() {
        let size = Size::default();
        let text = text(&size, &Outcome::AlreadyThere(size), true);
        assert!(
            text.contains("worker run --as-of 2025-11-04T00:00:00Z"),
            "{text}"
        );
        assert!(text.contains("DATABASE_URL"), "{text}");
        assert!(document(&size, &Outcome::AlreadyThere(size)).already_there);
    }
}

//! The built-in plan: Phase 5's units, in order. A plan of your own is another list like [`phase5`].

mod agent_feedback;
mod campaign_prompt;
mod intelligence_event;
mod json;
mod kpi_history;
mod paper;
mod prisma;
mod prompt_performance;

pub use self::paper::phase5_paper;
use crate::backend::Dialect;
use crate::core::event::Input;
use crate::core::plan::{Column, ColumnType, Definition, Destination, Write};
use crate::schema::prisma::Hints;
use crate::unit::{SourceTable, Unit};

/// The units of Phase 5; `logs` are the agent log files that `intelligence_event` reads.
#[must_use]
pub fn phase5(logs: Vec<Input>) -> Vec<Box<dyn Unit>> {
    vec![
        Box::new(campaign_prompt::CampaignPrompt::new()),
        Box::new(intelligence_event::IntelligenceEvent::new(logs)),
        Box::new(prompt_performance::PromptPerformance::new()),
        Box::new(kpi_history::KpiHistory::new()),
        Box::new(agent_feedback::AgentFeedback::new()),
    ]
}

/// What the application's Prisma schema says about the tables and no database knows.
#[must_use]
pub fn prisma() -> Hints {
    prisma::HINTS
}

/// The tables of the release before, Phase 4.5, as the statements that make them.
#[must_use]
pub fn release_before(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => include_str!("../demo/phase45.postgres.sql"),
        Dialect::Sqlite => include_str!("../demo/phase45.sqlite.sql"),
    }
}

/// The condition that publish job `j` has a count that is negative, no whole number or fits no column (SQLite's hold
/// any): it is bad and counts nowhere, in no unit.
fn bad_count(dialect: Dialect) -> String {
    let is_bad = ["impressions", "clicks", "conversions"].map(|name| {
        let column = format!("j.\"{name}\"");
        let is_integer = dialect.is_integer(&column);
        format!("NOT {is_integer} OR COALESCE({column} < 0 OR {column} > 2147483647, FALSE)")
    });
    format!("({})", is_bad.join(" OR "))
}

/// Why such a job is bad.
const BAD_COUNT: &str = "a count is negative, no whole number or out of range";

/// Why a row is bad whose date is infinite, or on SQLite no date at all: nobody can tell whether it lies in the window.
const NOT_A_TIME: &str = "createdAt is not a time";

/// A definition, spelled shortly.
struct Spec<'a> {
    name: &'a str,
    version: u32,
    summary: &'a str,
    priority: &'a str,
    depends_on: &'a [&'a str],
    sections: &'a [&'a str],
    table: &'a str,
    columns: &'a [(&'a str, ColumnType)],
    write: Write,
}

impl Spec<'_> {
    fn definition(self) -> Definition {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let columns = self.columns.iter().map(|(name, kind)| Column {
            name: (*name).to_owned(),
            kind: *kind,
        });
        Definition {
            name: self.name.into(),
            version: self.version,
            summary: self.summary.into(),
            priority: self.priority.into(),
            depends_on: owned(self.depends_on),
            sections: owned(self.sections),
            destination: Destination {
                table: self.table.into(),
                key: self.columns[0].0.into(),
                columns: columns.collect(),
                write: self.write,
            },
        }
    }
}

fn table(name: &str, optional: bool, columns: &[&str]) -> SourceTable {
    SourceTable {
        name: name.into(),
        optional,
        columns: columns.iter().map(|column| (*column).into()).collect(),
    }
}

//! The benchmark: the programs beside what one would do instead, round by round in turn on one server, so that what
//! counts are ratios of neighbours; and what a foreground notices meanwhile.

mod facts;
mod foreground;
mod ground;
mod part;
mod plots;
mod processor;
mod report;
mod results;
mod size;
mod sql;
mod statistics;
mod svg;
mod table;
mod timed;
mod watch;

use std::time::Instant;

use anyhow::Result;

use self::facts::Facts;
use self::ground::Ground;
pub use self::part::Part;
use self::results::{Sample, Section};
pub use self::size::Size;
use self::timed::Work;
use crate::database::Database;
use crate::process::{self, Invocation};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much of it.
    pub size: Size,
    /// How often.
    pub rounds: u32,
    /// Which parts.
    pub parts: Vec<Part>,
    /// Whether the document is to be written.
    pub is_kept: bool,
}

/// What all parts work with.
#[derive(Debug)]
pub(crate) struct Bench {
    ground: Ground,
    size: Size,
    rounds: u32,
    /// What `worker run` says that it can do.
    help: String,
    began: Instant,
}

impl Bench {
    /// Whether this build of the worker has an option.
    fn has_option(&self, option: &str) -> bool {
        let is_it = |word: &str| word.trim_end_matches(',') == option;
        self.help.split_whitespace().any(is_it)
    }

    /// The worker on one unit, with its default settings.
    fn backfill(&self, database: &Database, unit: &str) -> Result<Invocation> {
        Ok(process::worker(database)?.args(["run", "--as-of", sql::AS_OF, "--unit", unit]))
    }

    /// Times work on a database, and counts the rows that a table holds then.
    async fn time(
        &self,
        database: &Database,
        contender: &str,
        round: u32,
        work: Work,
        table: &str,
    ) -> Result<Sample> {
        let mut sample = timed::time(&self.ground, database, contender, round, work).await?;
        sample.rows = database.count(table).await?;
        self.tell(&format!(
            "round {round}: {contender}: {:.2} s, {:.1}k rows/s",
            sample.seconds,
            sample.rate() / 1000.0
        ));
        Ok(sample)
    }

    /// Says how far it is.
    fn tell(&self, text: &str) {
        say(&format!("[{:4} s] {text}", self.began.elapsed().as_secs()));
    }
}

/// Measures, part by part, and prints what came of each.
pub async fn run(options: Options) -> Result<()> {
    let help = process::program("worker", "sqlite::memory:")?
        .args(["run", "--help"])
        .expect(0)
        .await?
        .stdout;
    let bench = Bench {
        ground: Ground::start(options.size).await?,
        size: options.size,
        rounds: options.rounds,
        help,
        began: Instant::now(),
    };
    let facts = Facts::look(&bench.ground, options.rounds).await?;
    say(&format!("{}\nsettings: {}", facts.line(), facts.settings));
    let mut sections = Vec::new();
    for part in &options.parts {
        bench.tell(&format!("{} ({})", part.title(), bench.size.name()));
        let mut section = Section::new(part.name(), bench.size, &facts);
        part.measure(&bench, &mut section).await?;
        say(&format!("\n{}\n", table::text(&section, part.title())));
        sections.push(section.clone());
        if options.is_kept {
            let mut results = report::load()?;
            results.put(section);
            report::write(&results)?;
        }
    }
    say(&table::summary(&sections));
    Ok(())
}

/// Writes document and plots anew from what is kept.
pub fn render() -> Result<()> {
    report::write(&report::load()?)
}

/// A line on standard output.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    // Where nobody reads, there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
}

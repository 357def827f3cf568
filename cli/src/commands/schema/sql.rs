//! `cli schema sql`.

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use worker::backend::Dialect;
use worker::core::event::Event;
use worker::error::Error;
use worker::schema::{self, Script};
use worker::{runbook, runs};

use crate::args::Global;
use crate::render::schema::{Reviewed, Sql};
use crate::stop::Result;
use crate::{output, render};

/// Print the SQL of the schema changes, for review: what `cli schema up` executes, each statement with the lock that
/// it takes, and its digest. It is executable as it stands.
///
/// Example: `cli schema sql > review.sql`, then `cli schema sql --reviewed-by "Ada" --digest DIGEST`
///
/// Changes data: no; with --reviewed-by it notes in the journal that somebody has read it, and makes the journal's own
/// tables where there are none.
///
/// Safe to repeat: yes.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {
    /// Only the changes that are pending in the database.
    #[arg(long)]
    pending: bool,

    /// For which database, where none is asked.
    #[arg(long, value_enum, conflicts_with_all = ["pending", "reviewed_by"])]
    dialect: Option<Kind>,

    /// Note in the journal that this person has read the SQL, instead of printing it.
    #[arg(long, value_name = "NAME", conflicts_with = "pending", requires = "digest", value_parser = NonEmptyStringValueParser::new())]
    reviewed_by: Option<String>,

    /// The digest at the end of what was read: it says what was read, and is refused where the SQL is another by now.
    #[arg(long, requires = "reviewed_by")]
    digest: Option<String>,

    /// A remark of the reader's.
    #[arg(long, value_name = "TEXT", requires = "reviewed_by")]
    note: Option<String>,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Postgres,
    Sqlite,
}

/// Prints it, or notes who has read it.
pub(super) async fn run(global: &Global, args: Args) -> Result {
    if let Some(by) = args.reviewed_by {
        return review(global, by, args.digest, args.note).await;
    }
    let script = match args.dialect {
        Some(Kind::Postgres) => Script::of(Dialect::Postgres),
        Some(Kind::Sqlite) => Script::of(Dialect::Sqlite),
        None => Script::for_database(&global.look().await?, args.pending).await?,
    };
    let sql = schema::script(&script)?;
    match global.json {
        true => output::json(&Sql {
            digest: &schema::digest(script.dialect),
            sql: &sql,
        }),
        false => output::result(&sql),
    }
}

async fn review(global: &Global, by: String, read: Option<String>, note: Option<String>) -> Result {
    let database = global.connect().await?;
    let digest = schema::digest(database.dialect());
    if let Some(read) = read.filter(|read| *read != digest) {
        return Err(Error::Refused(format!(
            "what was read has the digest {read}, and the SQL of this program {digest}: read it again (`cli schema sql`)"
        ))
        .into());
    }
    let reviewed = Reviewed {
        digest: digest.clone(),
        by: by.clone(),
        note: note.clone(),
    };
    let event = Event::SqlReviewed { digest, by, note };
    runbook::note(&database, &runs::worker_id("cli"), &[event]).await?;
    match global.json {
        true => output::json(&reviewed),
        false => output::result(&render::schema::reviewed(&reviewed)),
    }
}

//! `cli journal head`.

use serde_json::json;
use worker::heads::Heads;

use crate::args::Global;
use crate::output;
use crate::stop::Result;

/// Print the journal's head: where every stream ends, to be kept somewhere else.
///
/// Example: `cli journal head > head.txt`, and later `cli journal verify --head head.txt`
///
/// Changes data: no.
///
/// Safe to repeat: yes, also while a worker runs.
///
/// The journal's chains show by themselves that an event was changed, or is missing from their midst, but not that the
/// newest were removed: a head that was taken before does. Its last line is a digest of the others; noted in a ticket,
/// it also shows that the file is the one that was taken.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(crate) struct Args {}

/// Prints the head.
pub(crate) async fn run(global: &Global, Args {}: Args) -> Result {
    let database = global.journal_alone().await?;
    let heads = Heads::load(database.connection()).await?;
    if !global.json {
        return output::result(&heads.to_string());
    }
    let streams: Vec<_> = heads
        .iter()
        .map(|(run, stream, head)| json!({"run": run, "stream": stream, "seq": head.seq, "hash": head.hash}))
        .collect();
    output::json(&json!({"digest": heads.digest(), "streams": streams}))
}

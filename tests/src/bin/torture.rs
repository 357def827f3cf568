//! `tests/torture`: the command line of the torture.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tests::database::Backend;
use tests::torture::{self, Ledger, Options, Wanted};

/// Crash it anywhere, cut it anywhere: nothing lost, nothing doubled, nothing left over.
///
/// Runs real workers on a real database until so many faults have struck, at instants drawn from seeds, and compares
/// what stands with a run that nothing disturbed. Exit code 1, and the seed, where anything is wrong.
#[derive(Debug, Parser)]
#[command(name = "tests/torture")]
struct Args {
    /// On which database [default: both, one after the other].
    #[arg(long)]
    backend: Option<Database>,

    /// Kill worker and rollback processes with SIGKILL so many times.
    #[arg(long, value_name = "N", default_value_t = 200)]
    kills: u64,

    /// Crash the server so many times: all of it, or one of its backends. SQLite has none.
    #[arg(long, value_name = "N", default_value_t = 20)]
    server_crashes: u64,

    /// Cut connections so many times. SQLite has none.
    #[arg(long, value_name = "N", default_value_t = 200)]
    cuts: u64,

    /// Worker processes at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,

    /// Seeds worked on at a time, each with a server of its own: a torture mostly waits.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    lanes: u8,

    /// Begin no further seed after so many minutes, whatever has struck by then.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,

    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let backends = match args.backend {
        Some(Database::Sqlite) => vec![Backend::Sqlite],
        Some(Database::Postgres) => vec![Backend::Postgres],
        None => vec![Backend::Sqlite, Backend::Postgres],
    };
    let mut code = ExitCode::SUCCESS;
    for backend in backends {
        let ledger = Ledger::default();
        let ended = run(&args, backend, &ledger);
        say(&format!("\n{backend:?}\n{ledger}"));
        if let Err(error) = ended {
            say(&format!("FAILED: {error:#}"));
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn run(args: &Args, backend: Backend, ledger: &Ledger) -> Result<()> {
    let on_server = |count| match backend {
        Backend::Sqlite => 0,
        Backend::Postgres => count,
    };
    let options = Options {
        backend,
        wanted: Wanted {
            kills: args.kills,
            server_crashes: on_server(args.server_crashes),
            cuts: on_server(args.cuts),
        },
        workers: usize::from(args.workers),
        lanes: usize::from(args.lanes),
        limit: args
            .minutes
            .map(|minutes| Duration::from_secs(60 * minutes)),
        seed: args.seed,
    };
    let began = std::time::Instant::now();
    let told = |seed, ledger: &Ledger, wrong: Option<&str>| {
        if let Some(wrong) = wrong {
            say(&format!("FAILED, the others end: {wrong}"));
        }
        let struck = ledger.struck();
        say(&format!(
            "seed {seed}: so far {} kills, {} server crashes, {} cuts in {} s",
            struck.kills,
            struck.server_crashes,
            struck.cuts,
            began.elapsed().as_secs()
        ));
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(6)
        .enable_all()
        .build()?
        .block_on(torture::torture(options, ledger, told))
}

fn say(text: &str) {
    // Where nobody reads, there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
}

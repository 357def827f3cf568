//! `tests/bench`: the command line of the benchmark.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tests::bench::{self, Options, Part, Size};
use tokio::signal::unix::{SignalKind, signal};

/// Measures the worker beside what one would do instead, in turns on one server, and prints ratios.
///
/// Makes its own PostgreSQL server, in memory unless --disk is given, and removes it. A run of all parts writes
/// tests/BENCHMARKS.md and the plots; one of some parts only prints, unless --keep is given.
#[derive(Debug, Parser)]
#[command(name = "tests/bench")]
struct Args {
    /// How much: S 50,000 events, M 1,000,000, L 10,000,000.
    #[arg(long, value_enum, default_value = "M")]
    size: Size,

    /// How often each is timed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,

    /// Only these parts, separated by commas.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,

    /// Keep what was measured in tests/BENCHMARKS.md, also of a run of some parts.
    #[arg(long)]
    keep: bool,

    /// Measure nothing, and write tests/BENCHMARKS.md and its plots anew from what is kept.
    #[arg(long)]
    render: bool,

    /// Put the server's files on the disk; read by the script.
    #[arg(long)]
    disk: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.render {
        return code(bench::render().map(|()| ExitCode::SUCCESS));
    }
    let all = Part::all();
    let parts = all.iter().copied();
    let options = Options {
        size: args.size,
        rounds: args.rounds,
        is_kept: args.keep || args.only.is_empty(),
        parts: parts
            .filter(|part| args.only.is_empty() || args.only.contains(part))
            .collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let run = |runtime: tokio::runtime::Runtime| runtime.block_on(run(options));
    code(runtime.map_err(anyhow::Error::from).and_then(run))
}

/// What the process ends with; an error is told.
fn code(ended: Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "tests/bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// Ends early on a signal: dropping the work kills the programs that it has started, and the server goes with the
/// process.
async fn run(options: Options) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = bench::run(options) => done.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

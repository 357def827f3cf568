//! `cli gate watch`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use worker::error::Error;
use worker::gate::verdict::Ending;
use worker::gate::{Order, Slo, Told, watch};
use worker::program::paint::{Line, Look};
use worker::program::screen::{self, Way};
use worker::runs;
use worker::shutdown::Shutdown;
use worker::signals::Call;

use super::sources::{self, FileArg};
use crate::args::Global;
use crate::render::gate::live::Lines;
use crate::stop::{Result, Stop};
use crate::{output, render, signals};

/// Watch the targets for as long as an environment asks for, and say whether the gate is open.
///
/// Example: `cli gate watch --environment staging --for 2h --every 30s`
///
/// Changes data: no, it appends to the journal alone: every sample is noted, and the verdict, which ties them in.
///
/// Safe to repeat: yes, each watch is one of its own.
///
/// Exit code 3 where the gate is closed: a target was missed, could not be measured, or was not sampled in time.
///
/// The first sample is taken when the first interval is over, the last at the end. An interrupted watch is closed, and
/// noted as such; one that is killed leaves samples without a verdict, which are no proof: the next begins anew.
#[derive(Debug, clap::Args)]
#[command(after_help = worker::error::EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,

    /// What is watched: an environment of the file.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "production",
        value_parser = NonEmptyStringValueParser::new()
    )]
    environment: String,

    /// How long; without it, as long as the file asks for. A shorter watch is noted as one.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    length: Option<Duration>,

    /// How often; without it, as often as the file says.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    every: Option<Duration>,

    /// End as soon as it cannot open any more.
    #[arg(long)]
    fail_fast: bool,
}

/// Watches.
pub(super) async fn run(global: &Global, args: &Args) -> Result {
    let slo = args.file.load()?;
    let required = slo.required(&args.environment)?;
    let length = args.length.unwrap_or(required);
    let every = args.every.unwrap_or(slo.every);
    check_times(length, every)?;
    let database = global.connect().await?;
    let mut sources = sources::open(&slo, every, Some(&database))?;
    let shutdown = Shutdown::default();
    let asked = signals::listen_with(shutdown.clone(), answer)?;
    sources.begin(every.max(Duration::from_secs(10))).await?;
    let worker = runs::worker_id("cli");
    let order = Order {
        slo: &slo,
        environment: &args.environment,
        length,
        every,
        fail_fast: args.fail_fast,
        worker: &worker,
    };
    if length < required {
        output::note(&render::gate::short(length, required));
    }
    let mut display = Display::new(&slo);
    let watched = watch(&database, &order, &mut sources, &shutdown, |told| {
        display.tell(&told);
    })
    .await;
    display.end();
    let watched = watched?;
    match global.json {
        true => output::json(&render::gate::document(&watched.judged))?,
        false => output::result(&render::gate::verdict(&slo.targets, &watched.judged))?,
    }
    match watched.ending {
        Ending::Interrupted => Err(Stop::Ended(asked.exit_code())),
        _ if watched.judged.open => Ok(()),
        _ => Err(Error::Failed(render::gate::closed(&watched.judged)).into()),
    }
}

fn check_times(length: Duration, every: Duration) -> std::result::Result<(), Error> {
    if every < Duration::from_millis(100) {
        return Err(Error::Usage("--every is too short: 100 ms at least".into()));
    }
    if length < every {
        return Err(Error::Usage(format!(
            "it is to be watched for {}, and sampled every {}: not even once",
            humantime::format_duration(length),
            humantime::format_duration(every)
        )));
    }
    Ok(())
}

fn answer(call: Call) {
    match call {
        Call::Stop => {}
        Call::StopNow(code) | Call::Overdue(code) => {
            output::fail(
                "interrupted before the verdict could be noted: the samples so far are no proof, and the next watch begins \
                 anew",
            );
            std::process::exit(i32::from(code));
        }
    }
}

/// A line for each target that is redrawn on a terminal; elsewhere a line for each sample.
struct Display<'a>(Lines<'a>);

impl<'a> Display<'a> {
    fn new(slo: &'a Slo) -> Self {
        Self(Lines::new(&slo.targets))
    }

    fn tell(&mut self, told: &Told<'_>) {
        match told {
            Told::Begun { stream, abandoned } => {
                output::note(&render::gate::begun(stream, abandoned));
            }
            Told::Unnoted(error) => output::note(&render::gate::unnoted(error)),
            Told::Sampled {
                sample,
                tallies,
                left,
            } => {
                self.0.take(sample);
                match screen::way() {
                    Way::Block => {
                        let lines = self.0.live(tallies, *left).into_iter();
                        screen::show(lines.map(|line| Line::new(line, Look::Plain)).collect());
                    }
                    Way::Lines => output::note(&self.0.plain(sample)),
                    Way::Nothing => {}
                }
            }
        }
    }

    /// What was drawn last stays.
    fn end(self) {
        screen::leave();
    }
}

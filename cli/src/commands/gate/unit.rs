//! `cli gate --unit`.

use std::time::{Duration, Instant};

use worker::error::Error;
use worker::gate::unit;
use worker::shutdown::Shutdown;

use crate::args::Global;
use crate::select;
use crate::signals;
use crate::stop::{Result, Stop};
use crate::{output, render};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);

/// What is waited for.
pub(super) struct Waiting {
    pub(super) units: Vec<String>,
    pub(super) wait: Option<Duration>,
    pub(super) validated: bool,
}

/// Looks, or waits.
pub(super) async fn run(global: &Global, waiting: &Waiting) -> Result {
    let shutdown = Shutdown::default();
    let asked = signals::listen(shutdown.clone())?;
    let database = global.look().await?;
    for unit in &waiting.units {
        select::check_unit(&database, Some(unit)).await?;
    }
    let begun = Instant::now();
    let mut is_told = false;
    let standing = loop {
        let standing = unit::look(&database, &waiting.units, waiting.validated).await;
        let left = waiting
            .wait
            .unwrap_or_default()
            .saturating_sub(begun.elapsed());
        let standing = match standing {
            // What passes is waited for as well.
            Err(error) if error.is_transient() && !left.is_zero() => {
                output::note(&error.to_string());
                None
            }
            standing => Some(standing?),
        };
        if let Some(standing) = standing {
            if standing.reasons.is_empty() || left.is_zero() {
                break standing;
            }
            if !std::mem::replace(&mut is_told, true) {
                output::note(&render::gate::waiting(&standing.reasons));
            }
        }
        shutdown.sleep(LOOK.min(left)).await;
        if shutdown.is_requested() {
            return Err(Stop::Ended(asked.exit_code()));
        }
    };
    match global.json {
        true => output::json(&render::gate::units_document(&waiting.units, &standing))?,
        false if standing.reasons.is_empty() => {
            output::result(&render::gate::units(&waiting.units, &standing))?;
        }
        false => {}
    }
    match &standing.reasons[..] {
        [] => Ok(()),
        reasons => Err(Error::Failed(format!("the gate is closed: {}", reasons.join("; "))).into()),
    }
}

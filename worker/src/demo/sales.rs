//! What no campaign owns: deals, KPI snapshots and user feedback.

use sea_orm::DbErr;

use crate::backend::Transaction;

use super::Size;
use super::campaigns::DAY;
use super::insert::{Cell, Writer};
use super::random::{Random, Stream};
use super::tables::{DEAL, KPI_SNAPSHOT, USER_FEEDBACK};
use super::words::{self, AGENTS, COMMENTS, PEOPLE};

/// Which feedback entry carries a rating off the scale, on purpose.
const FAULTY_FEEDBACK: u64 = 3;

/// Hands over all deals, snapshots and feedback of the demo.
pub(super) async fn write_all(tx: &Transaction, to: &mut Writer, size: &Size) -> Result<(), DbErr> {
    for number in 0..size.campaigns + size.campaigns / 5 {
        to.push(tx, DEAL, deal(size, number)).await?;
    }
    for number in 0..size.campaigns / 10 {
        to.push(tx, KPI_SNAPSHOT, snapshot(size, number)).await?;
    }
    for number in 0..size.campaigns / 5 {
        to.push(tx, USER_FEEDBACK, feedback(size, number)).await?;
    }
    Ok(())
}

/// Deals of the last fourteen months; three in four have closed, unless that would be after the demo's present.
fn deal(size: &Size, number: u64) -> Vec<Cell> {
    let now = size.as_of.timestamp_millis();
    let mut random = Random::new(size.seed, Stream::Deal, &[number]);
    let (id, tenant) = (random.id(), words::tenant(&mut random));
    let opened = now - random.below(430 * DAY);
    let closed = opened + 5 * DAY + random.below(65 * DAY);
    let closed = (random.percent(75) && closed <= now).then_some(closed);
    let kind = match random.below(100) {
        0..60 => "new",
        60..85 => "expansion",
        _ => "churn",
    };
    let stage = match closed {
        Some(_) if kind == "churn" => "ClosedLost",
        Some(_) => *random.pick(&[
            "ClosedWon",
            "ClosedWon",
            "ClosedLost",
            "ClosedLost",
            "ClosedLost",
        ]),
        None => *random.pick(&["MQL", "SQL", "Demo", "Proposal", "Commit"]),
    };
    let hundreds = if kind == "new" {
        random.int(60, 900)
    } else {
        random.int(20, 300)
    };
    vec![
        Cell::text(id),
        Cell::text(tenant.id),
        Cell::text(kind),
        Cell::text(stage),
        Cell::Real(f64::from(hundreds * 100)),
        Cell::time(opened),
        Cell::Time(closed),
    ]
}

/// Half of the snapshots stand for values that can also be computed; the other half only for themselves.
fn snapshot(size: &Size, number: u64) -> Vec<Cell> {
    // Every tenth corrects the one before it, later on the same day.
    let corrects = number % 10 == 9;
    let now = size.as_of.timestamp_millis();
    let mut random = Random::new(
        size.seed,
        Stream::Snapshot,
        &[if corrects { number - 1 } else { number }],
    );
    let (id, tenant) = (random.id(), words::tenant(&mut random));
    let age = if random.percent(94) {
        1 + random.below(88)
    } else {
        95 + random.below(60)
    };
    let day = (now / DAY - age) * DAY;
    let known = number.is_multiple_of(2) || corrects;
    let (metric, value) = *random.pick(if known { &KNOWN } else { &OTHER });
    let value = f64::from(random.int(value / 2, value)) / 10_000.0;
    let period = *random.pick(if known {
        &["7d", "14d", "30d", "qtd", "ytd"]
    } else {
        &["weekly", "monthly", "7d", "30d", "weekly"]
    });
    let department = match random.below(3) {
        _ if !known => Some(*random.pick(&["sales", "marketing", "ops"])),
        0 => None,
        _ => Some("executive"),
    };
    let metadata = random
        .percent(70)
        .then(|| r#"{"report": "weekly review", "source": "report"}"#.to_owned());
    let taken = day + 6 * DAY / 24 + random.below(DAY / 4);
    let (id, taken, value) = if corrects {
        (corrected_id(size, number), taken + DAY / 4, value * 1.25)
    } else {
        (id, taken, value)
    };
    vec![
        Cell::text(id),
        Cell::text(tenant.id),
        Cell::text(metric),
        Cell::Real(value),
        Cell::text(period),
        Cell::Text(department.map(str::to_owned)),
        Cell::Json(metadata),
        Cell::time(taken),
    ]
}

/// A correction takes all but its id from the snapshot that it corrects.
fn corrected_id(size: &Size, number: u64) -> String {
    Random::new(size.seed, Stream::Snapshot, &[number]).id()
}

/// Metrics with their largest plausible value, in ten-thousandths.
const KNOWN: [(&str, i32); 4] = [
    ("arr_run_rate", 2_000_000_000),
    ("pipeline_velocity", 20_000_000),
    ("win_rate", 6_000),
    ("content_ctr", 500),
];
const OTHER: [(&str, i32); 4] = [
    ("lead_count", 9_000_000),
    ("customer_acquisition_cost", 8_000_000),
    ("win_rate", 6_000),
    ("ticket_backlog", 900_000),
];

fn feedback(size: &Size, number: u64) -> Vec<Cell> {
    let mut random = Random::new(size.seed, Stream::Feedback, &[number]);
    let (id, agent, task) = (random.id(), random.pick(&AGENTS), random.id());
    let faulty = number == FAULTY_FEEDBACK;
    let age = if random.percent(96) || faulty {
        random.below(89 * DAY)
    } else {
        (91 + random.below(90)) * DAY
    };
    let source = *random.pick(&["human", "human", "human", "system", "automated"]);
    let rating = random.percent(85).then(|| random.int(1, 5));
    let comment = random
        .percent(60)
        .then(|| (*random.pick(&COMMENTS)).to_owned());
    let action = random
        .percent(40)
        .then(|| *random.pick(&["prompt_adjusted", "model_switched", "parameter_tuned"]));
    let person = *random.pick(&PEOPLE);
    vec![
        Cell::text(id),
        Cell::text(agent.kind),
        Cell::text(task),
        Cell::text(source),
        Cell::Int(if faulty { Some(9) } else { rating }),
        Cell::Text(comment),
        Cell::Text(action.map(str::to_owned)),
        Cell::time(size.as_of.timestamp_millis() - age),
        Cell::text(if source == "human" {
            person
        } else {
            "quality-bot"
        }),
    ]
}

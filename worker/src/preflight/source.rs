//! Whether the tables are what the plan expects, and the order of their keys can be relied on.

use super::Finding;
use super::rights::tables;
use crate::backend::Database;
use crate::backend::health::Collation;
use crate::core::plan::Write;
use crate::engine::Plan;
use crate::error::{Error, Result};
use crate::schema;

pub(super) async fn look(database: &Database, plan: &Plan) -> Result<Vec<Finding>> {
    let mut findings = vec![of_source(database, plan).await?];
    findings.push(of_schema(database, plan).await?);
    if let Some(server) = database.server().await? {
        let collations = database.collations(&server, &tables(plan)).await?;
        findings.push(collation(&collations));
        let small = database.small_sequences(&tables(plan)).await?;
        findings.push(headroom(&small));
    }
    Ok(findings)
}

async fn of_source(database: &Database, plan: &Plan) -> Result<Finding> {
    const ID: &str = "source";
    let (missing, faults) = schema::look_at_source(database, plan).await?;
    if !faults.is_empty() {
        return Ok(Finding::stop(
            ID,
            faults.join("; "),
            "bring the source to the schema that the plan was made for, or use a release with a plan for yours",
        ));
    }
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort();
    Ok(match missing.as_slice() {
        [] => Finding::ok(ID, "every table and column that the plan reads is there"),
        missing => Finding {
            advice: Some(
                "see that this is the right database: nothing of them will be written".into(),
            ),
            ..Finding::ok(
                ID,
                format!(
                    "every table that the plan must have is there; it goes on without {}",
                    missing.join(", ")
                ),
            )
        },
    })
}

async fn of_schema(database: &Database, plan: &Plan) -> Result<Finding> {
    const ID: &str = "schema";
    let changes = match schema::status(database).await {
        Ok(changes) => changes,
        Err(Error::Refused(why)) => {
            return Ok(Finding::stop(ID, why, "use the release that applied it"));
        }
        Err(error) => return Err(error),
    };
    let pending: Vec<_> = changes
        .iter()
        .filter(|change| !change.is_applied)
        .map(|change| change.name.as_str())
        .collect();
    if !pending.is_empty() {
        return Ok(Finding {
            advice: Some("`cli plan` shows its SQL and locks, `cli schema up` applies it".into()),
            ..Finding::ok(ID, format!("pending: {}", pending.join(", ")))
        });
    }
    for unit in plan.iter() {
        let destination = &unit.definition().destination;
        if let Err(error @ (Error::Usage(_) | Error::Refused(_))) =
            schema::image(database, destination).await
        {
            return Ok(Finding::stop(
                ID,
                error.to_string(),
                "see whose table it is",
            ));
        }
        if destination.write == Write::Insert && database.is_followed(&destination.table).await? {
            return Ok(Finding::warning(
                ID,
                format!(
                    "triggers fire when rows are written to {}",
                    destination.table
                ),
                "see what they do with old rows: send mail, call somebody? Disable them for the run where they should \
                 not fire",
            ));
        }
    }
    Ok(Finding::ok(
        ID,
        "every schema change is applied, and the destinations are as expected",
    ))
}

/// An index that was built in another order finds rows no more: pages are read in the order of keys.
fn collation(collations: &[Collation]) -> Finding {
    const ID: &str = "collation";
    let changed = collations
        .iter()
        .find(|collation| collation.recorded.is_some() && collation.recorded != collation.actual);
    if let Some(changed) = changed {
        return Finding::stop(
            ID,
            format!(
                "the order {} has version {}, its indexes were built with {}",
                changed.name,
                changed.actual.as_deref().unwrap_or("none"),
                changed.recorded.as_deref().unwrap_or("none")
            ),
            "indexes of text may not find their rows any more: REINDEX DATABASE CONCURRENTLY, then ALTER DATABASE … \
             REFRESH COLLATION VERSION (ALTER COLLATION … for one of a column)",
        );
    }
    let Some(own) = collations.first() else {
        return Finding::ok(ID, "text is ordered as the server has it");
    };
    let library = if own.is_icu {
        "ICU"
    } else {
        "the operating system"
    };
    match &own.recorded {
        Some(version) => Finding::ok(
            ID,
            format!(
                "{} by {library}, version {version} as when it was made",
                own.name
            ),
        ),
        None => Finding::ok(
            ID,
            format!("{} by {library}, which has no version", own.name),
        ),
    }
}

fn headroom(sequences: &[crate::backend::health::Sequence]) -> Finding {
    const ID: &str = "int4-headroom";
    let mut fullest: Vec<_> = sequences
        .iter()
        .filter(|sequence| sequence.used >= 0.7)
        .collect();
    fullest.sort_by(|one, other| other.used.total_cmp(&one.used));
    let advice = "its column runs out of numbers: make it BIGINT before long";
    match fullest.first() {
        None => Finding::ok(
            ID,
            format!(
                "{} of 32 bits or fewer behind columns of these tables, none over 70 % used; sums that do not fit their \
                 column are set aside as bad rows",
                match sequences.len() {
                    1 => "1 sequence".to_owned(),
                    count => format!("{count} sequences"),
                }
            ),
        ),
        Some(sequence) => {
            let found = format!("{} is at {:.0} %", sequence.name, sequence.used * 100.0);
            match sequence.used >= 0.9 {
                true => Finding::stop(ID, found, advice),
                false => Finding::warning(ID, found, advice),
            }
        }
    }
}

//! Whether there is a backup to go back to, as far as the runbook knows.

use super::{Finding, Look};
use crate::backend::Database;
use crate::core::event::Event;
use crate::error::Result;
use crate::{journal, runbook};

const ID: &str = "backup-age";

pub(super) async fn look(database: &Database, look: &Look) -> Result<Vec<Finding>> {
    let advice =
        "take one with `cli backup create`, or let your provider: `cli backup create -- COMMAND`";
    let runbook = runbook::load(database).await?;
    let taken = runbook.newest(|event| match event {
        Event::BackupTaken(backup) => Some((backup, &backup.database)),
        // The database that came of it is no other one.
        Event::BackupRestored(restored) => Some((&restored.backup, &restored.to)),
        _ => None,
    });
    let Some((_, (backup, of))) = taken else {
        return Ok(vec![Finding::stop(
            ID,
            "the runbook knows of no backup",
            advice,
        )]);
    };
    let now = journal::now(database.connection()).await?;
    let age = now.saturating_sub(backup.begun_at);
    let most = i64::try_from(look.backup_age.as_millis()).unwrap_or(i64::MAX);
    let found = format!("backup {} is {} old", backup.id, words(age));
    let mut findings = vec![if age > most {
        Finding::stop(ID, format!("{found}, over {}", words(most)), advice)
    } else if *of != database.identity().await? {
        Finding::stop(ID, format!("{found}, and of another database"), advice)
    } else {
        Finding::ok(ID, found)
    }];
    let verified = runbook.newest(|event| match event {
        Event::BackupVerified(verified) if verified.backup == backup.id => Some(verified),
        _ => None,
    });
    let read_back =
        "`cli backup verify --full` reads it back: a backup that nobody has read is a hope";
    findings.push(match verified {
        None => Finding::warning(
            "backup-verified",
            format!("backup {} was never read back", backup.id),
            read_back,
        ),
        Some((_, verified)) if !verified.problems.is_empty() => Finding::stop(
            "backup-verified",
            format!("backup {}: {}", backup.id, verified.problems.join("; ")),
            "take another one",
        ),
        Some((_, verified)) if verified.full => Finding::ok(
            "backup-verified",
            format!("backup {} was restored elsewhere and counted", backup.id),
        ),
        Some(_) => Finding::ok(
            "backup-verified",
            format!("backup {} was read back, and not restored", backup.id),
        ),
    });
    Ok(findings)
}

/// Milliseconds in words, to the second.
fn words(millis: i64) -> String {
    let seconds = u64::try_from(millis / 1_000).unwrap_or(0);
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

//! Backups: taken, listed, verified, restored.

use std::fmt::Write;

use serde::Serialize;
use worker::backup::{Listed, Restored, Step, Verification};
use worker::core::event::{Backup, BackupMethod, BackupRestored, BackupVerified};
use worker::report::{duration, number, table};
use worker::time::show;

use super::text::{count, line};

/// Problems that an error names; the result lists all.
const NAMED: usize = 5;

/// How far something is.
pub(crate) fn step(step: Step) -> String {
    match step {
        Step::Written(bytes) => format!("{} written", size(bytes)),
        Step::Counted { tables, of } => {
            format!(
                "rows of {tables} of {} counted",
                count(super::text::length(of), "table")
            )
        }
        Step::Read { bytes, of } => format!("{} of {} read back", size(bytes), size(of)),
        Step::Restored(bytes) => format!("{} restored", size(bytes)),
    }
}

/// A backup that was taken.
pub(crate) fn taken(backup: &Backup) -> String {
    let mut text = format!("backup {} is taken {}\n", backup.id, how(backup));
    if let BackupMethod::Command { output, .. } = &backup.method {
        for said in output.lines().filter(|said| !said.is_empty()) {
            let _ = writeln!(text, "  {}", line(said));
        }
        return text;
    }
    let _ = writeln!(
        text,
        "  in       {}\n  holds    {} of {}\n  size     {}, SHA-256 {}\n  took     {}",
        backup.place,
        count(rows(backup), "row"),
        count(super::text::length(backup.rows.len()), "table"),
        size(backup.bytes),
        backup.digest,
        took(backup),
    );
    text.push_str(
        "`cli backup verify --full` restores it into a database of its own and counts the rows\n",
    );
    text
}

/// All backups as a table.
pub(crate) fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "there is no backup; `cli backup create` takes one".into();
    }
    let header = ["backup", "taken", "by", "size", "rows", "verified", "where"];
    let rows = listed.iter().map(|listed| {
        let backup = &listed.backup;
        let is_snapshot = matches!(backup.method, BackupMethod::Command { .. });
        let number_of = |text: String| if is_snapshot { "-".into() } else { text };
        let place = match (&listed.folder, is_snapshot) {
            (Some(folder), _) => folder.display().to_string(),
            (None, true) => "at the provider".into(),
            (None, false) => format!("gone from {}", backup.place),
        };
        let unknown = if listed.is_noted {
            ""
        } else {
            " (not in the journal)"
        };
        [
            line(&backup.id),
            show(backup.begun_at),
            method(backup).to_owned(),
            number_of(size(backup.bytes)),
            number_of(number(rows(backup))),
            verdict(listed),
            line(&format!("{place}{unknown}")),
        ]
    });
    table(header, rows, &[3, 4])
}

/// A backup that was read back.
pub(crate) fn verified(verification: &Verification) -> String {
    let verified = &verification.verified;
    let mut text = String::new();
    let backup = &verified.backup;
    match (verified.problems.as_slice(), verified.full) {
        ([], true) => {
            let _ = writeln!(
                text,
                "✅ backup {backup}: every file has its SHA-256; restored and counted: {} of {}, as it says",
                count(verified.rows, "row"),
                count(verified.tables, "table")
            );
        }
        ([], false) => {
            let _ = writeln!(
                text,
                "✅ backup {backup}: every file has its SHA-256, and {} read back\n--full restores and counts the rows",
                count(verified.tables, "table")
            );
        }
        (problems, _) => {
            let _ = writeln!(text, "❌ backup {backup}");
            for problem in problems {
                let _ = writeln!(text, "  {}", line(problem));
            }
        }
    }
    if !verification.is_noted {
        text.push_str("not noted: this database's journal does not know the backup\n");
    }
    text.push_str(&left_over(&verification.left_over));
    text
}

/// What is wrong with a backup, as one line; none: nothing is.
pub(crate) fn problems(verification: &Verification) -> Option<String> {
    let problems = &verification.verified.problems;
    if problems.is_empty() {
        return None;
    }
    let more = match problems.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let named: Vec<_> = problems.iter().take(NAMED).map(String::as_str).collect();
    Some(format!(
        "the backup {} is not sound: {}{more}; do not rely on it: take another",
        verification.verified.backup,
        named.join(", ")
    ))
}

/// What a restore is about to do.
pub(crate) fn about_to(listed: &Listed, target: &str) -> String {
    let backup = &listed.backup;
    let rows = match backup.rows.is_empty() {
        true => String::new(),
        false => format!(", with {}", count(rows(backup), "row")),
    };
    format!(
        "puts {target} back to {} from backup {}{rows}; what was written since is in the database that is kept alone",
        show(backup.begun_at),
        line(&backup.id)
    )
}

/// A database that was put back.
pub(crate) fn restored(restored: &Restored, is_file: bool) -> String {
    let noted = &restored.noted;
    let mut text = format!(
        "the database is put back to {} from backup {}\n",
        show(noted.backup.begun_at),
        noted.backup.id
    );
    if !noted.backup.rows.is_empty() {
        let _ = writeln!(
            text,
            "  holds    {}, as the backup says",
            count(rows(&noted.backup), "row")
        );
    }
    if let Some(kept) = &noted.kept_as {
        let drop = match is_file {
            true => format!("rm '{kept}'"),
            false => format!("DROP DATABASE \"{kept}\""),
        };
        let _ = writeln!(
            text,
            "  before   kept as {kept}; once nobody needs it: {drop}"
        );
    }
    if !noted.head.is_empty() {
        let _ = writeln!(text, "  journal  the one before ended at {}", noted.head);
    }
    for problem in &noted.problems {
        let _ = writeln!(text, "  ⚠️  {}", line(problem));
    }
    if let Some(run) = &restored.open_run {
        let _ = writeln!(
            text,
            "run {run} was open when the backup was taken: `worker run --adopt-database` goes on with it"
        );
    }
    text.push_str(&left_over(&restored.left_over));
    text
}

fn left_over(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!(
            "left over from an earlier command that was killed, and nobody's any more: {}\n",
            names.join(", ")
        ),
    }
}

/// A backup of the list, for programs.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    backup: &'a Backup,
    /// Where its files are now.
    folder: Option<String>,
    noted: bool,
    verified_at: Option<i64>,
    verified: Option<&'a BackupVerified>,
}

/// All backups, for programs: one array.
pub(crate) fn documents(listed: &[Listed]) -> Vec<Document<'_>> {
    let documents = listed.iter().map(|listed| Document {
        backup: &listed.backup,
        folder: listed
            .folder
            .as_ref()
            .map(|folder| folder.display().to_string()),
        noted: listed.is_noted,
        verified_at: listed.verified.as_ref().map(|(at, _)| *at),
        verified: listed.verified.as_ref().map(|(_, verified)| verified),
    });
    documents.collect()
}

/// A verification, for programs.
#[derive(Serialize)]
pub(crate) struct Verdict<'a> {
    #[serde(flatten)]
    verified: &'a BackupVerified,
    noted: bool,
    left_over: &'a [String],
}

/// A verification, for programs.
pub(crate) fn verification(verification: &Verification) -> Verdict<'_> {
    Verdict {
        verified: &verification.verified,
        noted: verification.is_noted,
        left_over: &verification.left_over,
    }
}

/// A restore, for programs.
#[derive(Serialize)]
pub(crate) struct Restoration<'a> {
    #[serde(flatten)]
    noted: &'a BackupRestored,
    open_run: Option<&'a str>,
    left_over: &'a [String],
}

/// A restore, for programs.
pub(crate) fn restoration(restored: &Restored) -> Restoration<'_> {
    Restoration {
        noted: &restored.noted,
        open_run: restored.open_run.as_deref(),
        left_over: &restored.left_over,
    }
}

fn rows(backup: &Backup) -> i64 {
    backup.rows.values().sum()
}

fn method(backup: &Backup) -> &'static str {
    match backup.method {
        BackupMethod::Directory => "pg_dump, directory",
        BackupMethod::Custom => "pg_dump, custom",
        BackupMethod::Sqlite => "SQLite's copy",
        BackupMethod::Command { .. } => "a command",
    }
}

fn how(backup: &Backup) -> String {
    match &backup.method {
        BackupMethod::Command { command, .. } => {
            let command: Vec<_> = command.iter().map(|part| line(part)).collect();
            format!("by `{}`, which ended well and said:", command.join(" "))
        }
        _ => format!("by {}, of {}", method(backup), line(&backup.server)),
    }
}

fn verdict(listed: &Listed) -> String {
    match &listed.verified {
        None => "never".into(),
        Some((at, verified)) => {
            let what = match (verified.problems.is_empty(), verified.full) {
                (true, true) => "in full",
                (true, false) => "files",
                (false, _) => "NOT SOUND",
            };
            format!("{what}, {}", show(*at))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn took(backup: &Backup) -> String {
    duration(backup.millis as f64 / 1_000.0)
}

/// A size for people: `12.3 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit < UNITS.len() - 1 {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 * (1 << 40), "5.0 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn what_is_not_sound_is_said_once_and_in_full() {
        let backup = Backup {
            id: "app-1".into(),
            method: BackupMethod::Custom,
            place: "/b/app-1".into(),
            database: "d".into(),
            server: "PostgreSQL 15".into(),
            bytes: 1,
            digest: "d".into(),
            rows: [("t".to_owned(), 3)].into(),
            begun_at: 0,
            millis: 1,
        };
        let verified = BackupVerified {
            backup: "app-1".into(),
            full: false,
            tables: 0,
            rows: 0,
            problems: (1..=7).map(|number| format!("problem {number}")).collect(),
        };
        let verification = Verification {
            backup: backup.clone(),
            verified: verified.clone(),
            is_noted: true,
            left_over: Vec::new(),
        };
        let error = problems(&verification).expect("problems");
        assert!(error.contains("problem 5, and 2 more"), "{error}");
        assert!(super::verified(&verification).contains("problem 7"));
        let listed = Listed {
            backup,
            folder: None,
            is_noted: false,
            verified: Some((0, verified)),
        };
        let list = list(&[listed]);
        assert!(
            list.contains("NOT SOUND") && list.contains("gone from"),
            "{list}"
        );
    }
}

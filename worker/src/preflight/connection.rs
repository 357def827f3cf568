//! The connection: what is at its other end, whether something stands between, whether the clocks agree.

use super::{Finding, Machine, Verdict};
use crate::backend::Database;
use crate::backend::health::{File, Server, Session};
use crate::error::Result;
use crate::journal;

/// The oldest release that is tested, and the oldest that has all that is asked of it.
const TESTED: i32 = 150_000;
const OLDEST: i32 = 130_000;

/// Connections that a worker makes unless it is told otherwise.
const CONNECTIONS: i64 = 8;

/// A difference between two clocks that nobody would notice, milliseconds.
const SAME_TIME: i64 = 2_000;

pub(super) async fn look(database: &Database, machine: Machine) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Some(server) = database.server().await? {
        findings.extend(of_server(&server));
        findings.push(kind(database.session().await?));
    }
    if let Some(file) = database.file().await? {
        findings.push(of_file(&file));
    }
    let before = (machine.now)();
    let theirs = journal::now(database.connection()).await?;
    let after = (machine.now)();
    findings.push(clock(before, theirs, after));
    Ok(findings)
}

fn of_server(server: &Server) -> Vec<Finding> {
    let found = format!("PostgreSQL {}, as role {}", server.version, server.role);
    let version = Finding::ok("server", &found);
    let version = match server.number {
        TESTED.. => version,
        OLDEST.. => version.at(
            Verdict::Warning,
            "15 is the oldest release that is tested: rehearse on a copy first",
        ),
        _ => version.at(Verdict::Stop, "use a server of release 15 or newer"),
    };
    let writable = match (server.is_replica, server.is_read_only) {
        (true, _) => Finding::stop("writable", "the server is a replica", "name the primary"),
        (false, true) => Finding::stop(
            "writable",
            "default_transaction_read_only is on",
            "set it off for the role or the database",
        ),
        (false, false) => Finding::ok("writable", "the server takes writes"),
    };
    let encoding = Finding::ok(
        "encoding",
        format!("the database's text is {}", server.encoding),
    );
    let encoding = match server.encoding.as_str() {
        "UTF8" => encoding,
        _ => encoding.at(
            Verdict::Stop,
            "source files and metadata may hold characters that it cannot: use a database in UTF8",
        ),
    };
    let free = Finding::ok(
        "connections",
        format!(
            "{} more connections are to be had, a worker makes {CONNECTIONS}",
            server.free
        ),
    );
    let free = match server.free {
        CONNECTIONS.. => free,
        _ => free.at(
            Verdict::Warning,
            "close some, raise the limit, or run with --workers 1",
        ),
    };
    vec![version, writable, encoding, free]
}

fn kind(session: Session) -> Finding {
    match session {
        Session::Own => Finding::ok(
            "pooler",
            "direct, or by a pooler that pools whole sessions: a session is ours while we are connected",
        ),
        Session::Shared => Finding {
            advice: Some(
                "run against it as you are; its pool needs room for what a worker has open at a time (7 with two \
                 workers). Take backups by the server's own address: pg_dump keeps state in its session"
                    .into(),
            ),
            ..Finding::ok(
                "pooler",
                "pooled: each transaction may get another session; Backstitch keeps nothing in one, so runs, undo and \
                 schema changes work the same",
            )
        },
    }
}

fn of_file(file: &File) -> Finding {
    Finding::ok(
        "server",
        format!(
            "SQLite {}, {} in journal mode {}",
            file.version,
            crate::size::show(file.bytes),
            file.journal
        ),
    )
}

/// The database's clock is the one that counts: it dates events, and a run stands for one of its instants.
fn clock(before: i64, theirs: i64, after: i64) -> Finding {
    let ahead = match theirs {
        theirs if theirs > after => theirs - after,
        theirs if theirs < before => theirs - before,
        _ => 0,
    };
    let found = match ahead {
        0 => "the database's clock and this machine's show the same".to_owned(),
        _ => format!(
            "the database's clock is {}.{:03} s {} this machine's",
            ahead.abs() / 1_000,
            ahead.abs() % 1_000,
            if ahead > 0 { "ahead of" } else { "behind" }
        ),
    };
    match ahead.abs() <= SAME_TIME {
        true => Finding::ok("clock", found),
        false => Finding::warning(
            "clock",
            found,
            "the database's clock dates the journal and is what --as-of is compared with: see which is right (chronyc, \
             timedatectl)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, clock};

    #[test]
    fn a_clock_is_judged_by_the_moment_it_was_read_in() {
        for (theirs, verdict, word) in [
            (1_000, Verdict::Ok, "the same"),
            (1_500, Verdict::Ok, "the same"),
            (4_000, Verdict::Ok, "2.000 s ahead of"),
            (4_001, Verdict::Warning, "2.001 s ahead of"),
            (-62_000, Verdict::Warning, "63.000 s behind"),
        ] {
            let finding = clock(1_000, theirs, 2_000);
            assert_eq!(finding.verdict, verdict, "{theirs}");
            assert!(finding.found.contains(word), "{}", finding.found);
        }
    }
}

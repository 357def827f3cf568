//! What a program says when it fails, as one line without a row's value, and what that means for the exit code. Pure.

use crate::error::Error;

/// Words of a failure that may pass: the server or the connection is away, room is short, somebody holds a lock.
const PASSING: [&str; 12] = [
    "no space left on device",
    "disk quota exceeded",
    "disk full",
    "could not connect",
    "connection to server",
    "server closed the connection",
    "terminating connection",
    "lock timeout",
    "could not obtain lock",
    "lost synchronization",
    "the database system is",
    "too many clients",
];

/// Words of a failure that the configuration is to blame for.
const CONFIGURED: [&str; 8] = [
    "permission denied",
    "must be owner",
    "must be superuser",
    "must be able to set role",
    "must be member of role",
    "password authentication failed",
    "no password supplied",
    "query would be affected by row-level security policy",
];

/// Words of a pooler that stands between.
const POOLED: [&str; 4] = [
    "unsupported startup parameter",
    "invalid snapshot identifier",
    "pgbouncer",
    "bouncer config",
];

/// How a program ended that was not to end so, as an error. `doing` is what it was for.
pub(super) fn failure(doing: &str, ended: &str, said: &str) -> Error {
    let line = condensed(said);
    let words = match line.as_str() {
        "" => format!("{doing}: {ended}, and said nothing"),
        line => format!("{doing}: {line}"),
    };
    let lower = line.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if has(&POOLED) {
        return Error::Usage(format!(
            "{words}; PostgreSQL's own programs need a session of their own, which a transaction pooler does not give: \
             name the server itself for this command"
        ));
    }
    if has(&CONFIGURED) {
        return Error::Usage(format!(
            "{words}; grant the role what it lacks, or use another role"
        ));
    }
    if has(&PASSING) {
        let hint = if has(&["space left", "quota", "disk full"]) {
            "make room"
        } else {
            "see to the cause"
        };
        return Error::Transient(format!("{words}; {hint}, then run the same command again"));
    }
    Error::Unexpected(words)
}

/// The errors among the lines that a program of PostgreSQL's has printed, as one line. What the server adds (DETAIL,
/// CONTEXT, the statement) quotes rows, and so does what stands in quotes behind a colon.
pub(super) fn condensed(said: &str) -> String {
    let is_raised = (said.lines()).any(|line| line.contains("PL/") && line.contains("function"));
    let mut parts: Vec<String> = Vec::new();
    for line in said.lines() {
        let Some((_, text)) = line
            .split_once(": ")
            .filter(|(program, _)| is_program(program))
        else {
            continue;
        };
        let text = match text.split_once(": ") {
            Some(("error" | "fatal" | "detail", text)) => text,
            // Progress, and what follows an error: what was being done, hints, warnings.
            Some(_) | None => continue,
        };
        let text = match text.split_once("ERROR:") {
            Some((doing, _)) if is_raised => {
                format!("{doing}a function of the database's own raised an error")
            }
            Some((doing, answer)) => format!("{doing}{}", unquoted(answer)),
            None => text.to_owned(),
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() && !parts.contains(&text) && parts.len() < 3 {
            parts.push(text);
        }
    }
    parts.join("; ")
}

/// A server's message up to a value that it quotes: names stand behind a space, values behind a colon.
fn unquoted(message: &str) -> &str {
    message.split(": \"").next().unwrap_or_default()
}

/// Whether a line's first word may be the name of a program, such as `pg_dump`.
fn is_program(word: &str) -> bool {
    !word.is_empty() && (word.bytes()).all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// What a program printed, for the journal: control characters spelled out, secrets left out.
pub(super) fn harmless(printed: &[u8], secrets: &[String]) -> String {
    let mut text = String::from_utf8_lossy(printed).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "[the password]");
    }
    let mut harmless = String::with_capacity(text.len());
    for character in text.trim().chars() {
        match character {
            '\n' => harmless.push('\n'),
            '\t' => harmless.push(' '),
            '\r' => {}
            character if character.is_control() => harmless.extend(character.escape_default()),
            character => harmless.push(character),
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_values_are_left_out() {
        let said = "pg_restore: connecting to database for restore\n\
            pg_restore: while PROCESSING TOC:\n\
            pg_restore: from TOC entry 1; 0 1 TABLE DATA t u\n\
            pg_restore: error: COPY failed for table \"t\": ERROR:  invalid input syntax for type integer: \"CANARY\"\n\
            CONTEXT:  COPY t, line 1, column id: \"CANARY\"\n\
            pg_restore: error: could not execute query: ERROR:  could not create unique index \"t_email_key\"\n\
            DETAIL:  Key (email)=(CANARY) is duplicated.\n\
            Command was: ALTER TABLE t ADD UNIQUE (email);\n";
        assert_eq!(
            condensed(said),
            "COPY failed for table \"t\": invalid input syntax for type integer; could not execute query: could not \
             create unique index \"t_email_key\""
        );
        let raised = "pg_restore: error: COPY failed for table \"t\": ERROR:  bad row CANARY\n\
            CONTEXT:  PL/pgSQL function f() line 1 at RAISE\n";
        assert!(
            !condensed(raised).contains("CANARY"),
            "{}",
            condensed(raised)
        );
    }

    #[test]
    fn what_went_wrong_gives_the_exit_code() {
        let code = |said: &str| failure("dumping", "exit code 1", said).exit_code();
        for (expected, said) in [
            (
                5,
                "pg_dump: error: could not write to file: No space left on device",
            ),
            (
                5,
                "pg_dump: error: connection to server at \"h\", port 1 failed: Connection refused",
            ),
            (
                2,
                "pg_dump: error: query failed: ERROR:  permission denied for table x",
            ),
            (
                2,
                "pg_dump: error: query failed: ERROR:  invalid snapshot identifier: \"1\"",
            ),
            (1, "pg_dump: error: something else"),
            (1, ""),
        ] {
            assert_eq!(code(said), expected, "{said}");
        }
        let silent = failure("dumping", "signal 9 ended it", "").to_string();
        assert_eq!(silent, "dumping: signal 9 ended it, and said nothing");
    }

    #[test]
    fn output_cannot_speak_to_a_terminal() {
        let printed = "a\x1b[2J\r\nhunter2\tb\n".as_bytes();
        let secrets = ["hunter2".to_owned()];
        assert_eq!(harmless(printed, &secrets), "a\\u{1b}[2J\n[the password] b");
    }
}

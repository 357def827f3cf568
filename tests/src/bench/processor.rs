//! Who used the processors: read from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks of `/proc` in a second; Linux shows 100 of them whatever its own are.
const TICKS: f64 = 100.0;

/// Seconds of CPU since some beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Of the server's sessions, those that have ended included.
    pub(crate) sessions: f64,
    /// Of the server's own processes.
    pub(crate) server: f64,
    /// Of the whole machine.
    pub(crate) machine: f64,
    /// Of this process.
    pub(crate) own: f64,
}

impl Used {
    /// Looks at the server that a process is the root of.
    pub(crate) fn now(postmaster: u32) -> Result<Self> {
        let root = stat(postmaster).context("the server has ended")?;
        let mut used = Self {
            // What its children used that have ended: nearly all of them were sessions.
            sessions: root.ended,
            server: root.own,
            machine: machine(&fs::read_to_string("/proc/stat")?),
            own: stat(std::process::id()).map_or(0.0, |found| found.own),
        };
        for id in processes()? {
            let Some(found) = stat(id).filter(|found| found.parent == postmaster) else {
                continue;
            };
            let title = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            match is_session(&title) {
                true => used.sessions += found.own,
                false => used.server += found.own,
            }
        }
        Ok(used)
    }

    /// What was used since an earlier look.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            sessions: self.sessions - earlier.sessions,
            server: self.server - earlier.server,
            machine: self.machine - earlier.machine,
            own: self.own - earlier.own,
        }
    }
}

/// Seconds of CPU of a process; none where there is none.
#[must_use]
pub(crate) fn of(id: u32) -> Option<f64> {
    stat(id).map(|found| found.own)
}

/// The most memory that a process ever held, in KiB; none where there is none.
#[must_use]
pub(crate) fn peak(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    held.trim().trim_end_matches(" kB").trim().parse().ok()
}

struct Stat {
    parent: u32,
    own: f64,
    ended: f64,
}

fn stat(id: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The fields behind the name, which may hold anything, parentheses too.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |from: usize| -> Option<f64> {
        let user: f64 = fields.get(from)?.parse().ok()?;
        let system: f64 = fields.get(from + 1)?.parse().ok()?;
        Some((user + system) / TICKS)
    };
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(11)?,
        ended: seconds(13)?,
    })
}

/// Seconds of all processors that were not idle.
fn machine(text: &str) -> f64 {
    let all = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = all
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal: guests are within user.
    let busy = fields
        .iter()
        .take(8)
        .enumerate()
        .filter(|(place, _)| ![3, 4].contains(place));
    busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS
}

/// `postgres: user database 127.0.0.1(port) INSERT` has an address; `postgres: checkpointer` has none.
fn is_session(title: &str) -> bool {
    let is_helper = title.contains("parallel worker") || title.contains("autovacuum worker");
    title.contains("127.0.0.1") || is_helper
}

fn processes() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    let names = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse().ok()
    });
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::{is_session, machine, parse};

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 200 0 0 150 50 1000 500 20 0 1 0 5 0 0";
        let found = parse(text).expect("is well formed");
        assert_eq!(found.parent, 7);
        assert!((found.own - 2.0).abs() < 1e-9);
        assert!((found.ended - 15.0).abs() < 1e-9);
    }

    #[test]
    fn a_machine_is_busy_but_for_idle_and_waiting() {
        let text = "cpu  100 200 300 9999 8888 10 20 70 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert!((machine(text) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_session_has_an_address() {
        assert!(is_session(
            "postgres: backstitch test_1 127.0.0.1(5000) INSERT"
        ));
        assert!(is_session("postgres: parallel worker for PID 12"));
        assert!(!is_session("postgres: checkpointer "));
    }
}

//! The machine that was measured on.

use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::ground::Ground;

/// Where and when something was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The processor's model.
    pub(crate) processor: String,
    /// How many there are.
    pub(crate) cores: usize,
    /// Memory, in GiB.
    pub(crate) memory: u64,
    /// The kernel.
    pub(crate) kernel: String,
    /// The server's release.
    pub(crate) postgresql: String,
    /// What the server's files lie on: `tmpfs`, or a disk's file system.
    pub(crate) storage: String,
    /// The server's settings that are not its defaults.
    pub(crate) settings: String,
    /// The commit of the programs.
    pub(crate) commit: String,
    /// The day, UTC.
    pub(crate) date: String,
    /// Rounds.
    pub(crate) rounds: u32,
}

impl Facts {
    /// Looks around.
    pub(crate) async fn look(ground: &Ground, rounds: u32) -> Result<Self> {
        let database = ground.maintenance();
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let folder = ground.cluster.folder().display().to_string();
        Ok(Self {
            processor: model(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism()?.get(),
            memory: memory(&read("/proc/meminfo")),
            kernel: said("uname", &["-sr"]),
            postgresql: database.value("SHOW server_version").await?,
            storage: said("stat", &["-f", "-c", "%T", &folder]),
            settings: ground.settings().await?,
            commit: said("git", &["describe", "--always", "--dirty", "--exclude=*"]),
            date: database
                .value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
                .await?,
            rounds,
        })
    }

    /// In one line.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        format!(
            "{} × {}, {} GiB, {}, PostgreSQL {} on {}, commit {}, {}, {} rounds",
            self.cores,
            self.processor,
            self.memory,
            self.kernel,
            self.postgresql,
            self.storage,
            self.commit,
            self.date,
            self.rounds
        )
    }
}

/// What a program says; `unknown` where it cannot be asked.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match text {
        Ok(text) if !text.is_empty() => text,
        _ => "unknown".to_owned(),
    }
}

fn model(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':'));
    model.map_or_else(
        || "unknown".to_owned(),
        |(_, model)| model.trim().to_owned(),
    )
}

/// In GiB, rounded up.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0).div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::{memory, model};

    #[test]
    fn processor_and_memory_are_read() {
        assert_eq!(
            model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"),
            "Some CPU @ 2 GHz"
        );
        assert_eq!(model(""), "unknown");
        assert_eq!(memory("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), 24);
    }
}

//! A line as a person would type it, with both programs at hand.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::{self, Invocation};

/// Prepares a line for the shell, with both programs and those of a folder on its PATH, for an address that it gets through
/// the environment.
pub fn line(line: &str, url: &str, cwd: &Path, stand_ins: &Path) -> Result<Invocation> {
    let programs = process::binary("cli")?;
    let programs = programs.parent().context("find the programs")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [stand_ins.to_owned(), programs.to_owned()];
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?;
    let mut command = Command::new("bash");
    command
        .args(["--norc", "-euo", "pipefail", "-c", line])
        .env("PATH", path)
        .env("DATABASE_URL", url)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(Invocation::of(command, line))
}

//! PostgreSQL's own programs: where they are, and whether they are new enough.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// Where Debian's packages install them, a folder a release.
const PACKAGED: &str = "/usr/lib/postgresql";

/// Where authorities that the system trusts are listed: libpq before 16 must be told.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// What the process's surroundings say, as the library reads no environment.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The folders in which programs are looked for: `PATH`.
    pub path: Option<OsString>,
    /// A folder that somebody named; nothing else is looked at then.
    pub folder: Option<PathBuf>,
    /// Whether the environment names an authority for TLS (`PGSSLROOTCERT`).
    pub has_authority: bool,
    /// A password in the environment (`PGPASSWORD`), which is kept out of what programs print.
    pub password: Option<String>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Surroundings")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A program of PostgreSQL's, and its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    /// The major release.
    pub(super) release: u32,
}

/// Finds a program that is at least of this major release: in the folder that somebody named, else on the `PATH`, else the
/// newest that a package has installed.
///
/// # Errors
/// [`Error::Usage`]: there is none, or it is too old; with what to install.
pub(super) fn find(name: &'static str, least: u32, surroundings: &Surroundings) -> Result<Tool> {
    let folders = match &surroundings.folder {
        Some(folder) => vec![folder.clone()],
        None => {
            let path = surroundings.path.clone().unwrap_or_default();
            let named =
                std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
            named.chain(packaged()).collect()
        }
    };
    let mut old: Option<Tool> = None;
    for folder in folders {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let Some(release) = release(&path) else {
            continue;
        };
        let tool = Tool {
            name,
            path,
            release,
        };
        if release >= least {
            return Ok(tool);
        }
        if old.as_ref().is_none_or(|old| old.release < release) {
            old = Some(tool);
        }
    }
    let place = match &surroundings.folder {
        Some(folder) => format!("in {}", folder.display()),
        None => format!("on the PATH nor below {PACKAGED}"),
    };
    Err(Error::Usage(match old {
        Some(old) => format!(
            "{} is of release {}, older than the server's {least}, whose databases it cannot read: install {name} {least} \
             or newer (Debian and Ubuntu: apt-get install postgresql-client-{least}), or name its folder with --pg-bin",
            old.path.display(),
            old.release
        ),
        None => format!(
            "there is no {name} {place}: install PostgreSQL's client programs, release {least} or newer (Debian and \
             Ubuntu: apt-get install postgresql-client-{least}; macOS: brew install libpq), or name their folder with \
             --pg-bin"
        ),
    }))
}

/// The authorities that TLS goes by where a certificate is verified and nobody named one: ours are the system's, libpq's
/// would be a file in the user's folder.
pub(super) fn authorities(tool: &Tool, mode: &str) -> Option<OsString> {
    if mode == "verify-full" && tool.release >= 16 {
        return Some("system".into());
    }
    let is_verified = mode.starts_with("verify-");
    let mut lists = AUTHORITIES.iter().filter(|_| is_verified);
    lists.find(|list| Path::new(list).is_file()).map(Into::into)
}

/// The folders of Debian's packages, the newest release first.
fn packaged() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(PACKAGED)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let release = entry.file_name().to_str()?.parse().ok()?;
            Some((release, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}

fn release(program: &Path) -> Option<u32> {
    let mut command = Command::new(program);
    let command = command
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let command = command.env_remove("DATABASE_URL").env_remove("PGPASSWORD");
    let output = command.output().ok()?;
    parsed(&String::from_utf8_lossy(&output.stdout))
}

/// The major release in `pg_dump (PostgreSQL) 15.6 (Debian 15.6-1)`.
fn parsed(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("(PostgreSQL) ")?;
    let digits = rest
        .split(|character: char| !character.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(
            parsed("pg_dump (PostgreSQL) 15.6 (Debian 15.6-1)\n"),
            Some(15)
        );
        assert_eq!(parsed("pg_dump (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parsed("something else"), None);
    }

    #[test]
    fn what_is_missing_or_old_is_told_with_what_to_install() {
        let folder = tempfile::tempdir().expect("a folder");
        let surroundings = Surroundings {
            folder: Some(folder.path().to_owned()),
            ..Surroundings::default()
        };
        let told = |least| {
            let refused = find("pg_dump", least, &surroundings).map(|tool| tool.release);
            refused.map_err(|error| (error.exit_code(), error.to_string()))
        };
        let (code, text) = told(15).expect_err("nothing is there");
        assert!(code == 2 && text.contains("postgresql-client-15"), "{text}");
        let program = folder.path().join("pg_dump");
        std::fs::write(&program, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.2'\n").expect("written");
        use std::os::unix::fs::PermissionsExt;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, executable).expect("set");
        let (code, text) = told(15).expect_err("it is too old");
        assert!(
            code == 2 && text.contains("release 14, older than"),
            "{text}"
        );
        assert_eq!(told(14), Ok(14));
    }
}

//! Where the database's address comes from, and what must never be logged because it may hold a password.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Log targets that show parts of an address, for both programs to switch off, whatever `RUST_LOG` says: parameters
/// of a URL that are not known, lines of a `.pgpass` that cannot be read, and the options of a connection.
pub const NEVER_LOGGED: [&str; 3] = [
    "sqlx_postgres::options=off",
    "sea_orm::driver=off",
    "sea_orm::database=off",
];

/// An address is a line; a file beyond this is something else.
const MAX_BYTES: u64 = 64 * 1024;

/// The address that was named: as it is, by the environment's variable, or as a file's only line. None: none was.
///
/// A file that others can read is taken all the same, with a warning: in a container, secrets are often mounted so,
/// where nobody else is.
///
/// # Errors
/// [`Error::Usage`]: a file and another were named; the variable is empty; the file cannot be read, or holds not one
/// line. Nothing of it is shown.
pub fn url(
    named: Option<&str>,
    variable: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<String>> {
    match (named.or(variable), file) {
        (Some(url), None) if url.trim().is_empty() => Err(Error::Usage(
            "DATABASE_URL is empty: name a database, or unset it".into(),
        )),
        (Some(_), Some(_)) => Err(Error::Usage(
            "--database-url-file names a database, and --database-url (or DATABASE_URL in the environment) does, too: \
             leave one of them out"
                .into(),
        )),
        (Some(url), None) => Ok(Some(url.to_owned())),
        (None, Some(path)) => {
            let like = "such as postgres://user:password@host/database";
            line(path, "the database URL", like).map(Some)
        }
        (None, None) => Ok(None),
    }
}

/// Refuses a command that is journaled and has a password among its words.
///
/// # Errors
/// [`Error::Usage`], which tells nothing of it.
pub fn check_command(words: &[String], secrets: &[String]) -> Result<()> {
    let is_told = |word: &String| secrets.iter().any(|secret| word.contains(secret.as_str()));
    match words.iter().any(is_told) {
        false => Ok(()),
        true => Err(Error::Usage(
            "the database's password is in the command, which is journaled and which everybody on the machine can read: \
             give it in another way"
                .into(),
        )),
    }
}

/// A secret that is a file's only line, called `what` and made `like`. That others can read the file is told as a warning.
///
/// # Errors
/// [`Error::Usage`]: the file cannot be read, or holds not one line. Nothing of it is shown.
pub fn line(path: &Path, what: &str, like: &str) -> Result<String> {
    let shown = path.display();
    let unreadable = |error| Error::Usage(format!("cannot read {what} from {shown}: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if is_open_to_others(&file.metadata().map_err(unreadable)?) {
        tracing::warn!("{shown} holds {what}, and others can read it: chmod 600 it");
    }
    let mut bytes = Vec::new();
    let mut start = file.take(MAX_BYTES);
    start.read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let line = text.trim();
    if line.is_empty() || line.contains('\n') || text.len() as u64 == MAX_BYTES {
        return Err(Error::Usage(format!(
            "{shown} should hold {what} as its only line, {like}"
        )));
    }
    Ok(line.to_owned())
}

/// A pipe or a device is nobody else's, whatever its mode.
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.is_file() && metadata.permissions().mode() & 0o077 != 0
}

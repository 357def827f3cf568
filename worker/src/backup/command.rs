//! A provider's snapshot: a command of the operator's, run without a shell, whose output and exit are kept.

use std::process::Command;

use super::tools::Surroundings;
use super::{child, said};
use crate::backend::Address;
use crate::core::event::BackupMethod;
use crate::credentials;
use crate::error::{Error, Result};
use crate::shutdown::Shutdown;

/// What stands for the backup's id in an argument.
const ID: &str = "{id}";

/// What a command that is not ours has no business with.
const NOT_PASSED_ON: [&str; 2] = ["DATABASE_URL", "PGPASSWORD"];

/// Runs a command that takes or restores a snapshot, to a good end; none: somebody asked to stop.
///
/// # Errors
/// [`Error::Usage`]: it cannot be started, or the password is among its arguments. [`Error::Unexpected`]: it failed, with
/// the end of what it printed.
pub(super) async fn run(
    command: &[String],
    id: &str,
    address: &Address,
    surroundings: &Surroundings,
    shutdown: &Shutdown,
) -> Result<Option<BackupMethod>> {
    let command: Vec<String> = command.iter().map(|part| part.replace(ID, id)).collect();
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Usage("no command was given behind `--`".into()));
    };
    let mut secrets = address.secrets();
    secrets.extend(surroundings.password.clone());
    secrets.retain(|secret| !secret.is_empty());
    credentials::check_command(&command, &secrets)?;
    let mut invocation = Command::new(program);
    invocation.args(arguments);
    for name in NOT_PASSED_ON {
        invocation.env_remove(name);
    }
    let doing = format!("running {program}");
    let Some(ended) = child::run(invocation, &doing, shutdown, || {}).await? else {
        return Ok(None);
    };
    let output = said::harmless(&ended.printed, &secrets);
    match ended.status.code() {
        Some(exit @ 0) => Ok(Some(BackupMethod::Command {
            command,
            exit,
            output,
        })),
        _ => {
            let said = if output.is_empty() {
                "nothing"
            } else {
                &output
            };
            Err(Error::Unexpected(format!(
                "{doing}: {}; it said: {said}",
                ended.words()
            )))
        }
    }
}

//! Running another program: without a shell, with nothing of a password on its command line, and to its end, unless
//! somebody asks to stop.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::said;
use super::tools::{self, Surroundings, Tool};
use crate::backend::Address;
use crate::error::{Error, Result};
use crate::shutdown::Shutdown;

/// How often a program that runs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long a program may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is kept of what a program prints: its end.
const KEPT: usize = 4 * 1024;

/// What these programs set is of their session (an empty `search_path`), and behind a transaction pooler the application
/// may meet it in its own. Poolers refuse such an option at the start; a server takes it, and it changes nothing.
const NO_POOLER: &str = " -c lock_timeout=0";

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The end of what it printed, on both streams.
    pub(super) printed: Vec<u8>,
}

impl Ended {
    /// In words: `exit code 3`, `signal 9 ended it`.
    pub(super) fn words(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal} ended it"),
            (None, None) => "it ended".to_owned(),
        }
    }
}

/// A file with a password for libpq, which is gone with the process, however that ends.
pub(super) struct Passfile {
    file: File,
    /// Where there is no `/proc`, it has a name.
    named: Option<tempfile::TempPath>,
}

impl Passfile {
    fn make(password: &str) -> Result<Self> {
        if password.contains(['\n', '\r', '\0']) {
            return Err(Error::Usage(
                "the password has a line break in it, so that PostgreSQL's own programs cannot be given it: change it"
                    .into(),
            ));
        }
        let made = || -> std::io::Result<Self> {
            let (mut file, path) = tempfile::NamedTempFile::new()?.into_parts();
            let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
            writeln!(file, "*:*:*:*:{escaped}")?;
            let mut made = Self {
                file,
                named: Some(path),
            };
            // A file without a name, reached by this process's handle: not even a kill leaves it behind.
            if std::path::Path::new(&made.by_handle()).exists() {
                made.named = None;
            }
            Ok(made)
        };
        made().map_err(|error| super::failed("handing the password over", &error))
    }

    fn by_handle(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    fn path(&self) -> std::ffi::OsString {
        match &self.named {
            Some(path) => path.as_os_str().to_owned(),
            None => self.by_handle().into(),
        }
    }
}

/// A program of PostgreSQL's for a database, and what must live as long as it runs.
pub(super) fn of_postgres(
    tool: &Tool,
    address: &Address,
    surroundings: &Surroundings,
) -> Result<(Command, Option<Passfile>)> {
    let mut command = Command::new(&tool.path);
    // What the driver does not heed either, or what would come before the address.
    for name in [
        "DATABASE_URL",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGHOSTADDR",
        "PGDATABASE",
    ] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
    let variables = address.variables()?;
    let mut options = std::ffi::OsString::new();
    let has_authority =
        surroundings.has_authority || variables.iter().any(|(name, _)| *name == "PGSSLROOTCERT");
    for (name, value) in variables {
        if name == "PGSSLMODE"
            && !has_authority
            && let Some(list) = tools::authorities(tool, &value.to_string_lossy())
        {
            command.env("PGSSLROOTCERT", list);
        }
        match name {
            "PGOPTIONS" => options.push(&value),
            name => {
                command.env(name, value);
            }
        }
    }
    options.push(NO_POOLER);
    command.env("PGOPTIONS", options);
    let passfile = match address.password() {
        Some(password) => {
            let passfile = Passfile::make(&password)?;
            command
                .env_remove("PGPASSWORD")
                .env("PGPASSFILE", passfile.path());
            Some(passfile)
        }
        None => None,
    };
    command.arg("--no-password");
    Ok((command, passfile))
}

/// The argument that names a database, whatever characters are in its name.
pub(super) fn dbname(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
    format!("--dbname=dbname='{escaped}'")
}

/// Runs a program to its end, `tick` being called beside it; none: somebody asked to stop, and it is gone.
///
/// # Errors
/// [`Error::Usage`]: it cannot be started. [`Error::Unexpected`]: the operating system's.
pub(super) async fn run(
    command: Command,
    doing: &str,
    shutdown: &Shutdown,
    tick: impl FnMut(),
) -> Result<Option<Ended>> {
    let mut ended = None;
    collected(command, doing, shutdown, KEPT, tick, &mut ended).await?;
    Ok(ended)
}

/// The same for all that it prints on standard output, which must be little; its errors are in the error.
pub(super) async fn output(
    command: Command,
    doing: &str,
    shutdown: &Shutdown,
) -> Result<Option<String>> {
    let mut ended = None;
    collected(command, doing, shutdown, usize::MAX, || {}, &mut ended).await?;
    let Some(ended) = ended else { return Ok(None) };
    let text = String::from_utf8_lossy(&ended.printed).into_owned();
    match ended.status.success() {
        true => Ok(Some(text)),
        false => Err(said::failure(doing, &ended.words(), &text)),
    }
}

async fn collected(
    mut command: Command,
    doing: &str,
    shutdown: &Shutdown,
    keep: usize,
    mut tick: impl FnMut(),
    ended: &mut Option<Ended>,
) -> Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| {
        let reason = super::reason(&error);
        Error::Usage(format!("{doing}: cannot start {program}: {reason}"))
    })?;
    let kept = Arc::new(Mutex::new(VecDeque::new()));
    let stdout = child
        .stdout
        .take()
        .map(|stream| collect(stream, &kept, keep));
    let stderr = child
        .stderr
        .take()
        .map(|stream| collect(stream, &kept, keep));
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => {
                end(&mut child).await;
                return Err(super::failed(doing, &error));
            }
        }
        if shutdown.is_requested() {
            end(&mut child).await;
            return Ok(());
        }
        tick();
        shutdown.sleep(LOOK).await;
    };
    // A grandchild may hold the streams for ever; what was printed by now is what there is.
    for _ in 0..20 {
        let is_read =
            |reader: &Option<JoinHandle<()>>| reader.as_ref().is_none_or(JoinHandle::is_finished);
        if is_read(&stdout) && is_read(&stderr) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let printed = kept.lock().unwrap_or_else(PoisonError::into_inner);
    *ended = Some(Ended {
        status,
        printed: printed.iter().copied().collect(),
    });
    Ok(())
}

/// Ends a program: it is asked to, so that it ends its own, and killed where it does not.
async fn end(child: &mut Child) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended since.
        let _ = kill_process(id, Signal::TERM);
    }
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads a stream to its end and keeps the last bytes.
fn collect(
    mut stream: impl Read + Send + 'static,
    kept: &Arc<Mutex<VecDeque<u8>>>,
    keep: usize,
) -> JoinHandle<()> {
    let kept = Arc::clone(kept);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(&bytes[..read]);
            let excess = kept.len().saturating_sub(keep);
            kept.drain(..excess);
        }
    })
}

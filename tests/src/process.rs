//! Running the two programs as a person would: from outside, with time limits, kills and signals.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cluster;
use crate::database::Database;
use crate::roles::Role;
use crate::scratch;

/// No invocation in the suites comes near this, unless it hangs.
const LIMIT: Duration = Duration::from_secs(240);

/// SIGKILL's number, which no program can catch.
const SIGKILL: i32 = 9;

/// A program about to be run.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    shown: String,
}

/// Prepares the worker for a database.
pub fn worker(database: &Database) -> Result<Invocation> {
    program("worker", &database.url_as(Role::Worker))
}

/// Prepares the cli for a database, to look at it.
pub fn cli(database: &Database) -> Result<Invocation> {
    program("cli", &database.url_as(Role::Viewer))
}

/// Prepares either program for an address, which it gets through the environment.
pub fn program(name: &str, url: &str) -> Result<Invocation> {
    let folder = scratch::folder("cwd")?;
    let mut command = Command::new(binary(name)?);
    command
        .env("DATABASE_URL", url)
        // SQLite makes a temporary file and then unlinks it; a kill between the two leaves it behind.
        .env("SQLITE_TMPDIR", &folder)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(Invocation {
        command,
        shown: name.to_owned(),
    })
}

/// The program in `target/<profile>`, where a program of the tests' own is too; test executables are one folder below.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("find the target folder")?;
    let folder = match folder.ends_with("deps") {
        true => folder.parent().context("find the target folder")?,
        false => folder,
    };
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "{} is not built: tests/run does it, or `tests/run --build` alone",
        path.display()
    );
    Ok(path)
}

impl Invocation {
    /// One of a command that is prepared already.
    pub(crate) fn of(command: Command, shown: &str) -> Self {
        let shown = shown.to_owned();
        Self { command, shown }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, S>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sends its standard error to a file instead of keeping it.
    #[must_use]
    pub fn errors_to(mut self, file: std::fs::File) -> Self {
        self.command.stderr(file);
        self
    }

    /// Gives it another address, such as a proxy's before the same database.
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        self.command.env("DATABASE_URL", url);
        self
    }

    /// Takes the address out of the environment.
    #[must_use]
    pub fn without_url(mut self) -> Self {
        self.command.env_remove("DATABASE_URL");
        self
    }

    /// Starts it.
    pub fn spawn(mut self) -> Result<Running> {
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("start {}", self.shown))?;
        let stdout = collect(child.stdout.take().context("a piped standard output")?);
        let stderr = child.stderr.take().map(collect);
        Ok(Running {
            child,
            stdout: Some(stdout),
            stderr,
            shown: self.shown,
        })
    }

    /// Runs it to its end.
    pub async fn run(self) -> Result<Outcome> {
        self.spawn()?.wait().await
    }

    /// Runs it, reads one line of its standard output and hangs up, as `head -1` does, then waits for its end.
    pub async fn read_one_line(mut self) -> Result<Outcome> {
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("start {}", self.shown))?;
        let mut stdout = BufReader::new(child.stdout.take().context("a piped standard output")?);
        let stderr = collect(child.stderr.take().context("a piped standard error")?);
        let stdout = std::thread::spawn(move || {
            let mut line = Vec::new();
            // A program that says nothing has no line to give, which is what the caller will see.
            let _ = stdout.read_until(b'\n', &mut line);
            line
        });
        let running = Running {
            child,
            stdout: Some(stdout),
            stderr: Some(stderr),
            shown: self.shown,
        };
        running.wait().await
    }

    /// Runs it to its end, which must have this exit code.
    pub async fn expect(self, code: i32) -> Result<Outcome> {
        self.run().await?.expect(code)
    }
}

/// A running program. It is killed when the test gives up on it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    shown: String,
}

impl Running {
    /// The arguments of every process that it has started, and its own, as everybody on the machine can read them.
    pub fn command_lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut waiting = vec![self.child.id().to_string()];
        while let Some(id) = waiting.pop() {
            // A process may have ended meanwhile.
            let read = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            lines.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
            let children = String::from_utf8(read(&format!("task/{id}/children")))?;
            waiting.extend(children.split_whitespace().map(str::to_owned));
        }
        Ok(lines)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .stderr(Stdio::null())
            .status()?;
        ensure!(
            status.success(),
            "{} could not be sent SIG{name}; has it ended already?",
            self.shown
        );
        Ok(())
    }

    /// Kills it as `kill -9` does, and waits.
    pub async fn kill(mut self) -> Result<Outcome> {
        self.child.kill()?;
        self.wait().await
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> Result<Outcome> {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                let (stdout, stderr) = self.output()?;
                bail!(
                    "{} took more than {LIMIT:?}\n{stdout}\n{stderr}",
                    self.shown
                );
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        };
        let (stdout, stderr) = self.output()?;
        let outcome = Outcome {
            status,
            stdout,
            stderr,
            shown: self.shown.clone(),
        };
        for text in [&outcome.stdout, &outcome.stderr] {
            ensure!(
                !text.contains(cluster::PASSWORD),
                "the password was printed by {outcome}"
            );
        }
        Ok(outcome)
    }

    fn output(&mut self) -> Result<(String, String)> {
        let take = |handle: Option<JoinHandle<Vec<u8>>>| -> Result<String> {
            let bytes = handle.context("output that was taken already")?.join();
            let bytes = bytes.map_err(|_| anyhow::anyhow!("reading the output panicked"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let stderr = self.stderr.take();
        let stderr = stderr.map_or_else(|| Ok(String::new()), |handle| take(Some(handle)));
        Ok((take(self.stdout.take())?, stderr?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A program that has ended by itself can no longer be killed, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub struct Outcome {
    status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    shown: String,
}

impl Outcome {
    /// Its exit code, where it was not killed.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether a kill struck it alive.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.was_ended_by(SIGKILL)
    }

    /// Whether a signal ended it.
    #[must_use]
    pub fn was_ended_by(&self, signal: i32) -> bool {
        self.status.signal() == Some(signal)
    }

    /// Fails unless it ended with this exit code.
    pub fn expect(self, code: i32) -> Result<Self> {
        ensure!(
            self.code() == Some(code),
            "exit code {code} was expected of {self}"
        );
        Ok(self)
    }

    /// Everything that it printed.
    #[must_use]
    pub fn output(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Fails unless its output names each of these, in upper or lower case.
    pub fn expect_named(&self, words: &[&str]) -> Result<()> {
        let output = self.output().to_lowercase();
        for word in words {
            ensure!(
                output.contains(&word.to_lowercase()),
                "`{word}` is missing from the output of {self}"
            );
        }
        Ok(())
    }

    /// Fails unless the error is short, plain, and no panic.
    pub fn expect_clear_error(&self) -> Result<()> {
        let lines = self
            .stderr
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        ensure!(
            (1..=6).contains(&lines),
            "one clear error was expected of {self}"
        );
        for sign in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            ensure!(
                !self.stderr.contains(sign),
                "an error, and no panic, was expected of {self}"
            );
        }
        Ok(())
    }
}

impl Display for Outcome {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let shorten = |text: &str| -> String {
            let hidden = text.replace(cluster::PASSWORD, "[the password]");
            let lines: Vec<&str> = hidden.lines().collect();
            lines[lines.len().saturating_sub(60)..].join("\n")
        };
        write!(
            out,
            "`{}` ({})\n--- standard output\n{}\n--- standard error\n{}",
            self.shown,
            self.status,
            shorten(&self.stdout),
            shorten(&self.stderr)
        )
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A stream that breaks has ended; what came before is what there is to see.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

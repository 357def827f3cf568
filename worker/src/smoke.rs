//! A smoke test: a command of the operator's, run without a shell. What it prints is handed on as it comes; its
//! digest and its
//! end are kept.

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::core::event::SmokeTested;

/// How much of the end of what it printed is kept, in bytes.
const KEPT: usize = 4 * 1024;

/// How long what it left behind may hold its output open after its own end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often its end is looked for while it prints nothing.
const LOOK: Duration = Duration::from_millis(20);

/// Variables of the environment that hold the way to the database.
const DATABASE: [&str; 2] = ["DATABASE_URL", "PGPASSWORD"];

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Order {
    /// What is tested: `staging`, `production`.
    pub environment: String,
    /// The program and its arguments; at least the program.
    pub command: Vec<OsString>,
    /// Whether it gets the way to the database from our environment.
    pub pass_database: bool,
    /// Whether the end of what it prints is kept.
    pub keep_output: bool,
    /// What must not be kept of it: the database's password, in every spelling.
    pub secrets: Vec<String>,
}

impl Order {
    /// The words of its command.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let words = self.command.iter();
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }
}

/// Which of its two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Standard,
    /// Standard error.
    Error,
}

/// What a smoke test came to.
#[derive(Clone, Debug)]
pub struct Tested {
    /// For the journal.
    pub event: SmokeTested,
    /// Why it could not be started, where it could not.
    pub unstarted: Option<String>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
}

/// Runs it to its end; blocks. It gets a process group of its own, whose id `started` is told, so that a signal can
/// be sent to
/// all that it starts, and no terminal's signal reaches it twice. `printed` is handed what it prints.
pub fn run(
    order: &Order,
    started: impl FnOnce(u32),
    mut printed: impl FnMut(Output, &[u8]),
) -> Tested {
    let begun = Instant::now();
    let mut kept = Kept::default();
    let (status, unstarted) = match start(order) {
        Ok((mut child, output)) => {
            started(child.id());
            let status = follow(&mut child, &output, |which, bytes| {
                kept.take(bytes);
                printed(which, bytes);
            });
            (status, None)
        }
        Err(error) => (None, Some(said(&error))),
    };
    let event = SmokeTested {
        environment: order.environment.clone(),
        command: order.words(),
        exit: status.and_then(|status| status.code()),
        millis: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        digest: kept.digest.finalize().to_hex().to_string(),
        output: match order.keep_output {
            true => order.secrets.iter().fold(kept.end(), |end, secret| {
                end.replace(secret.as_str(), "[the password]")
            }),
            false => String::new(),
        },
    };
    Tested {
        event,
        unstarted,
        signal: status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status)),
    }
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such program".into(),
        ErrorKind::PermissionDenied => "it may not be executed".into(),
        _ => error.to_string(),
    }
}

/// Bytes of one of the outputs; none: it has ended.
type Piece = (Output, Option<Vec<u8>>);

fn start(order: &Order) -> std::io::Result<(Child, Receiver<Piece>)> {
    use std::os::unix::process::CommandExt;
    let (program, arguments) = order
        .command
        .split_first()
        .ok_or_else(|| std::io::Error::from(ErrorKind::NotFound))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if !order.pass_database {
        for variable in DATABASE {
            command.env_remove(variable);
        }
    }
    let mut child = command.spawn()?;
    let (sender, receiver) = channel();
    if let Some(stream) = child.stdout.take() {
        read(stream, Output::Standard, sender.clone());
    }
    if let Some(stream) = child.stderr.take() {
        read(stream, Output::Error, sender);
    }
    Ok((child, receiver))
}

/// Reads an output to its end, on a thread of its own.
fn read(mut stream: impl Read + Send + 'static, which: Output, to: Sender<Piece>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 8 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    if to.send((which, Some(buffer[..length].to_vec()))).is_err() {
                        return;
                    }
                }
            }
        }
        // Whoever listens may have had enough.
        let _ = to.send((which, None));
    });
}

/// Hands on what it prints until it has ended and its outputs, too.
fn follow(
    child: &mut Child,
    output: &Receiver<Piece>,
    mut printed: impl FnMut(Output, &[u8]),
) -> Option<std::process::ExitStatus> {
    let (mut open, mut ended) = (2, None);
    loop {
        match output.recv_timeout(LOOK) {
            Ok((which, Some(bytes))) => printed(which, &bytes),
            Ok((_, None)) => open -= 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = 0,
        }
        if open <= 0 {
            break;
        }
        // What it has started in the background may hold its outputs open for ever.
        if ended.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|ended: Instant| ended.elapsed() > PATIENCE) {
            break;
        }
    }
    child.wait().ok()
}

/// What is kept of an output.
#[derive(Default)]
struct Kept {
    digest: blake3::Hasher,
    end: Vec<u8>,
    is_cut: bool,
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.end.extend_from_slice(bytes);
        // Twice as much is kept meanwhile, so that little is moved.
        if self.end.len() > 2 * KEPT {
            self.end.drain(..self.end.len() - KEPT);
            self.is_cut = true;
        }
    }

    /// The end as text: what speaks to a terminal is taken out or spelled out.
    fn end(&self) -> String {
        let from = self.end.len().saturating_sub(KEPT);
        let text = String::from_utf8_lossy(&self.end[from..]);
        let mut text = text.as_ref();
        if from > 0 || self.is_cut {
            // It begins in the midst of a line, if not of a character.
            text = text.split_once('\n').map_or(text, |(_, rest)| rest);
        }
        let plain = anstream::adapter::strip_str(text).to_string();
        let mut end = String::with_capacity(plain.len());
        for character in plain.replace("\r\n", "\n").chars() {
            match character {
                '\n' | '\t' => end.push(character),
                other if other.is_control() => end.extend(other.escape_default()),
                other => end.push(other),
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_cannot_speak_to_a_terminal() {
        let mut kept = Kept::default();
        kept.take(b"\x1b[32mok\x1b[0m \x07done\r\n\tnext\n");
        assert_eq!(kept.end(), "ok done\n\tnext\n");
    }

    #[test]
    fn the_end_is_short_however_much_there_is() {
        let mut kept = Kept::default();
        for line in 0..10_000 {
            kept.take(format!("line {line}\n").as_bytes());
        }
        let end = kept.end();
        assert!(end.len() <= KEPT && kept.end.len() <= 2 * KEPT);
        assert!(
            end.starts_with("line ") && end.ends_with("line 9999\n"),
            "{end}"
        );
        let all: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
        assert_eq!(kept.digest.finalize(), blake3::hash(all.as_bytes()));
    }
}

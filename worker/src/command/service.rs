//! What a service manager is told (systemd's `Type=notify`): that the run is open, how far it is, that the work still goes
//! round, that it ends. Nothing is told where nobody asks for it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::task::JoinHandle;
use worker::backend::Database;
use worker::shutdown::Shutdown;
use worker::status::Holds;

use super::progress::{Facts, sentences};

/// How often the status is told.
const STATUS: Duration = Duration::from_secs(5);

/// The tasks that tell; they end with the run.
pub(super) struct Service {
    stop: Shutdown,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    /// Tells that the run is open, and goes on telling, where the environment names a socket.
    pub(super) fn start(database: &Database, run: &str, worker: &str, shutdown: &Shutdown) -> Self {
        let stop = Shutdown::default();
        let mut tasks = Vec::new();
        if let Some(manager) = Manager::of_environment() {
            manager.tell(&format!("READY=1\nSTATUS=run {run} is open"));
            let (database, run, worker) = (database.clone(), run.to_owned(), worker.to_owned());
            tasks.push(tokio::spawn(status(
                manager.clone(),
                database,
                Holds::of(&run, &worker),
                run,
                stop.clone(),
            )));
            tasks.push(tokio::spawn(stopping(
                manager.clone(),
                shutdown.clone(),
                stop.clone(),
            )));
            if let Some(patience) = manager.patience {
                let (shutdown, stop) = (shutdown.clone(), stop.clone());
                tasks.push(tokio::spawn(watchdog(manager, patience, shutdown, stop)));
            }
        }
        Self { stop, tasks }
    }

    /// Ends the tasks.
    pub(super) async fn stop(self) {
        self.stop.request();
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Says how far the run is.
async fn status(
    manager: Manager,
    database: Database,
    mut holds: Holds,
    run: String,
    stop: Shutdown,
) {
    while !stop.is_requested() {
        // A line that cannot be had is left out.
        if let Ok(facts) = Facts::load(&database, &run, &mut holds).await {
            let line = sentences(&facts).join("; ");
            if !line.is_empty() {
                manager.tell(&format!("STATUS={line}"));
            }
        }
        stop.sleep(STATUS).await;
    }
}

/// Says that the process ends, when it was asked to or is done.
async fn stopping(manager: Manager, shutdown: Shutdown, stop: Shutdown) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = stop.requested() => {}
    }
    manager.tell("STOPPING=1");
}

/// Says that the process is well, as long as the work goes round: whoever only lives is started anew.
async fn watchdog(manager: Manager, patience: Duration, shutdown: Shutdown, stop: Shutdown) {
    while !stop.is_requested() {
        if shutdown.looked_at_within(patience / 2) {
            manager.tell("WATCHDOG=1");
        }
        stop.sleep(patience / 4).await;
    }
}

/// Where the service manager listens.
#[derive(Clone, Debug)]
struct Manager {
    address: SocketAddr,
    /// After how long without a word it takes the process for dead.
    patience: Option<Duration>,
}

impl Manager {
    /// The one that the environment names, where it names one that there can be.
    fn of_environment() -> Option<Self> {
        let socket = std::env::var_os("NOTIFY_SOCKET")?;
        let of = |name| std::env::var(name).ok();
        Some(Self {
            address: address(socket.as_bytes()).ok()?,
            patience: patience(of("WATCHDOG_USEC"), of("WATCHDOG_PID"), std::process::id()),
        })
    }

    /// Tells it. That it cannot be told is no reason to stop: it stops us where that matters to it.
    fn tell(&self, text: &str) {
        let told = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to_addr(text.as_bytes(), &self.address));
        if let Err(error) = told {
            tracing::debug!("the service manager was not told: {error}");
        }
    }
}

/// The address of a socket: a path, or with `@` ahead a name without a file.
fn address(named: &[u8]) -> io::Result<SocketAddr> {
    match named {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(named)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// How long it waits for a word of this process; none: it does not wait.
fn patience(micros: Option<String>, of: Option<String>, own: u32) -> Option<Duration> {
    // What was meant for the process that started this one.
    if of.is_some_and(|of| of.parse() != Ok(own)) {
        return None;
    }
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_paths_or_names() {
        let path = address(b"/run/x").expect("a path");
        assert_eq!(path.as_pathname(), Some("/run/x".as_ref()));
        let name = address(b"@x/y").expect("a name");
        assert_eq!(name.as_abstract_name(), Some(&b"x/y"[..]));
        for wrong in [&b""[..], b"relative", b"vsock:2:1234", b"/a\0b"] {
            assert!(address(wrong).is_err());
        }
    }

    #[test]
    fn a_watchdog_of_somebody_else_is_not_fed() {
        let of = |micros: &str, of: Option<&str>| {
            patience(Some(micros.into()), of.map(str::to_owned), 7)
        };
        assert_eq!(of("2000000", None), Some(Duration::from_secs(2)));
        assert_eq!(of("2000000", Some("7")), Some(Duration::from_secs(2)));
        assert_eq!(of("2000000", Some("8")), None);
        assert_eq!(of("0", None), None);
        assert_eq!(of("soon", None), None);
        assert_eq!(patience(None, None, 7), None);
    }

    #[tokio::test]
    async fn the_watchdog_is_fed_while_somebody_looks() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(400)))
            .expect("a timeout");
        let manager = Manager {
            address: address(path.as_os_str().as_bytes()).expect("an address"),
            patience: None,
        };
        let (shutdown, stop) = (Shutdown::default(), Shutdown::default());
        let patience = Duration::from_millis(100);
        let fed = tokio::spawn(watchdog(manager, patience, shutdown.clone(), stop.clone()));
        let heard = tokio::task::spawn_blocking(move || {
            let mut text = [0; 100];
            // Nobody looks any more after the first words, so they end.
            let mut words = 0;
            while let Ok(length) = socket.recv(&mut text) {
                assert_eq!(&text[..length], b"WATCHDOG=1");
                words += 1;
                assert!(words < 1_000, "it is fed though nobody looks");
            }
            shutdown.look();
            assert!(socket.recv(&mut text).is_ok(), "it looks again");
            words
        });
        assert!(heard.await.expect("no panic") > 0);
        stop.request();
        fed.await.expect("no panic");
    }
}

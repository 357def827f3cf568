//! pgbouncer in transaction mode, in front of the shared server, with as few settings as it starts with.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::{self, Cluster, PASSWORD, USER};
use crate::scratch;

/// How long it may take to listen.
const LIMIT: Duration = Duration::from_secs(20);

/// Sessions are few, and each transaction gets the one that was idle for longest: what is left in one is soon met.
const SETTINGS: &str = "
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = scram-sha-256
pool_mode = transaction
server_round_robin = 1
default_pool_size = 8
server_idle_timeout = 2
max_client_conn = 500
";

/// A running pooler. The watchdog stops it with the test process.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    _child: Child,
}

static SHARED: OnceLock<Result<Pooler, String>> = OnceLock::new();

/// The pooler in front of the server that all tests of this process share.
pub fn shared() -> Result<&'static Pooler> {
    let start = || {
        cluster::shared()
            .and_then(Pooler::start)
            .map_err(|error| format!("{error:#}"))
    };
    match SHARED.get_or_init(start) {
        Ok(pooler) => Ok(pooler),
        Err(error) => bail!("{error}"),
    }
}

impl Pooler {
    fn start(cluster: &Cluster) -> Result<Self> {
        let folder = scratch::folder("pgbouncer")?;
        let mut last = None;
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match Self::start_on(cluster, &folder, port) {
                Ok(pooler) => return Ok(pooler),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port was tried")))
    }

    fn start_on(cluster: &Cluster, folder: &Path, port: u16) -> Result<Self> {
        let [settings, users, log, pid] =
            ["pgbouncer.ini", "users", "log", "pooler.pid"].map(|name| folder.join(name));
        std::fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n"))?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\n{SETTINGS}listen_port = {port}\nauth_file = {}\n\
             logfile = {}\npidfile = {}\n",
            cluster.port(),
            users.display(),
            log.display(),
            pid.display()
        );
        std::fs::write(&settings, text)?;
        let mut command = Command::new(find()?);
        command
            .arg("-q")
            .arg(&settings)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if let Some((user, group)) = cluster.owner() {
            for path in [folder, &settings, &users] {
                chown(path, Some(user), Some(group))?;
            }
            command.uid(user).gid(group);
        }
        let mut child = command.spawn().context("start pgbouncer")?;
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < deadline,
                "pgbouncer does not listen ({ended:?}): {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            port,
            _child: child,
        })
    }

    /// The address of one of the server's databases behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }
}

/// On the PATH, or where Debian puts what only root has on it.
fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|tool| tool.is_file())
        .context("pgbouncer is not installed; install the package pgbouncer (Debian and Ubuntu: apt-get install pgbouncer)")
}

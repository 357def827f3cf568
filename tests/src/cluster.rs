//! A private PostgreSQL server: its own folder, a free port, a password, and no life beyond the test process.
//!
//! One server is shared by all tests of a process, and every test makes databases of its own in it.
//! A test that crashes its server starts another one for itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::scratch;

/// The superuser of every test server.
pub const USER: &str = "backstitch";

/// The password of every test server. It must never be printed by any program: [`crate::process`] looks for it.
pub const PASSWORD: &str = "canary-7hX2-never-print-me";

/// A time zone far from UTC and off the full hour, so that a value read in local time cannot pass for UTC.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
max_connections = 200
jit = off
autovacuum_naptime = 10min
timezone = 'Asia/Kathmandu'
log_timezone = 'UTC'
";

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    tools: PathBuf,
    folder: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
}

static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();

/// The server that all tests of this process share.
pub fn shared() -> Result<&'static Cluster> {
    let start = || Cluster::start_for_many_connections().map_err(|error| format!("{error:#}"));
    match SHARED.get_or_init(start) {
        Ok(cluster) => Ok(cluster),
        Err(error) => bail!("{error}"),
    }
}

impl Cluster {
    /// Makes and starts a server of one's own.
    pub fn start() -> Result<Self> {
        Self::start_with("scram-sha-256", "")
    }

    /// The same with settings that count before those of the tests.
    pub fn start_with_settings(settings: &str) -> Result<Self> {
        Self::start_with("scram-sha-256", settings)
    }

    /// The same with a check of passwords that takes no time: SCRAM's is half of what a short command costs, and there are
    /// tens of thousands of them.
    pub fn start_for_many_connections() -> Result<Self> {
        Self::start_with("md5", "")
    }

    /// Starts a replica of it, which streams its log under this name, and reports each second where it has come.
    pub fn replica(&self, name: &str) -> Result<Self> {
        let mut replica = Self::prepare()?;
        let from = format!(
            "postgres://{USER}@127.0.0.1:{}/?application_name={name}",
            self.port
        );
        succeeded(
            replica
                .command("pg_basebackup")
                .env("PGPASSWORD", PASSWORD)
                .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
                .arg(format!("--dbname={from}"))
                .arg(format!("--pgdata={}", replica.data().display()))
                .output(),
            "pg_basebackup",
        )?;
        replica.set("wal_receiver_status_interval = 1s\n")?;
        replica.start_on_a_free_port()?;
        Ok(replica)
    }

    /// A folder for a server.
    fn prepare() -> Result<Self> {
        let owner = server_owner()?;
        let folder = scratch::folder("postgres")?;
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group))?;
        }
        Ok(Self {
            tools: find_tools()?,
            folder,
            port: 0,
            owner,
        })
    }

    /// Adds to its settings.
    fn set(&self, settings: &str) -> Result<()> {
        let file = self.data().join("postgresql.conf");
        let before = std::fs::read_to_string(&file)?;
        Ok(std::fs::write(&file, format!("{before}{settings}"))?)
    }

    fn start_with(authentication: &str, settings: &str) -> Result<Self> {
        let mut cluster = Self::prepare()?;
        let password = cluster.folder.join("password");
        std::fs::write(&password, PASSWORD)?;
        if let Some((user, group)) = cluster.owner {
            chown(&password, Some(user), Some(group))?;
        }
        let data = cluster.data();
        succeeded(
            cluster
                .command("initdb")
                .args(["--encoding=UTF8", "--locale=C", "--no-sync"])
                .arg(format!("--auth={authentication}"))
                .arg(format!("--username={USER}"))
                .arg(format!("--pwfile={}", password.display()))
                .arg(format!("--pgdata={}", data.display()))
                .output(),
            "initdb",
        )?;
        cluster.set(SETTINGS)?;
        cluster.set(settings)?;
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// The address of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_with_password(database, PASSWORD)
    }

    /// The address with another password than the right one.
    #[must_use]
    pub fn url_with_password(&self, database: &str, password: &str) -> String {
        format!(
            "postgres://{USER}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Makes it take encrypted connections, with a certificate and its key in PEM; restarts it.
    pub fn encrypt(&self, certificate: &str, key: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.data().join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            if let Some((user, group)) = self.owner {
                chown(&file, Some(user), Some(group))?;
            }
        }
        self.set("ssl = on\n")?;
        self.crash()?;
        self.restart()
    }

    /// Makes it load a library with its start; restarts it.
    pub fn preload(&self, library: &str) -> Result<()> {
        self.set(&format!("shared_preload_libraries = '{library}'\n"))?;
        self.crash()?;
        self.restart()
    }

    /// The address of one of its databases by way of a proxy.
    #[must_use]
    pub fn url_by(&self, port: u16, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// The process that all others of it descend from.
    pub fn process(&self) -> Result<u32> {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        let first = file.lines().next().context("the server's process id")?;
        Ok(first.trim().parse()?)
    }

    /// A folder that its programs may write to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user and group whom it runs as, where that is not the tests' own.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Stops the server as a crash would: no checkpoint, every connection cut.
    pub fn crash(&self) -> Result<()> {
        self.control(&["stop", "--mode=immediate"])
    }

    /// Starts the server again after [`Cluster::crash`], on the port that it had.
    pub fn restart(&self) -> Result<()> {
        self.control(&["start"])
    }

    fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut last = None;
        for _ in 0..10 {
            self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match self.control(&["start"]) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port was tried")))
    }

    fn control(&self, action: &[&str]) -> Result<()> {
        let log = self.folder.join("log");
        let output = self
            .command("pg_ctl")
            .args(action)
            .args(["--wait", "--timeout=60", "--silent"])
            .arg(format!("--pgdata={}", self.data().display()))
            .arg(format!("--log={}", log.display()))
            .arg(format!("--options=-p {}", self.port))
            .output();
        succeeded(output, "pg_ctl").with_context(|| {
            format!(
                "the server's log: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            )
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of its release, to be run as its user in its folder.
    #[must_use]
    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(self.tools.join(tool));
        command
            .current_dir(&self.folder)
            .env("LC_ALL", "C")
            .env_remove("PGDATA");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The watchdog stops whatever this leaves running, so there is nothing to do about an error here.
        let _ = self.crash();
    }
}

/// The folder of the server's programs, by way of links: on the PATH, else the newest that Debian's packages have installed.
fn find_tools() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut packaged: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    packaged.sort();
    folders.extend(packaged.into_iter().rev().map(|(_, folder)| folder));
    let complete = |folder: &&PathBuf| {
        ["initdb", "pg_ctl"]
            .iter()
            .all(|tool| Path::new(folder).join(tool).is_file())
    };
    let found = folders.iter().find(complete);
    let program = found.and_then(|folder| folder.join("pg_ctl").canonicalize().ok());
    let folder = program.and_then(|program| Some(program.parent()?.to_owned()));
    folder.context(
        "no PostgreSQL server is installed: initdb and pg_ctl are neither on the PATH nor below \
         /usr/lib/postgresql; install the package postgresql (Debian and Ubuntu: apt-get install postgresql)",
    )
}

/// PostgreSQL refuses to run as root, so root lends it the identity of `postgres` or `nobody`.
fn server_owner() -> Result<Option<(u32, u32)>> {
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    for user in ["postgres", "nobody"] {
        if let (Ok(user_id), Ok(group_id)) = (id(&["-u", user]), id(&["-g", user])) {
            return Ok(Some((user_id, group_id)));
        }
    }
    bail!(
        "running as root, and there is neither a user postgres nor a user nobody to run the server as"
    )
}

fn id(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id")
        .args(arguments)
        .output()
        .context("run id")?;
    ensure!(output.status.success(), "id {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn succeeded(output: std::io::Result<Output>, tool: &str) -> Result<()> {
    let output = output.with_context(|| format!("run {tool}"))?;
    ensure!(
        output.status.success(),
        "{tool} failed ({}): {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

//! A Prometheus server of a test's own, which looks at a service once a second.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::scratch;
use crate::service::get;

/// How long it may take to be ready, or a query to give what is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// A running server. The watchdog stops it with the test process.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
}

impl Prometheus {
    /// Starts one that looks at a service.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let folder = scratch::folder("prometheus")?;
        let mut last = None;
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match Self::start_on(&folder, ([127, 0, 0, 1], port).into(), target) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port was tried")))
    }

    fn start_on(folder: &Path, address: SocketAddr, target: SocketAddr) -> Result<Self> {
        let settings = folder.join("prometheus.yml");
        std::fs::write(
            &settings,
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
                 scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
            ),
        )?;
        let log = folder.join("log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .process_group(0)
            .spawn()
            .context(
                "start prometheus; install the package prometheus (Debian and Ubuntu: apt-get install prometheus)",
            )?;
        std::fs::write(folder.join("prometheus.pid"), format!("{}\n", child.id()))?;
        let mut server = Self { address, child };
        let deadline = Instant::now() + LIMIT;
        while !get(address, "/-/ready").is_ok_and(|(status, _)| status == 200) {
            let ended = server.child.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < deadline,
                "prometheus is not ready ({ended:?}): {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until a query, written for a URL, gives something: `up+==+1`.
    pub async fn wait_for(&self, query: &str) -> Result<()> {
        let path = format!("/api/v1/query?query={query}");
        let deadline = Instant::now() + LIMIT;
        loop {
            let (_, body) = get(self.address, &path)?;
            if body.contains("\"value\"") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{query} gives nothing: {body}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops it.
    pub fn stop(&mut self) {
        // One that has ended already is stopped as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

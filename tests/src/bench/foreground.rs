//! The application's load: pgbench with a script that reads and updates campaigns, four clients at a fixed rate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::ground::Ground;
use super::size::CAMPAIGNS;
use super::sql::source::campaign_id;
use crate::cluster::{PASSWORD, USER};
use crate::database::Database;

/// Transactions a second, of all clients: a few per cent of what they could do.
pub(crate) const RATE: u32 = 200;

/// How long pgbench may keep the last lines of its log to itself.
const FLUSH: Duration = Duration::from_millis(1500);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// One transaction of the foreground.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Visit {
    /// When it was due: seconds since 1970.
    pub(crate) due: f64,
    /// Milliseconds from then to its end, so that one that had to queue counts in full.
    pub(crate) latency: f64,
}

/// A running load. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Foreground {
    child: Child,
    folder: PathBuf,
    prefix: String,
}

impl Foreground {
    /// Starts it on a database.
    pub(crate) fn start(ground: &Ground, database: &Database) -> Result<Self> {
        let prefix = format!("foreground-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let folder = ground.cluster.folder().to_owned();
        let script = folder.join(format!("{prefix}.sql"));
        fs::write(&script, self::script())?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o644))?;
        let child = ground
            .cluster
            .command("pgbench")
            .env("PGPASSWORD", PASSWORD)
            .args([
                "--no-vacuum",
                "--client=4",
                "--jobs=1",
                "--log",
                "--time=36000",
            ])
            .arg(format!("--rate={RATE}"))
            .arg(format!("--file={}", script.display()))
            .arg(format!("--log-prefix={prefix}.log"))
            .args(["--host=127.0.0.1", &format!("--username={USER}")])
            .arg(format!("--port={}", ground.cluster.port()))
            .arg(database.name())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start pgbench, which comes with PostgreSQL's server")?;
        Ok(Self {
            child,
            folder,
            prefix,
        })
    }

    /// Ends it, and gives everything that it did.
    pub(crate) async fn end(mut self) -> Result<Vec<Visit>> {
        tokio::time::sleep(FLUSH).await;
        ensure!(
            self.child.try_wait()?.is_none(),
            "pgbench ended by itself: the foreground failed"
        );
        self.child.kill()?;
        self.child.wait()?;
        let mut visits = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&format!("{}.log", self.prefix)) {
                visits.extend(parse(&fs::read_to_string(&path)?));
                fs::remove_file(&path)?;
            }
        }
        Ok(visits)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a page of the application does: it reads a campaign and touches it, each statement by itself.
pub(crate) fn script() -> String {
    let id = campaign_id(":n");
    format!(
        "\\set n random(1, {CAMPAIGNS})\n\
         SELECT \"name\", \"status\", \"updatedAt\" FROM \"Campaign\" WHERE \"id\" = {id};\n\
         UPDATE \"Campaign\" SET \"updatedAt\" = now() WHERE \"id\" = {id};\n"
    )
}

/// Now, as pgbench's log tells it.
pub(crate) fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Latencies, in milliseconds, of those that were due within a time.
pub(crate) fn within(visits: &[Visit], from: f64, to: f64) -> Vec<f64> {
    let due = visits
        .iter()
        .filter(|visit| (from..to).contains(&visit.due));
    due.map(|visit| visit.latency).collect()
}

/// Reads pgbench's log: `client number time script epoch micros [lag]`. With a rate, its time runs from when the
/// transaction was due. A line that was cut off is none.
fn parse(log: &str) -> Vec<Visit> {
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let visits = whole.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let micros: f64 = fields.get(2)?.parse().ok()?;
        let second: f64 = fields.get(4)?.parse().ok()?;
        let part: f64 = fields.get(5)?.parse().ok()?;
        Some(Visit {
            due: second + (part - micros) / 1e6,
            latency: micros / 1000.0,
        })
    });
    visits.collect()
}

#[cfg(test)]
mod tests {
    use super::{parse, within};

    #[test]
    fn a_log_is_read_to_its_last_whole_line() {
        let log = "0 1 2500 0 1700000000 500000 12\n3 1 failed 0 1700000000 600000 0\n1 1 4000 0 1700000001 4000 0\n2 7 99";
        let visits = parse(log);
        assert_eq!(visits.len(), 2);
        assert!((visits[0].due - 1_700_000_000.497_5).abs() < 1e-6);
        assert!((visits[0].latency - 2.5).abs() < 1e-9);
        assert_eq!(within(&visits, 1_700_000_000.9, 1_700_000_002.0), [4.0]);
        assert_eq!(parse(""), []);
    }
}

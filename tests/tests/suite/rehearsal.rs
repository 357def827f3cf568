//! The migration plan on paper, walked from day 0 to day 4 on PostgreSQL, through one failure of each of its three
//! scenarios, to a checklist that is complete. `tests/rehearsal` runs it and shows every command with what it printed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process;
use tests::prometheus::Prometheus;
use tests::scenario::Scenario;
use tests::scratch;
use tests::service::{Behaviour, Service};

use crate::runbook::items;

/// The targets of the document, as far as a service of a few lines can meet or miss them, watched for seconds rather than
/// for 24 hours.
const SLO: &str = r#"
every = "1s"

[prometheus]
url = "{prometheus}"
max_age = "5s"

[environment.staging]
for = "2s"

[environment.production]
for = "3s"

[[target]]
name = "error-rate"
source = "prometheus"
query = '(sum(rate(http_requests_total{status=~"5.."}[4s])) or vector(0)) / sum(rate(http_requests_total[4s]))'
below = "0.1 %"

[[target]]
name = "cache-hits"
source = "prometheus"
query = 'sum(rate(cache_hits_total[4s])) / (sum(rate(cache_hits_total[4s])) + sum(rate(cache_misses_total[4s])))'
above = "85 %"

[[target]]
name = "dashboard"
source = "probe"
url = "http://{service}/health"
requests = 4
statistic = "max"
below = "5 s"

[[target]]
name = "database-hits"
source = "database"
statistic = "hit-ratio"
above = "1 %"
allow_gaps = 3
"#;

/// The share of errors, as Prometheus sees it.
const ERRORS: &str = "(sum(rate(http_requests_total{status=~\"5..\"}[4s])) or vector(0)) / sum(rate(http_requests_total[4s]))";

/// A query as a URL has it.
fn encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The walk: a database, and the folder that its files are in.
struct Walk {
    scenario: Scenario,
    folder: PathBuf,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_day_0_to_day_4() -> Result<()> {
    let profile = Profile {
        bad: 0.0,
        ..Profile::small(Backend::Postgres, 77)
    };
    let mut walk = Walk {
        scenario: Scenario::load(&profile).await?,
        folder: scratch::folder("rehearsal")?,
    };
    walk.day_0().await?;
    walk.the_schema_change_fails().await?;
    walk.day_1().await?;
    walk.the_backfill_is_wrong().await?;
    walk.day_2().await?;
    walk.day_3().await?;
    walk.day_4().await?;
    walk.end().await
}

impl Walk {
    /// Runs a command of the cli, which must end with this code, and shows it.
    async fn cli(&self, code: i32, arguments: &[&str]) -> Result<process::Outcome> {
        self.show(&format!("cli {}", arguments.join(" ")));
        let outcome = self.scenario.cli(arguments)?.expect(code).await?;
        self.show(outcome.output().trim());
        Ok(outcome)
    }

    /// Runs `worker run` with these arguments.
    async fn worker(&self, code: i32, arguments: &[&str]) -> Result<process::Outcome> {
        self.show(&format!("worker run {}", arguments.join(" ")));
        let run = self.scenario.run_without_migrating()?.args(arguments);
        let outcome = run.expect(code).await?;
        self.show(outcome.output().trim());
        Ok(outcome)
    }

    #[expect(clippy::print_stdout, reason = "shown by tests/rehearsal")]
    fn show(&self, text: &str) {
        let folder = self.folder.to_string_lossy();
        println!("{}", text.replace(folder.as_ref(), "rehearsal"));
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    async fn tick(&self, items: &[&str]) -> Result<()> {
        for item in items {
            let tick = ["checklist", "tick", item, "--by", "Ada Lovelace"];
            self.cli(0, &tick).await?;
        }
        Ok(())
    }

    /// Fails unless these items are done.
    async fn expect_done(&self, done: &[&str]) -> Result<()> {
        let items = items(&self.scenario).await?;
        for item in done {
            ensure!(items.get(*item) == Some(&true), "{item} is not done");
        }
        Ok(())
    }

    /// The newest backup, as its folder is called.
    fn backup(&self) -> Result<PathBuf> {
        let mut backups: Vec<_> = fs::read_dir(self.folder.join("backups"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        backups.sort();
        backups.pop().context("a backup")
    }

    async fn day_0(&self) -> Result<()> {
        self.cli(0, &["phase"]).await?;
        // Nothing is backed up yet.
        let stop = self.cli(3, &["preflight"]).await?;
        stop.expect_named(&["backup-age"])?;
        let backups = self.path("backups");
        self.cli(0, &["backup", "create", "--to", &backups]).await?;
        let backup = self.backup()?.to_string_lossy().into_owned();
        self.cli(0, &["backup", "verify", &backup, "--full"])
            .await?;
        self.cli(0, &["preflight", "--record"]).await?;
        self.ready().await
    }

    /// What people read and say before the schema changes.
    async fn ready(&self) -> Result<()> {
        let sql = self.cli(0, &["schema", "sql"]).await?;
        sql.expect_named(&["CREATE TABLE", "lock"])?;
        let is_digest =
            |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = sql.stdout.split_whitespace().rfind(is_digest);
        let digest = digest.context("a digest")?;
        let review = [
            "schema",
            "sql",
            "--reviewed-by",
            "Grace Hopper",
            "--digest",
            digest,
        ];
        self.cli(0, &review).await?;
        self.cli(0, &["plan"]).await?;
        // Nobody has approved it.
        self.cli(0, &["plan", "approve", "--by", "Grace Hopper"])
            .await?;
        self.tick(&["staging", "notify"]).await?;
        self.expect_done(&[
            "backup",
            "dump",
            "review-sql",
            "staging",
            "notify",
            "rollback-ready",
        ])
        .await
    }

    /// Scenario 1: somebody's table is in the way, and whoever clears it by hand does harm.
    async fn the_schema_change_fails(&mut self) -> Result<()> {
        let before = self.scenario.campaigns().await?;
        let database = &self.scenario.database;
        let stray = "CREATE TABLE \"KPIHistory\" (\"id\" TEXT PRIMARY KEY, \"what\" TEXT)";
        database.execute(stray).await?;
        let failed = self.cli(4, &["schema", "up"]).await?;
        failed.expect_clear_error()?;
        ensure!(
            !database.has_table("IntelligenceEvent").await?,
            "half applied"
        );
        // The hand that slips.
        database.execute("DROP TABLE \"KPIHistory\"").await?;
        database
            .execute("UPDATE \"Campaign\" SET \"metadata\" = NULL")
            .await?;

        let name = database.name().to_owned();
        let backup = self.backup()?.to_string_lossy().into_owned();
        let wrong = [
            "backup",
            "restore",
            &backup,
            "--confirm",
            "another",
            "--reason",
            "schema change failed",
        ];
        self.cli(4, &wrong).await?;
        let restore = [
            "backup",
            "restore",
            &backup,
            "--confirm",
            &name,
            "--disconnect",
            "--reason",
            "schema change failed",
        ];
        self.cli(0, &restore).await?;
        // The harness's own connections were cut off with all others.
        let restored = Database::open(&self.scenario.database.url).await?;
        self.scenario.database = restored;
        ensure!(
            self.scenario.campaigns().await? == before,
            "the source is not what it was"
        );
        // What was said since the backup is in the database that was put aside.
        self.ready().await
    }

    async fn day_1(&self) -> Result<()> {
        self.cli(0, &["schema", "up"]).await?;
        self.cli(0, &["schema", "verify", "--record"]).await?;
        self.cli(0, &["plan", "--rehearse", "1"]).await?;
        let units = [
            "intelligence_event",
            "campaign_prompt",
            "prompt_performance",
        ];
        let mut arguments = vec!["--require-approval"];
        for unit in units {
            arguments.extend(["--unit", unit]);
        }
        self.worker(0, &arguments).await?;
        self.tick(&["database-watched"]).await?;
        self.expect_done(&[
            "schema",
            "schema-verified",
            "intelligence-event",
            "prompt-performance",
        ])
        .await
    }

    /// Scenario 2: a source was wrong while it was read.
    async fn the_backfill_is_wrong(&self) -> Result<()> {
        let database = &self.scenario.database;
        database
            .execute("UPDATE \"Deal\" SET \"acv\" = \"acv\" * 1000")
            .await?;
        self.worker(0, &["--require-approval"]).await?;
        database
            .execute("UPDATE \"Deal\" SET \"acv\" = \"acv\" / 1000")
            .await?;
        let deep = self.cli(3, &["validate", "--deep"]).await?;
        deep.expect_named(&["kpi_history"])?;
        self.cli(4, &["certificate", "-o", &self.path("too-early.json")])
            .await?;
        self.cli(0, &["rollback", "--unit", "kpi_history", "--dry-run"])
            .await?;
        let undo = [
            "rollback",
            "--unit",
            "kpi_history",
            "--reason",
            "deals were wrong by 1,000",
            "--yes",
        ];
        self.cli(0, &undo).await?;
        self.worker(0, &["--require-approval"]).await?;
        self.expect_done(&["kpi-history"]).await
    }

    async fn day_2(&self) -> Result<()> {
        self.cli(0, &["validate", "--deep"]).await?;
        self.cli(0, &["journal", "verify"]).await?;
        self.tick(&["deploy-staging"]).await?;
        let smoke = ["smoke", "--environment", "staging", "--"];
        self.cli(3, &[&smoke[..], &["false"]].concat()).await?;
        self.cli(0, &[&smoke[..], &["echo", "42 passing"]].concat())
            .await?;
        self.expect_done(&["validation", "integrity", "smoke-staging"])
            .await
    }

    /// Scenario 3: the new release errs in production.
    async fn day_3(&self) -> Result<()> {
        let service = Service::start()?;
        let mut prometheus = Prometheus::start(service.address())?;
        let slo = self.path("slo.toml");
        self.cli(0, &["gate", "init", "--file", &slo]).await?;
        let targets = SLO.replace("{prometheus}", &prometheus.url());
        let targets = targets.replace("{service}", &service.address().to_string());
        fs::write(&slo, targets)?;
        let watch = [
            "gate",
            "watch",
            "--environment",
            "production",
            "--file",
            &slo,
        ];
        self.cli(0, &["gate", "--unit", "kpi_history", "--validated"])
            .await?;
        self.tick(&["deploy-production"]).await?;

        service.behave(Behaviour {
            error_every: 2,
            ..Behaviour::default()
        });
        prometheus
            .wait_for(&encoded(&format!("{ERRORS} > 0.2")))
            .await?;
        let closed = self.cli(3, &watch).await?;
        closed.expect_named(&["error-rate", "closed"])?;
        self.cli(0, &["phase"]).await?.expect_named(&["closed"])?;
        // Code back, schema stays.
        self.cli(0, &["compat", "--record"]).await?;
        let back = [
            "checklist",
            "reopen",
            "deploy-production",
            "--by",
            "Ada Lovelace",
            "--note",
            "code back",
        ];
        self.cli(0, &back).await?;

        // Mended, and deployed again.
        service.behave(Behaviour::default());
        prometheus
            .wait_for(&encoded(&format!("{ERRORS} == 0")))
            .await?;
        self.tick(&["deploy-production"]).await?;
        self.cli(0, &watch).await?.expect_named(&["open"])?;
        self.tick(&["dashboard", "issues-documented"]).await?;
        self.expect_done(&["error-rates", "performance"]).await?;
        prometheus.stop();
        service.stop();
        Ok(())
    }

    async fn day_4(&self) -> Result<()> {
        self.tick(&["backups-deleted", "documentation", "training", "next-phase"])
            .await?;
        for (role, by) in [
            ("DevOps Lead", "Ada Lovelace"),
            ("Database Admin", "Grace Hopper"),
            ("QA Lead", "Mia"),
        ] {
            self.cli(0, &["signoff", "--role", role, "--by", by])
                .await?;
        }
        let certificate = self.path("phase5.json");
        self.cli(0, &["certificate", "-o", &certificate]).await?;
        self.cli(0, &["certificate", "verify", &certificate, "--exact"])
            .await?;
        Ok(())
    }

    async fn end(&self) -> Result<()> {
        let checklist = self.cli(0, &["checklist"]).await?;
        checklist.expect_named(&["complete: 25 items done, every role has signed"])?;
        let phase = self.cli(0, &["phase"]).await?;
        phase.expect_named(&["everything is done, signed and certified"])?;
        let expected = self.scenario.expected().await?;
        expected.check_rows(&self.scenario.database).await?;
        self.scenario.verify_journal().await
    }
}

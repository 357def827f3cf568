//! The server that all is measured on, and databases in equal states on it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tokio::sync::Mutex;

use crate::cluster::Cluster;
use crate::database::{Backend, Database};
use crate::process;

use super::size::Size;
use super::sql::source;

/// A usual production server of some size, as far as it matters here: durable, autovacuum on, room for a checkpoint in a
/// quarter of an hour.
const SETTINGS: &str = "
fsync = on
full_page_writes = on
synchronous_commit = on
jit = on
timezone = 'UTC'
autovacuum = on
autovacuum_naptime = 1min
max_connections = 100
shared_buffers = 1GB
effective_cache_size = 4GB
work_mem = 16MB
maintenance_work_mem = 256MB
wal_buffers = 16MB
min_wal_size = 1GB
checkpoint_timeout = 15min
random_page_cost = 1.1
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track_planning = off
";

/// A source that databases are copied from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Template {
    /// Campaigns with tasks in their metadata, and the whole schema.
    Events(Size),
    /// The same without any destination.
    EventsBare(Size),
    /// What the other four units read, and the whole schema.
    Others(Size),
    /// Feedback that is bad but for its last rows, and the whole schema: each bad row becomes an event.
    Bad(Size),
}

/// The server.
#[derive(Debug)]
pub(crate) struct Ground {
    /// It.
    pub(crate) cluster: Cluster,
    maintenance: Database,
    templates: Mutex<BTreeMap<Template, String>>,
}

impl Ground {
    /// Starts it. At the largest size the log must leave room in memory for the tables.
    pub(crate) async fn start(size: Size) -> Result<Self> {
        let log = match size {
            Size::S | Size::M => "8GB",
            Size::L => "4GB",
        };
        let settings = format!("{SETTINGS}max_wal_size = {log}\n");
        let start = move || Cluster::start_with_settings(&settings);
        let cluster = tokio::task::spawn_blocking(start);
        let cluster = cluster.await??;
        let maintenance = Database::open(&cluster.url("postgres")).await?;
        maintenance
            .execute("CREATE EXTENSION pg_stat_statements")
            .await?;
        Ok(Self {
            cluster,
            maintenance,
            templates: Mutex::default(),
        })
    }

    /// A database that nothing is measured in.
    #[must_use]
    pub(crate) fn maintenance(&self) -> &Database {
        &self.maintenance
    }

    /// The settings that are not the server's defaults, as it tells them.
    pub(crate) async fn settings(&self) -> Result<String> {
        let sql = "SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings \
                   WHERE source = 'configuration file' AND current_setting(name) <> '' \
                     AND name !~ '^(lc_|log_|listen|port|Date|default_text|dynamic_shared|unix_|shared_preload|pg_stat)'";
        self.maintenance.value(sql).await
    }

    /// A copy of a template, as fresh as any other.
    pub(crate) async fn fresh(&self, template: Template) -> Result<Database> {
        let name = self.template(template).await?;
        let options = format!("TEMPLATE {name} STRATEGY FILE_COPY");
        let database = Database::create_in(&self.cluster, &options).await?;
        self.settle().await?;
        Ok(database)
    }

    /// Everything before is on disk, so that no one pays for another's writes.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.maintenance.execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Removes a database.
    pub(crate) async fn drop(&self, database: Database) -> Result<()> {
        database.remove_from(&self.cluster).await
    }

    /// Removes a template that is not needed any more.
    pub(crate) async fn forget(&self, template: Template) -> Result<()> {
        if let Some(name) = self.templates.lock().await.remove(&template) {
            let sql = format!("DROP DATABASE {name} WITH (FORCE)");
            self.maintenance.execute(&sql).await?;
        }
        Ok(())
    }

    /// The write-ahead log so far, in bytes.
    pub(crate) async fn wal(&self) -> Result<f64> {
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::double precision";
        self.maintenance.value(sql).await
    }

    async fn template(&self, template: Template) -> Result<String> {
        let mut templates = self.templates.lock().await;
        if let Some(name) = templates.get(&template) {
            return Ok(name.clone());
        }
        let database = Database::create_in(&self.cluster, "TEMPLATE template0").await?;
        database.create_source_schema(&[]).await?;
        let statements = match template {
            Template::Events(size) | Template::EventsBare(size) => source::events(size),
            Template::Others(size) => source::others(size),
            Template::Bad(size) => source::bad_feedback(size),
        };
        for statement in statements {
            database.execute(&statement).await.context("the source")?;
        }
        if !matches!(template, Template::EventsBare(_)) {
            migrate(&database).await?;
            expect_indexes(&database).await?;
        }
        database.execute("VACUUM (ANALYZE)").await?;
        let name = database.name().to_owned();
        database.close().await?;
        templates.insert(template, name.clone());
        Ok(name)
    }
}

/// All four indexes of the events are in place, as what is compared promises.
pub(crate) async fn expect_indexes(database: &Database) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM pg_index WHERE indrelid = '\"IntelligenceEvent\"'::regclass AND indisvalid";
    let valid: i64 = database.value(sql).await?;
    ensure!(
        valid == 4,
        "{valid} of the 4 indexes of IntelligenceEvent are there"
    );
    Ok(())
}

/// Applies the whole schema, on either backend.
pub(crate) async fn migrate(database: &Database) -> Result<()> {
    process::cli(database)?
        .args(["schema", "up"])
        .expect(0)
        .await?;
    Ok(())
}

/// An empty source in a file.
pub(crate) async fn file() -> Result<Database> {
    let database = Database::create(Backend::Sqlite).await?;
    database.create_source_schema(&[]).await?;
    Ok(database)
}

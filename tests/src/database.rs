//! One database of a test's own: a SQLite file or a database in the shared PostgreSQL server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, QueryResult,
    RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, TryGetable,
};

use crate::cluster::{self, Cluster};
use crate::roles::Role;
use crate::server::Server;
use crate::{pooler, scratch, source};

/// Which kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A database in a private server.
    Postgres,
}

/// A database, the address to give to the programs, and a connection to look inside.
#[derive(Debug)]
pub struct Database {
    /// Its kind.
    pub backend: Backend,
    /// Its address for the programs, with the password where there is one.
    pub url: String,
    /// Its address for the harness, which never goes through a pooler.
    direct: String,
    /// The file, on SQLite.
    pub file: Option<PathBuf>,
    connection: DatabaseConnection,
}

/// Defaults that no session of the programs may rely on.
const UNUSUAL: &str = "DO $$ DECLARE setting TEXT; BEGIN FOREACH setting IN ARRAY ARRAY[
    'default_transaction_isolation = serializable', 'DateStyle = German', 'extra_float_digits = -3',
    'bytea_output = escape', 'IntervalStyle = sql_standard', 'TimeZone = ''America/St_Johns'''
] LOOP EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting); END LOOP; END $$";

static COUNTER: AtomicU32 = AtomicU32::new(0);

impl Database {
    /// Makes an empty database.
    pub async fn create(backend: Backend) -> Result<Self> {
        match backend {
            Backend::Sqlite => {
                let file = scratch::folder("sqlite")?.join("backstitch.db");
                Self::open_file(file).await
            }
            Backend::Postgres => Self::create_on(Server::current()).await,
        }
    }

    /// Makes an empty database whose text is ordered as people order words, which is not the order of its bytes.
    pub async fn create_with_a_linguistic_order() -> Result<Self> {
        let options = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
        Self::create_in(cluster::shared()?, options).await
    }

    async fn create_on(server: Server) -> Result<Self> {
        if matches!(server, Server::Unusual | Server::Managed) {
            let database = Self::create_with_a_linguistic_order().await?;
            database.execute(UNUSUAL).await?;
            return Ok(database);
        }
        let mut database = Self::create_in(cluster::shared()?, "TEMPLATE template0").await?;
        if server == Server::Pooled {
            database.url = pooler::shared()?.url(database.name());
        }
        Ok(database)
    }

    /// Its address for a program that does a role's work: the role's own where the test is about roles.
    #[must_use]
    pub fn url_as(&self, role: Role) -> String {
        let has_roles = Server::current() == Server::Managed;
        match self.backend {
            Backend::Postgres if has_roles => role.url(&self.url),
            _ => self.url.clone(),
        }
    }

    /// Makes an empty database in a server of the test's own.
    pub async fn create_in(cluster: &Cluster, options: &str) -> Result<Self> {
        let name = format!("test_{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let maintenance = connect(&cluster.url("postgres")).await?;
        let sql = format!("CREATE DATABASE {name} {options}");
        let created = maintenance.execute_unprepared(&sql).await;
        maintenance.close().await?;
        created.with_context(|| sql)?;
        let url = cluster.url(&name);
        let connection = connect(&url).await?;
        Ok(Self {
            backend: Backend::Postgres,
            direct: url.clone(),
            url,
            file: None,
            connection,
        })
    }

    /// Connects to a database of a server.
    pub async fn open(url: &str) -> Result<Self> {
        Ok(Self {
            backend: Backend::Postgres,
            url: url.to_owned(),
            direct: url.to_owned(),
            file: None,
            connection: connect(url).await?,
        })
    }

    /// Opens a SQLite file, making it where there is none.
    pub async fn open_file(file: PathBuf) -> Result<Self> {
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let connection = connect(&url).await?;
        Ok(Self {
            backend: Backend::Sqlite,
            direct: url.clone(),
            url,
            file: Some(file),
            connection,
        })
    }

    /// Opens a second connection to the same database, as another client would.
    pub async fn another(&self) -> Result<Self> {
        let connection = connect(&self.direct).await?;
        Ok(Self {
            backend: self.backend,
            url: self.url.clone(),
            direct: self.direct.clone(),
            file: self.file.clone(),
            connection,
        })
    }

    /// Copies it, as somebody who restores a backup does. What is connected to it is cut off.
    pub async fn copy(&self) -> Result<Self> {
        if self.backend == Backend::Sqlite {
            let file = scratch::folder("copy")?.join("copy.db");
            self.execute(&format!("VACUUM INTO '{}'", file.display()))
                .await?;
            return Self::open_file(file).await;
        }
        let (name, cluster) = (self.name(), cluster::shared()?);
        let maintenance = connect(&cluster.url("postgres")).await?;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ";
        let cut = format!("{cut}'{name}'");
        maintenance.execute_unprepared(&cut).await?;
        maintenance.close().await?;
        Self::create_in(cluster, &format!("TEMPLATE {name}")).await
    }

    /// Opens a connection as a role.
    pub async fn another_as(&self, role: Role) -> Result<Self> {
        let direct = role.url(&self.direct);
        let connection = connect(&direct).await?;
        Ok(Self {
            backend: self.backend,
            url: self.url.clone(),
            direct,
            file: self.file.clone(),
            connection,
        })
    }

    /// The code under which the database refuses a statement; none where it does not.
    pub async fn refusal(&self, sql: &str) -> Result<Option<String>> {
        let error = match self.connection.execute_unprepared(sql).await {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        match &error {
            DbErr::Exec(RuntimeErr::SqlxError(inner)) => {
                let code = inner.as_database_error().and_then(|error| error.code());
                Ok(code.map(|code| code.into_owned()))
            }
            _ => Err(error.into()),
        }
    }

    /// Opens a connection on the way that the programs take, through a pooler where there is one. It can execute, but
    /// not query: the harness's queries are prepared.
    pub async fn as_the_programs(&self) -> Result<Self> {
        let mut options = ConnectOptions::new(&self.url);
        options
            .sqlx_logging(false)
            .max_connections(1)
            .map_sqlx_postgres_opts(|options| options.extra_float_digits(None));
        Ok(Self {
            backend: self.backend,
            url: self.url.clone(),
            direct: self.direct.clone(),
            file: self.file.clone(),
            connection: sea_orm::Database::connect(options).await?,
        })
    }

    /// Makes the Phase 4.5 schema, leaving out some of the optional tables.
    pub async fn create_source_schema(&self, without: &[&str]) -> Result<()> {
        for statement in source::schema(self.backend, without) {
            self.execute(&statement).await?;
        }
        Ok(())
    }

    /// Runs a statement, or several, and returns how many rows it changed.
    pub async fn execute(&self, sql: &str) -> Result<u64> {
        let result = self.connection.execute_unprepared(sql).await;
        let shown: String = sql.chars().take(300).collect();
        Ok(result
            .with_context(|| format!("run {shown}"))?
            .rows_affected())
    }

    /// Runs a statement in a transaction, which stays open with its locks until it is ended.
    pub async fn hold(&self, sql: &str) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.connection.begin_with_options(options).await?;
        let held = transaction.execute_unprepared(sql).await;
        held.with_context(|| format!("run {sql}"))?;
        Ok(transaction)
    }

    /// Runs a query.
    pub async fn query(&self, sql: &str) -> Result<Vec<QueryResult>> {
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        self.connection
            .query_all_raw(statement)
            .await
            .with_context(|| format!("query {sql}"))
    }

    /// The single value that a query returns.
    pub async fn value<T: TryGetable>(&self, sql: &str) -> Result<T> {
        let rows = self.query(sql).await?;
        ensure!(
            rows.len() == 1,
            "{} rows instead of one from {sql}",
            rows.len()
        );
        rows[0]
            .try_get_by_index(0)
            .with_context(|| format!("read the value of {sql}"))
    }

    /// The first column of a query, as text.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.query(sql).await?;
        rows.iter()
            .map(|row| Ok(row.try_get_by_index(0)?))
            .collect()
    }

    /// How many rows a table holds.
    pub async fn count(&self, table: &str) -> Result<i64> {
        self.value(&format!("SELECT COUNT(*) FROM \"{table}\""))
            .await
    }

    /// Whether there is such a table.
    pub async fn has_table(&self, table: &str) -> Result<bool> {
        let sql = match self.backend {
            Backend::Sqlite => format!(
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '{table}'"
            ),
            Backend::Postgres => format!(
                "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = '{table}'"
            ),
        };
        Ok(self.value::<i64>(&sql).await? > 0)
    }

    /// Whether a table has such a column.
    pub async fn has_column(&self, table: &str, column: &str) -> Result<bool> {
        let sql = match self.backend {
            Backend::Sqlite => {
                format!("SELECT COUNT(*) FROM pragma_table_info('{table}') WHERE name = '{column}'")
            }
            Backend::Postgres => format!(
                "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'public' \
                 AND table_name = '{table}' AND column_name = '{column}'"
            ),
        };
        Ok(self.value::<i64>(&sql).await? > 0)
    }

    /// Its name in the server, on PostgreSQL.
    #[must_use]
    pub fn name(&self) -> &str {
        self.direct.rsplit('/').next().unwrap_or_default()
    }

    /// Removes it from its server, whoever is connected to it.
    pub async fn remove_from(self, cluster: &Cluster) -> Result<()> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name());
        self.close().await?;
        let maintenance = connect(&cluster.url("postgres")).await?;
        let removed = maintenance.execute_unprepared(&sql).await;
        maintenance.close().await?;
        removed.with_context(|| sql)?;
        Ok(())
    }

    /// Closes the harness's own connections; the database stays.
    pub async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}

async fn connect(url: &str) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options
        .sqlx_logging(false)
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(60))
        .map_sqlx_sqlite_opts(|sqlite| sqlite.busy_timeout(Duration::from_secs(60)));
    let connection = sea_orm::Database::connect(options).await;
    connection.context("connect the harness to its own database")
}

//! Backups: what is put back is what was there, to the row, the constraint and the setting; what is broken is found; and
//! whatever goes wrong, what stands stands.

mod damage;
mod kills;
mod provider;
mod tools;
mod whole;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tests::cluster::{Cluster, PASSWORD};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::json::Json;
use tests::process::{self, Invocation};
use tests::scenario::Scenario;
use tests::scratch;

use self::whole::{expect_restored, expect_same, properties, whole};

on_both!(round_trip);

/// What a run has gone over.
async fn migrated(database: Database, seed: u64) -> Result<Scenario> {
    let profile = Profile {
        campaigns: 10,
        large: false,
        ..Profile::odd(database.backend, seed)
    };
    let scenario = Scenario::load_into(database, &profile).await?;
    scenario.run()?.expect(0).await?;
    Ok(scenario)
}

/// `cli backup …`, with the folder of backups.
fn backup(url: &str, command: &str, to: &Path) -> Result<Invocation> {
    let invocation = process::program("cli", url)?.args(["backup", command]);
    Ok(invocation.args(["--to".as_ref(), to.as_os_str()]))
}

/// `cli backup restore …`, with the name typed.
fn restore(url: &str, backup_or_folder: &str, to: &Path, name: &str) -> Result<Invocation> {
    Ok(backup(url, "restore", to)?.args([backup_or_folder, "--confirm", name]))
}

/// Takes a backup; gives what it says of it.
async fn take(url: &str, to: &Path, options: &[&str]) -> Result<Json> {
    let taken = backup(url, "create", to)?.args(options).args(["--json"]);
    let outcome = taken.expect(0).await?;
    Json::parse(&outcome.stdout).map_err(anyhow::Error::msg)
}

fn text(json: &Json, field: &str) -> Result<String> {
    match json.get(field) {
        Some(Json::Text(text)) => Ok(text.clone()),
        other => anyhow::bail!("{field} is no text: {other:?}"),
    }
}

/// What the database is called to whoever replaces it.
fn name(database: &Database) -> String {
    match &database.file {
        Some(file) => file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into(),
        None => database.name().to_owned(),
    }
}

/// Leaves a database alone, so that nobody is connected to it.
async fn left(scenario: Scenario) -> Result<Closed> {
    let Scenario {
        profile, database, ..
    } = scenario;
    let (url, file) = (database.url.clone(), database.file.clone());
    database.close().await?;
    Ok(Closed { profile, url, file })
}

/// A database that the harness is not connected to.
struct Closed {
    profile: Profile,
    url: String,
    file: Option<PathBuf>,
}

impl Closed {
    async fn open(self) -> Result<Scenario> {
        let database = match self.file {
            Some(file) => Database::open_file(file).await?,
            None => Database::open(&self.url).await?,
        };
        Ok(Scenario::around(database, &self.profile))
    }
}

/// Gives a database what no dump of it holds.
async fn give(database: &Database) -> Result<()> {
    let name = database.name();
    for sql in [
        format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"),
        "GRANT pg_read_all_data TO reader".into(),
        format!("ALTER DATABASE {name} SET DateStyle = 'German'"),
        format!("ALTER DATABASE {name} SET search_path = \"$user\", public"),
        format!("ALTER DATABASE {name} SET app.motto = 'it''s a \\ \"motto\"'"),
        format!("ALTER ROLE reader IN DATABASE {name} SET work_mem = '5MB'"),
        format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"),
        format!("GRANT TEMPORARY ON DATABASE {name} TO reader WITH GRANT OPTION"),
        format!("ALTER DATABASE {name} CONNECTION LIMIT 150"),
        format!("COMMENT ON DATABASE {name} IS 'the application''s'"),
    ] {
        database.execute(&sql).await?;
    }
    Ok(())
}

async fn round_trip(backend: Backend) -> Result<()> {
    let cluster = match backend {
        Backend::Postgres => Some(Cluster::start_for_many_connections()?),
        Backend::Sqlite => None,
    };
    let database = match &cluster {
        Some(cluster) => {
            let options = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
            let database = Database::create_in(cluster, options).await?;
            give(&database).await?;
            // The settings are of sessions from here on.
            let url = database.url.clone();
            database.close().await?;
            Database::open(&url).await?
        }
        None => Database::create(backend).await?,
    };
    let mut scenario = migrated(database, 501).await?;
    let to = scratch::folder("backups")?.join("not there yet");
    let ways: &[&[&str]] = match backend {
        Backend::Postgres => &[
            &["--format", "directory", "--jobs", "3"],
            &["--format", "custom"],
        ],
        Backend::Sqlite => &[&[]],
    };
    for way in ways {
        scenario = there_and_back(scenario, &to, way, cluster.as_ref()).await?;
    }
    if let Some(cluster) = &cluster {
        let url = &scenario.database.url;
        let reader = url.replace(tests::cluster::USER, "reader");
        let refused = backup(&reader, "verify", &to)?
            .args(["--full"])
            .expect(4)
            .await?;
        refused.expect_named(&["CREATEDB"])?;
        let sql = "SELECT CAST(datname AS TEXT) FROM pg_database WHERE datname LIKE '%verify%' OR datname LIKE '%restoring%'";
        let left = scenario.database.texts(sql).await?;
        ensure!(
            left.is_empty(),
            "left over: {left:?}, on {}",
            cluster.port()
        );
    }
    gone_altogether(scenario, &to, cluster.as_ref()).await
}

async fn there_and_back(
    scenario: Scenario,
    to: &Path,
    way: &[&str],
    cluster: Option<&Cluster>,
) -> Result<Scenario> {
    let (url, name) = (scenario.database.url.clone(), name(&scenario.database));
    let before = whole(&scenario.database).await?;
    let given = match cluster {
        Some(_) => properties(&scenario.database).await?,
        None => Vec::new(),
    };
    let taken = take(&url, to, way).await?;
    let id = text(&taken, "id")?;
    expect_private(Path::new(&text(&taken, "place")?))?;
    backup(&url, "list", to)?
        .expect(0)
        .await?
        .expect_named(&[&id, "never"])?;
    backup(&url, "verify", to)?.args([&id]).expect(0).await?;
    backup(&url, "verify", to)?
        .args([&id, "--full"])
        .expect(0)
        .await?;
    backup(&url, "list", to)?
        .expect(0)
        .await?
        .expect_named(&[&id, "in full"])?;

    scenario
        .database
        .execute("DELETE FROM \"AgentFeedback\"")
        .await?;
    scenario
        .database
        .execute("DROP TABLE \"KPIHistory\"")
        .await?;
    let changed = whole(&scenario.database).await?;
    let wrong = restore(&url, &id, to, "another")?;
    if cluster.is_some() {
        let in_use = restore(&url, &id, to, &name)?.expect(4).await?;
        in_use.expect_named(&["nothing was changed", "connected to", "--disconnect"])?;
    } else {
        let own = format!("process {}", std::process::id());
        let in_use = restore(&url, &id, to, &name)?.expect(4).await?;
        in_use.expect_named(&["nothing was changed", &own])?;
    }
    let closed = left(scenario).await?;
    let refused = wrong.expect(4).await?;
    refused.expect_clear_error()?;
    let unnamed = backup(&url, "restore", to)?.args([&id]).expect(4).await?;
    unnamed.expect_named(&["--confirm"])?;

    let restored = restore(&url, &id, to, &name)?.args(["--reason", "a test", "--json"]);
    let restored = Json::parse(&restored.expect(0).await?.stdout).map_err(anyhow::Error::msg)?;
    let scenario = closed.open().await?;
    expect_restored(&before, whole(&scenario.database).await?)?;
    if cluster.is_some() {
        let found = properties(&scenario.database).await?;
        ensure!(given == found, "{given:?} became {found:?}");
    }
    scenario.verify_journal().await?;
    let kept = text(&restored, "kept_as")?;
    let kept = match cluster {
        Some(cluster) => Database::open(&cluster.url(&kept)).await?,
        None => Database::open_file(kept.into()).await?,
    };
    expect_same(&changed, &whole(&kept).await?)?;
    // What the journal before held is tied in.
    let head = process::program("cli", &kept.url)?
        .args(["journal", "head"])
        .expect(0)
        .await?;
    let digest = format!("digest {}", text(&restored, "head")?);
    ensure!(
        head.stdout.trim_end().ends_with(&digest),
        "{digest} is not that of {head}"
    );
    kept.close().await?;
    Ok(scenario)
}

/// Nobody else may read any of it.
fn expect_private(folder: &Path) -> Result<()> {
    let mut waiting = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        let metadata = std::fs::metadata(&path)?;
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        let mode = metadata.permissions().mode() & 0o777;
        ensure!(mode == wanted, "{} has the mode {mode:o}", path.display());
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else {
            files += 1;
            let text = std::fs::read(&path)?;
            let found = text
                .windows(PASSWORD.len())
                .any(|part| part == PASSWORD.as_bytes());
            ensure!(!found, "the password is in {}", path.display());
        }
    }
    ensure!(files > 1, "only {files} files are in {}", folder.display());
    Ok(())
}

/// Neither database nor journal is left, but the folder is.
async fn gone_altogether(scenario: Scenario, to: &Path, cluster: Option<&Cluster>) -> Result<()> {
    let (url, name) = (scenario.database.url.clone(), name(&scenario.database));
    let before = whole(&scenario.database).await?;
    let given = match cluster {
        Some(_) => properties(&scenario.database).await?,
        None => Vec::new(),
    };
    let taken = take(&url, to, &[]).await?;
    let (id, place) = (text(&taken, "id")?, text(&taken, "place")?);
    let profile = scenario.profile.clone();
    let file = scenario.database.file.clone();
    match cluster {
        Some(cluster) => scenario.database.remove_from(cluster).await?,
        None => {
            scenario.database.close().await?;
            std::fs::remove_file(file.as_ref().context("a file")?)?;
        }
    }
    let url = url.split('?').next().unwrap_or_default().to_owned();
    let list = backup(&url, "list", to)?.expect(0).await?;
    list.expect_named(&[&id, "not in the journal", "the journal is not looked at"])?;
    backup(&url, "verify", to)?
        .args([&place])
        .expect(0)
        .await?
        .expect_named(&["not noted"])?;
    restore(&url, &place, to, &name)?.expect(0).await?;
    let scenario = Closed { profile, url, file }.open().await?;
    expect_restored(&before, whole(&scenario.database).await?)?;
    if cluster.is_some() {
        let found = properties(&scenario.database).await?;
        ensure!(given == found, "{given:?} became {found:?}");
    }
    scenario.verify_journal().await
}

//! Where it takes place: one server for all seeds, a template for each seed, and copies of it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::database::{Backend, Database};
use crate::generate::{self, Profile};
use crate::proxy::Proxy;
use crate::scenario::Scenario;
use crate::scratch;

/// The server, where there is one.
#[derive(Debug)]
pub(super) struct Ground {
    backend: Backend,
    cluster: Option<Cluster>,
}

/// A loaded source that is copied rather than loaded again.
#[derive(Debug)]
pub(super) struct Template {
    profile: Profile,
    /// The database's name, or the file.
    place: String,
    logs: Vec<PathBuf>,
    folder: PathBuf,
}

impl Ground {
    pub(super) fn prepare(backend: Backend) -> Result<Self> {
        let cluster = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Cluster::start_for_many_connections()?),
        };
        Ok(Self { backend, cluster })
    }

    pub(super) fn backend(&self) -> Backend {
        self.backend
    }

    /// The server.
    pub(super) fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().context("SQLite has no server")
    }

    /// A proxy before the server, where there is one.
    pub(super) async fn proxy(&self) -> Result<Option<Proxy>> {
        match &self.cluster {
            None => Ok(None),
            Some(cluster) => Ok(Some(Proxy::start(cluster.address()).await?)),
        }
    }

    /// Loads a source.
    pub(super) async fn template(&self, profile: &Profile) -> Result<Template> {
        let source = generate::source(profile);
        let database = self.create("TEMPLATE template0").await?;
        source.load(&database).await?;
        let place = match &database.file {
            Some(file) => file.display().to_string(),
            None => database.name().to_owned(),
        };
        database.close().await?;
        let folder = scratch::folder("logs")?;
        let logs = source.write_logs(&folder)?;
        Ok(Template {
            profile: profile.clone(),
            place,
            logs,
            folder,
        })
    }

    /// A database with the template's source in it.
    pub(super) async fn copy(&self, template: &Template) -> Result<Scenario> {
        let database = match self.backend {
            Backend::Postgres => self.create(&format!("TEMPLATE {}", template.place)).await?,
            Backend::Sqlite => {
                let file = scratch::folder("sqlite")?.join("backstitch.db");
                std::fs::copy(&template.place, &file)?;
                Database::open_file(file).await?
            }
        };
        Ok(Scenario {
            logs: template.logs.clone(),
            ..Scenario::around(database, &template.profile)
        })
    }

    /// Removes a database.
    pub(super) async fn remove(&self, database: Database) -> Result<()> {
        match database.file.clone() {
            None => database.remove_from(self.cluster()?).await,
            Some(file) => {
                database.close().await?;
                let folder = file.parent().context("a file's folder")?;
                Ok(std::fs::remove_dir_all(folder)?)
            }
        }
    }

    /// Removes a template.
    pub(super) async fn forget(&self, template: Template) -> Result<()> {
        std::fs::remove_dir_all(&template.folder)?;
        let database = match self.backend {
            Backend::Postgres => Database::open(&self.cluster()?.url(&template.place)).await?,
            Backend::Sqlite => Database::open_file(PathBuf::from(&template.place)).await?,
        };
        self.remove(database).await
    }

    async fn create(&self, options: &str) -> Result<Database> {
        match &self.cluster {
            Some(cluster) => Database::create_in(cluster, options).await,
            None => Database::create(Backend::Sqlite).await,
        }
    }
}

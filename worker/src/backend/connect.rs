//! Connecting: what may be refused before anything is opened, and the real reason where nothing can be reached.

use std::time::Duration;

use sea_orm::DbErr;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection};

use super::{Database, PATIENCE, errors, postgres, sqlite, target};
use crate::error::{Error, Result};

/// How long a server that refuses connections may take to come back.
const REFUSED: Duration = Duration::from_millis(1_500);

/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// What a caller means to do in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Change nothing: an SQLite file is opened read-only, whatever the URL says, and its journal mode stays.
    Read,
    /// Write: an SQLite file is switched to WAL.
    Write,
}

impl Database {
    /// Connects, with up to `connections` at a time.
    ///
    /// # Errors
    /// [`Error::Usage`]: the URL is none of ours, the file or database does not exist, the password is wrong.
    /// [`Error::Transient`]: the server does not answer.
    pub async fn connect(url: &str, connections: u32, access: Access) -> Result<Self> {
        let target = target::target(url)?;
        if url.starts_with("sqlite:") {
            sqlite::check_file(url, access)?;
        } else {
            postgres::check_parameters(url)?;
            reach(url, &target).await?;
        }
        let mut attempt = 0;
        loop {
            match Self::try_connect(url, connections, access).await {
                Ok(database) => return Ok(database),
                // Two processes that make the file, or set its journal mode, at once: one is told at once that it is
                // locked, whatever the busy timeout.
                Err(error) if errors::is_locked(&error) && attempt < 100 => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(errors::refused(&target, &error)),
            }
        }
    }

    async fn try_connect(url: &str, connections: u32, access: Access) -> Result<Self, DbErr> {
        let connection = match url.starts_with("sqlite:") {
            true => sqlite::connect(url, connections, access).await?,
            false => postgres::connect(url, connections).await?,
        };
        let database = Self {
            connection: connection.into(),
        };
        database.one("SELECT 1 AS \"one\"", []).await?;
        Ok(database)
    }
}

/// Reaches the server once: a pool tries until its time is over, and then no longer knows why.
async fn reach(url: &str, target: &str) -> Result<()> {
    // What cannot be read is the pool's to say.
    let Ok(options) = postgres::options(url) else {
        return Ok(());
    };
    let begin = tokio::time::Instant::now();
    loop {
        let error = match tokio::time::timeout(PATIENCE, options.connect()).await {
            Ok(Ok(connection)) => {
                // It was only asked whether it can be had.
                let _ = connection.close().await;
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(Error::Transient(format!(
                    "cannot reach the database {target}: no answer within {} s; check host, port and firewall, then \
                     try again",
                    PATIENCE.as_secs()
                )));
            }
        };
        let patience = match &error {
            sqlx::Error::Io(_) => REFUSED,
            _ => PATIENCE,
        };
        let error = DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()));
        if !errors::is_transient(&error) || begin.elapsed() >= patience {
            return Err(errors::refused(target, &error));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

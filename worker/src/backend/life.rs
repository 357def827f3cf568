//! The lives of a server.

use sea_orm::{ConnectionTrait, DbErr};

use super::{Dialect, all};

/// When the server's statistics were reset last: by a crash of it, or by somebody.
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-SETUP>
const LIFE: &str = "SELECT COALESCE(CAST(EXTRACT(EPOCH FROM stats_reset) AS TEXT), 'never') AS \"life\" FROM pg_stat_bgwriter";

/// Tells a server's life from those before and after a crash of it, which takes back what had been committed a moment before
/// (with [`super::Durability::Relaxed`]) and was seen by others. None on SQLite, whose readers die with it.
///
/// # Errors
/// The database's.
pub async fn life(connection: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    match Dialect::of(connection) {
        Dialect::Sqlite => Ok(None),
        Dialect::Postgres => {
            let rows = all(connection, LIFE, []).await?;
            let life = rows.first().map(|row| row.try_get("", "life"));
            life.transpose()
        }
    }
}

//! The schema changes that Backstitch applies, in order.
//!
//! Migrations are history: they spell out their SQL and import neither the entities nor the worker, which move on.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Schema};
use sea_orm_migration::seaql_migrations;

pub use sea_orm_migration::MigratorTrait;

mod m20251104_000001_journal;
mod m20251104_000002_intelligence_core;
mod m20251105_000003_row_lookup;
mod run_sql;

/// What keeps the journal append-only, as it was made.
pub mod guards {
    pub use crate::m20251104_000001_journal::{Guard, POSTGRES_GUARDS, REFUSE, SQLITE_GUARDS};
}

/// The SQL of a schema change, for people to read and to sign.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    /// The change's name.
    pub name: &'static str,
    postgres: [&'static [&'static str]; 2],
    sqlite: [&'static [&'static str]; 3],
}

impl Sql {
    /// Its statements in their order, for SQLite or for PostgreSQL.
    pub fn statements(&self, sqlite: bool) -> impl Iterator<Item = &'static str> {
        let lists: &[&'static [&'static str]] = match sqlite {
            true => &self.sqlite,
            false => &self.postgres,
        };
        lists.iter().copied().flatten().copied()
    }
}

/// The SQL of all schema changes, in order.
#[must_use]
pub fn sql() -> [Sql; 3] {
    [
        m20251104_000001_journal::SQL,
        m20251104_000002_intelligence_core::SQL,
        m20251105_000003_row_lookup::SQL,
    ]
}

/// The statement that makes the table in which the migrator keeps what is applied, as it makes it.
#[must_use]
pub fn bookkeeping(sqlite: bool) -> String {
    let backend = match sqlite {
        true => DbBackend::Sqlite,
        false => DbBackend::Postgres,
    };
    let mut table = Schema::new(backend).create_table_from_entity(seaql_migrations::Entity);
    table
        .table(Migrator::migration_table_name())
        .if_not_exists();
    match sqlite {
        true => table.to_string(SqliteQueryBuilder),
        false => table.to_string(PostgresQueryBuilder),
    }
}

/// The ordered list of schema changes.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20251104_000001_journal::Migration),
            Box::new(m20251104_000002_intelligence_core::Migration),
            Box::new(m20251105_000003_row_lookup::Migration),
        ]
    }

    /// A table of Backstitch's own, because the application may keep its migrations in SeaORM's default one.
    fn migration_table_name() -> DynIden {
        "backstitch_migrations".into_iden()
    }
}

//! The first and the last key of each batch beside its provenance, and what all keys between them begin with, so that the
//! batches of a key are found by an index: such a batch shares a beginning of the key, and batches in the order of
//! their keys share the same one with few others. Keys are packed, and ordered by their bytes: so are these columns,
//! whatever the database's collation is.
//!
//! Batches that were journaled before have neither: the journal's rows are never updated, so those are searched one by one.

use sea_orm_migration::prelude::*;

use crate::run_sql::run_sql;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, DOWN, DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

pub(crate) const SQL: crate::Sql = crate::Sql {
    name: "m20251105_000003_row_lookup",
    postgres: [POSTGRES, &[]],
    sqlite: [SQLITE, &[], &[]],
};

const POSTGRES: &[&str] = &[
    r#"ALTER TABLE "backstitch_journal_rows" ADD COLUMN "shared" TEXT COLLATE "C""#,
    r#"ALTER TABLE "backstitch_journal_rows" ADD COLUMN "least" TEXT COLLATE "C""#,
    r#"ALTER TABLE "backstitch_journal_rows" ADD COLUMN "greatest" TEXT COLLATE "C""#,
    INDEX,
];

const SQLITE: &[&str] = &[
    r#"ALTER TABLE "backstitch_journal_rows" ADD COLUMN "shared" TEXT COLLATE BINARY"#,
    r#"ALTER TABLE "backstitch_journal_rows" ADD COLUMN "least" TEXT COLLATE BINARY"#,
    r#"ALTER TABLE "backstitch_journal_rows" ADD COLUMN "greatest" TEXT COLLATE BINARY"#,
    INDEX,
];

/// Holds both ends, so that a batch whose keys end before the one that is looked for is passed over without being read.
const INDEX: &str = r#"CREATE INDEX "backstitch_journal_rows_table_shared_idx"
    ON "backstitch_journal_rows" ("table_name", "shared", "least", "greatest")"#;

const DOWN: &[&str] = &[
    r#"DROP INDEX "backstitch_journal_rows_table_shared_idx""#,
    r#"ALTER TABLE "backstitch_journal_rows" DROP COLUMN "greatest""#,
    r#"ALTER TABLE "backstitch_journal_rows" DROP COLUMN "least""#,
    r#"ALTER TABLE "backstitch_journal_rows" DROP COLUMN "shared""#,
];

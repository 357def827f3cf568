//! The journal, its provenance, the partitions' projection, and the triggers that keep the first two append-only.

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
        run_sql(manager, POSTGRES_DOWN, SQLITE_DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

pub(crate) const SQL: crate::Sql = crate::Sql {
    name: "m20251104_000001_journal",
    postgres: [POSTGRES, &[]],
    sqlite: [SQLITE, &[], &[]],
};

const POSTGRES: &[&str] = &[
    r#"CREATE TABLE "backstitch_journal" (
        "position" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        "run" TEXT NOT NULL, "stream" TEXT NOT NULL, "seq" BIGINT NOT NULL,
        "kind" TEXT NOT NULL, "version" INTEGER NOT NULL, "unit" TEXT, "key" TEXT,
        "payload" TEXT NOT NULL, "worker" TEXT NOT NULL, "at" BIGINT NOT NULL,
        "prev" TEXT NOT NULL, "hash" TEXT NOT NULL,
        CONSTRAINT "backstitch_journal_run_stream_seq_key" UNIQUE ("run", "stream", "seq"))"#,
    JOURNAL_KEY_INDEX,
    JOURNAL_KIND_INDEX,
    r#"CREATE TABLE "backstitch_journal_rows" (
        "run" TEXT NOT NULL, "stream" TEXT NOT NULL, "seq" BIGINT NOT NULL, "table_name" TEXT NOT NULL,
        "rows" INTEGER NOT NULL, "keys" BYTEA NOT NULL, "digests" BYTEA NOT NULL, "before" BYTEA,
        PRIMARY KEY ("run", "stream", "seq", "table_name"))"#,
    r#"CREATE TABLE "backstitch_partition" (
        "run" TEXT NOT NULL, "stream" TEXT NOT NULL, "unit" TEXT NOT NULL,
        "pass" INTEGER NOT NULL, "section" INTEGER NOT NULL, "part" INTEGER NOT NULL,
        "lower" TEXT, "upper" TEXT, "estimate" BIGINT NOT NULL,
        "status" TEXT NOT NULL, "cursor" TEXT, "seq" BIGINT NOT NULL, "head" TEXT NOT NULL,
        "batches" BIGINT NOT NULL, "read" BIGINT NOT NULL, "written" BIGINT NOT NULL,
        "skipped" BIGINT NOT NULL, "quarantined" BIGINT NOT NULL,
        "undone_to" BIGINT, "removed" BIGINT NOT NULL, "kept" BIGINT NOT NULL, "gone" BIGINT NOT NULL,
        "first_at" BIGINT NOT NULL, "last_at" BIGINT NOT NULL,
        PRIMARY KEY ("run", "stream")) WITH (fillfactor = 50)"#,
    REFUSE,
    POSTGRES_GUARDS[0].create,
    POSTGRES_GUARDS[0].always,
    POSTGRES_GUARDS[1].create,
    POSTGRES_GUARDS[1].always,
];

const SQLITE: &[&str] = &[
    r#"CREATE TABLE "backstitch_journal" (
        "position" INTEGER PRIMARY KEY AUTOINCREMENT,
        "run" TEXT NOT NULL, "stream" TEXT NOT NULL, "seq" INTEGER NOT NULL,
        "kind" TEXT NOT NULL, "version" INTEGER NOT NULL, "unit" TEXT, "key" TEXT,
        "payload" TEXT NOT NULL, "worker" TEXT NOT NULL, "at" INTEGER NOT NULL,
        "prev" TEXT NOT NULL, "hash" TEXT NOT NULL,
        CONSTRAINT "backstitch_journal_run_stream_seq_key" UNIQUE ("run", "stream", "seq"))"#,
    JOURNAL_KEY_INDEX,
    JOURNAL_KIND_INDEX,
    r#"CREATE TABLE "backstitch_journal_rows" (
        "run" TEXT NOT NULL, "stream" TEXT NOT NULL, "seq" INTEGER NOT NULL, "table_name" TEXT NOT NULL,
        "rows" INTEGER NOT NULL, "keys" BLOB NOT NULL, "digests" BLOB NOT NULL, "before" BLOB,
        PRIMARY KEY ("run", "stream", "seq", "table_name"))"#,
    r#"CREATE TABLE "backstitch_partition" (
        "run" TEXT NOT NULL, "stream" TEXT NOT NULL, "unit" TEXT NOT NULL,
        "pass" INTEGER NOT NULL, "section" INTEGER NOT NULL, "part" INTEGER NOT NULL,
        "lower" TEXT, "upper" TEXT, "estimate" INTEGER NOT NULL,
        "status" TEXT NOT NULL, "cursor" TEXT, "seq" INTEGER NOT NULL, "head" TEXT NOT NULL,
        "batches" INTEGER NOT NULL, "read" INTEGER NOT NULL, "written" INTEGER NOT NULL,
        "skipped" INTEGER NOT NULL, "quarantined" INTEGER NOT NULL,
        "undone_to" INTEGER, "removed" INTEGER NOT NULL, "kept" INTEGER NOT NULL, "gone" INTEGER NOT NULL,
        "first_at" INTEGER NOT NULL, "last_at" INTEGER NOT NULL,
        PRIMARY KEY ("run", "stream"))"#,
    SQLITE_GUARDS[0].create,
    SQLITE_GUARDS[1].create,
    SQLITE_GUARDS[2].create,
    SQLITE_GUARDS[3].create,
];

/// A trigger that keeps a table append-only: made here, and what an audit compares with what stands.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// The table.
    pub table: &'static str,
    /// The trigger's name.
    pub name: &'static str,
    /// The statement that makes it.
    pub create: &'static str,
    /// The statement that lets it fire whatever `session_replication_role` says; empty on SQLite, which knows no such
    /// thing.
    pub always: &'static str,
}

/// What PostgreSQL's triggers call.
pub const REFUSE: &str = r#"CREATE FUNCTION "backstitch_append_only"() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$"#;

/// The triggers on PostgreSQL.
pub const POSTGRES_GUARDS: [Guard; 2] = [
    Guard {
        table: "backstitch_journal",
        name: "backstitch_append_only",
        create: r#"CREATE TRIGGER "backstitch_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "backstitch_journal"
        FOR EACH STATEMENT EXECUTE FUNCTION "backstitch_append_only"()"#,
        always: r#"ALTER TABLE "backstitch_journal" ENABLE ALWAYS TRIGGER "backstitch_append_only""#,
    },
    Guard {
        table: "backstitch_journal_rows",
        name: "backstitch_append_only",
        create: r#"CREATE TRIGGER "backstitch_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "backstitch_journal_rows"
        FOR EACH STATEMENT EXECUTE FUNCTION "backstitch_append_only"()"#,
        always: r#"ALTER TABLE "backstitch_journal_rows" ENABLE ALWAYS TRIGGER "backstitch_append_only""#,
    },
];

/// The triggers on SQLite.
pub const SQLITE_GUARDS: [Guard; 4] = [
    Guard {
        table: "backstitch_journal",
        name: "backstitch_journal_no_update",
        create: r#"CREATE TRIGGER "backstitch_journal_no_update" BEFORE UPDATE ON "backstitch_journal"
        BEGIN SELECT RAISE(ABORT, 'backstitch_journal is append-only'); END"#,
        always: "",
    },
    Guard {
        table: "backstitch_journal",
        name: "backstitch_journal_no_delete",
        create: r#"CREATE TRIGGER "backstitch_journal_no_delete" BEFORE DELETE ON "backstitch_journal"
        BEGIN SELECT RAISE(ABORT, 'backstitch_journal is append-only'); END"#,
        always: "",
    },
    Guard {
        table: "backstitch_journal_rows",
        name: "backstitch_journal_rows_no_update",
        create: r#"CREATE TRIGGER "backstitch_journal_rows_no_update" BEFORE UPDATE ON "backstitch_journal_rows"
        BEGIN SELECT RAISE(ABORT, 'backstitch_journal_rows is append-only'); END"#,
        always: "",
    },
    Guard {
        table: "backstitch_journal_rows",
        name: "backstitch_journal_rows_no_delete",
        create: r#"CREATE TRIGGER "backstitch_journal_rows_no_delete" BEFORE DELETE ON "backstitch_journal_rows"
        BEGIN SELECT RAISE(ABORT, 'backstitch_journal_rows is append-only'); END"#,
        always: "",
    },
];

/// Finds what a source key met: quarantine asks for it on every catch-up batch with bad rows.
const JOURNAL_KEY_INDEX: &str = r#"CREATE INDEX "backstitch_journal_run_unit_key_idx"
    ON "backstitch_journal" ("run", "unit", "key") WHERE "key" IS NOT NULL"#;

/// Finds the newest run without reading the batches.
const JOURNAL_KIND_INDEX: &str = r#"CREATE INDEX "backstitch_journal_kind_idx"
    ON "backstitch_journal" ("kind", "position")"#;

const POSTGRES_DOWN: &[&str] = &[
    r#"DROP TABLE "backstitch_partition""#,
    r#"DROP TABLE "backstitch_journal_rows""#,
    r#"DROP TABLE "backstitch_journal""#,
    r#"DROP FUNCTION "backstitch_append_only"()"#,
];

const SQLITE_DOWN: &[&str] = &[
    r#"DROP TABLE "backstitch_partition""#,
    r#"DROP TABLE "backstitch_journal_rows""#,
    r#"DROP TABLE "backstitch_journal""#,
];

//! How the demo is made, seen on SQLite in a temporary file.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod contents;

use std::path::PathBuf;

use sea_orm::{ConnectionTrait, Database, DbBackend, QueryResult, Statement};

use crate::backend::Connection;

use super::tables::TABLES;
use super::{Batches, DemoError, Outcome, Size, create, create_in};

/// A database in a file that goes when the test ends.
struct Scratch {
    db: Connection,
    file: PathBuf,
}

impl Scratch {
    async fn new(name: &str) -> Self {
        let file =
            std::env::temp_dir().join(format!("backstitch-demo-{name}-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let db = Database::connect(format!("sqlite://{}?mode=rwc", file.display()))
            .await
            .unwrap()
            .into();
        Self { db, file }
    }

    async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        self.db
            .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
            .await
            .unwrap()
    }

    async fn count(&self, sql: &str) -> i64 {
        self.rows(&format!("SELECT count(*) AS n FROM {sql}")).await[0]
            .try_get("", "n")
            .unwrap()
    }

    /// All rows of all source tables, as text.
    async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in TABLES {
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|column| format!(r#"coalesce(quote("{column}"), '')"#))
                .collect();
            let sql = format!(
                r#"SELECT {} AS line FROM "{}" ORDER BY rowid"#,
                columns.join(" || '|' || "),
                table.name
            );
            for row in self.rows(&sql).await {
                dump.push_str(&row.try_get::<String>("", "line").unwrap());
                dump.push('\n');
            }
        }
        dump
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn small() -> Size {
    Size {
        campaigns: 40,
        tasks: 900,
        ..Size::default()
    }
}

#[tokio::test]
async fn the_same_size_gives_the_same_rows_whatever_the_batches() {
    let (one, other, reseeded) = (
        Scratch::new("one").await,
        Scratch::new("other").await,
        Scratch::new("reseeded").await,
    );
    create(&one.db, &small(), |_| {}).await.unwrap();
    create_in(
        &other.db,
        &small(),
        Batches {
            rows: 7,
            commit_after: 50,
        },
        |_| {},
    )
    .await
    .unwrap();
    create(&reseeded.db, &Size { seed: 6, ..small() }, |_| {})
        .await
        .unwrap();
    assert_eq!(one.dump().await, other.dump().await);
    assert_ne!(one.dump().await, reseeded.dump().await);
}

#[tokio::test]
async fn a_complete_demo_is_left_alone_and_another_size_is_refused() {
    let scratch = Scratch::new("again").await;
    let mut heard = Vec::new();
    create(&scratch.db, &small(), |tasks| heard.push(tasks))
        .await
        .unwrap();
    assert_eq!(heard.last(), Some(&900));
    let before = scratch.dump().await;
    assert_eq!(
        create(&scratch.db, &small(), |_| {}).await.unwrap(),
        Outcome::AlreadyThere(small())
    );
    let larger = Size {
        tasks: 901,
        ..small()
    };
    assert!(
        matches!(create(&scratch.db, &larger, |_| {}).await, Err(DemoError::Different(there)) if there == small())
    );
    assert_eq!(before, scratch.dump().await);
}

#[tokio::test]
async fn an_unfinished_demo_is_made_anew_in_any_size() {
    let (scratch, fresh) = (
        Scratch::new("unfinished").await,
        Scratch::new("fresh").await,
    );
    create(&scratch.db, &Size { seed: 9, ..small() }, |_| {})
        .await
        .unwrap();
    scratch
        .db
        .execute_unprepared("UPDATE backstitch_demo SET complete = 0")
        .await
        .unwrap();
    create(&scratch.db, &small(), |_| {}).await.unwrap();
    create(&fresh.db, &small(), |_| {}).await.unwrap();
    assert_eq!(scratch.dump().await, fresh.dump().await);
}

#[tokio::test]
async fn a_process_that_was_overtaken_writes_no_more() {
    let scratch = Scratch::new("overtaken").await;
    let slow = super::marker::prepare(&scratch.db, &small()).await.unwrap();
    let super::Found::Empty(slow) = slow else {
        panic!("the database was empty")
    };
    create(&scratch.db, &small(), |_| {}).await.unwrap();
    assert!(matches!(
        slow.begin(&scratch.db).await,
        Err(DemoError::Overtaken)
    ));
}

#[tokio::test]
async fn tables_of_somebody_else_are_not_touched() {
    for table in ["Campaign", "deal"] {
        let scratch = Scratch::new(&format!("occupied-{table}")).await;
        scratch
            .db
            .execute_unprepared(&format!("CREATE TABLE {table} (id TEXT)"))
            .await
            .unwrap();
        assert!(matches!(
            create(&scratch.db, &small(), |_| {}).await,
            Err(DemoError::Occupied)
        ));
        assert_eq!(scratch.count("sqlite_master").await, 1);
    }
}

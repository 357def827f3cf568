//! What stands around the journal's events and is part of no hash: doubled rows, the table that provenance names,
//! positions, and the triggers, which may stand and refuse nothing. A verification finds each, says how a trigger is put
//! back, and takes nothing that a worker does meanwhile for any of it.

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::generate::Profile;
use tests::process::{self, Outcome};
use tests::scenario::Scenario;

use crate::tamper::{FIRST_ROWS, JOURNAL, MIDDLE, PARTITION, ROWS, completed, unlocked};

on_both!(
    rows_beside_the_chain,
    triggers_that_refuse_nothing,
    beside_workers
);

/// A way to forge: statements, and what the verification must say.
type Forgery = (&'static str, Vec<String>, Vec<String>);

pub(crate) async fn rows_beside_the_chain(backend: Backend) -> Result<()> {
    let scenario = completed(backend).await?;
    let mut missed = Vec::new();
    for (name, changes, named) in forgeries(&scenario.database).await? {
        let copy = scenario.database.copy().await?;
        let changes: Vec<_> = changes.iter().map(String::as_str).collect();
        unlocked(&copy, &changes).await.context(name)?;
        let verified = verify(&copy).await?;
        copy.close().await?;
        note(name, &verified, &named, &mut missed);
    }
    ensure!(missed.is_empty(), "not found: {}", missed.join("\n"));
    scenario.verify_journal().await
}

async fn forgeries(database: &Database) -> Result<Vec<Forgery>> {
    let backend = database.backend;
    let place = "'stream ' || stream || ' event ' || seq";
    let rows = one(database, place, ROWS, FIRST_ROWS).await?;
    let event = one(database, place, JOURNAL, MIDDLE).await?;
    let empty = one(database, place, JOURNAL, EMPTY).await?;
    let partition = one(database, "'stream ' || stream", PARTITION, "written > 0").await?;
    let turned = one(database, "'stream ' || stream", JOURNAL, MIDDLE).await?;
    let beside = |of: &str, table: &str, from: &str| {
        format!(
            "INSERT INTO {ROWS} SELECT {of}, {table}, r.rows, r.keys, r.digests, r.before, r.shared, r.least, r.greatest FROM {from}"
        )
    };
    let first = format!("(SELECT * FROM {ROWS} WHERE {FIRST_ROWS}) AS r");
    let twice = "stands more than once";
    Ok(vec![
        (
            "provenance of another table stands beside a batch's own",
            vec![beside("r.run, r.stream, r.seq", "'AAA'", &first)],
            vec![rows.clone(), twice.into()],
        ),
        (
            "a batch that wrote nothing has provenance",
            vec![beside(
                "j.run, j.stream, j.seq",
                "r.table_name",
                &format!("(SELECT * FROM {JOURNAL} WHERE {EMPTY}) AS j, {first}"),
            )],
            vec![empty, "there is no such batch".into()],
        ),
        (
            "provenance names another table",
            vec![format!(
                "UPDATE {ROWS} SET table_name = 'Campaign2' WHERE {FIRST_ROWS}"
            )],
            vec![rows.clone(), "the table Campaign2".into()],
        ),
        (
            "provenance is doubled",
            doubled(backend, ROWS, FIRST_ROWS),
            vec![rows, twice.into()],
        ),
        (
            "partitions are doubled",
            doubled(backend, PARTITION, "written > 0"),
            vec![partition, twice.into()],
        ),
        (
            "an event is doubled",
            doubled(backend, JOURNAL, MIDDLE),
            vec![event, twice.into()],
        ),
        (
            "a stream's positions are turned round",
            renumbered(backend),
            vec![turned, " event 2: its position".into()],
        ),
    ])
}

/// A batch without rows, the first.
const EMPTY: &str = "position = (SELECT MIN(one.position) FROM backstitch_journal AS one \
     WHERE one.kind = 'BatchCommitted' AND NOT EXISTS (SELECT 1 FROM backstitch_journal_rows AS r \
     WHERE r.run = one.run AND r.stream = one.stream AND r.seq = one.seq))";

async fn one(database: &Database, what: &str, table: &str, which: &str) -> Result<String> {
    let sql = format!("SELECT {what} FROM {table} WHERE {which} ORDER BY run, stream, seq LIMIT 1");
    let mut found = database.texts(&sql).await?.into_iter();
    found.next().context("there is nothing to forge")
}

/// Takes a table's key away and puts some of its rows in again.
fn doubled(backend: Backend, table: &str, which: &str) -> Vec<String> {
    let again = format!("CREATE TABLE again AS SELECT * FROM {table} WHERE {which}");
    let keys = match table {
        JOURNAL => vec!["pkey", "run_stream_seq_key"],
        _ => vec!["pkey"],
    };
    let without = |key: &str| format!("ALTER TABLE {table} DROP CONSTRAINT {table}_{key}");
    let mut statements = vec![again];
    match backend {
        Backend::Postgres => statements.extend(keys.into_iter().map(without)),
        // Its keys are part of the table, so the table is made anew.
        Backend::Sqlite => statements.extend([
            format!("CREATE TABLE copied AS SELECT * FROM {table}"),
            format!("DROP TABLE {table}"),
            format!("ALTER TABLE copied RENAME TO {table}"),
        ]),
    }
    if table == JOURNAL {
        statements.push("UPDATE again SET position = position + 100000".into());
    }
    let overriding = match (backend, table) {
        (Backend::Postgres, JOURNAL) => "OVERRIDING SYSTEM VALUE",
        _ => "",
    };
    statements.push(format!(
        "INSERT INTO {table} {overriding} SELECT * FROM again"
    ));
    statements
}

/// Turns the positions of a stream round.
fn renumbered(backend: Backend) -> Vec<String> {
    let turn = format!(
        "UPDATE {JOURNAL} SET position = 100000 - position WHERE stream = \
         (SELECT stream FROM {JOURNAL} WHERE {MIDDLE})"
    );
    let generated =
        |how: &str| format!("ALTER TABLE {JOURNAL} ALTER COLUMN position SET GENERATED {how}");
    match backend {
        Backend::Postgres => vec![generated("BY DEFAULT"), turn, generated("ALWAYS")],
        Backend::Sqlite => vec![turn],
    }
}

pub(crate) async fn triggers_that_refuse_nothing(backend: Backend) -> Result<()> {
    let scenario = completed(backend).await?;
    let mut missed = Vec::new();
    for (name, changes, named) in hollowings(backend) {
        let copy = scenario.database.copy().await?;
        copy.execute(&changes.join("; ")).await.context(name)?;
        let verified = verify(&copy).await?;
        note(name, &verified, &named, &mut missed);
        // Whoever does what each finding says has them back.
        for line in verified.stdout.lines() {
            if let Some((_, advice)) = line.split_once(" run ").filter(|_| line.starts_with('❌'))
            {
                copy.execute(advice).await.context(name)?;
            }
        }
        let again = verify(&copy).await?;
        copy.close().await?;
        if again.code() != Some(0) {
            missed.push(format!("{name}, put back: {again}"));
        }
    }
    ensure!(missed.is_empty(), "not found: {}", missed.join("\n"));
    Ok(())
}

fn hollowings(backend: Backend) -> Vec<Forgery> {
    let both = || vec![format!("keeps {JOURNAL} "), format!("keeps {ROWS} ")];
    let texts = |statements: &[&str]| statements.iter().map(|text| (*text).to_owned()).collect();
    match backend {
        Backend::Postgres => vec![
            ("the function lets all pass", texts(&[PASSES]), both()),
            (
                "the function is gone, and the triggers with it",
                texts(&["DROP FUNCTION backstitch_append_only CASCADE"]),
                both(),
            ),
            (
                "a trigger looks at other acts",
                texts(&[
                    "DROP TRIGGER backstitch_append_only ON backstitch_journal",
                    "CREATE TRIGGER backstitch_append_only BEFORE TRUNCATE ON backstitch_journal \
                     EXECUTE FUNCTION backstitch_append_only()",
                    "ALTER TABLE backstitch_journal ENABLE ALWAYS TRIGGER backstitch_append_only",
                ]),
                texts(&["keeps backstitch_journal "]),
            ),
            (
                "a trigger never fires",
                texts(&[
                    "DROP TRIGGER backstitch_append_only ON backstitch_journal_rows",
                    "CREATE TRIGGER backstitch_append_only BEFORE UPDATE OR DELETE OR TRUNCATE \
                     ON backstitch_journal_rows WHEN (FALSE) EXECUTE FUNCTION backstitch_append_only()",
                    "ALTER TABLE backstitch_journal_rows ENABLE ALWAYS TRIGGER backstitch_append_only",
                ]),
                texts(&["keeps backstitch_journal_rows "]),
            ),
            // What pg_restore does with --data-only --disable-triggers.
            (
                "the triggers were off for a restore",
                texts(&[
                    "ALTER TABLE backstitch_journal DISABLE TRIGGER ALL",
                    "ALTER TABLE backstitch_journal ENABLE TRIGGER ALL",
                    "ALTER TABLE backstitch_journal_rows DISABLE TRIGGER ALL",
                    "ALTER TABLE backstitch_journal_rows ENABLE TRIGGER ALL",
                ]),
                texts(&[
                    "run ALTER TABLE \"backstitch_journal\" ENABLE ALWAYS TRIGGER \"backstitch_append_only\"",
                    "run ALTER TABLE \"backstitch_journal_rows\" ENABLE ALWAYS TRIGGER \"backstitch_append_only\"",
                ]),
            ),
        ],
        Backend::Sqlite => [JOURNAL, ROWS]
            .into_iter()
            .flat_map(|table| ["update", "delete"].map(|act| (table, act)))
            .map(|(table, act)| {
                let trigger = format!("{table}_no_{act}");
                let statements = vec![
                    format!("DROP TRIGGER {trigger}"),
                    format!(
                        "CREATE TRIGGER \"{trigger}\" BEFORE {act} ON \"{table}\" BEGIN SELECT 1; END"
                    ),
                ];
                let named = vec![format!("trigger {trigger} ")];
                ("a trigger lets all pass", statements, named)
            })
            .collect(),
    }
}

const PASSES: &str =
    "CREATE OR REPLACE FUNCTION backstitch_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RETURN NULL;
    END $$";

pub(crate) async fn beside_workers(backend: Backend) -> Result<()> {
    let scenario = Scenario::load_with_schema(&Profile::small(backend, 102)).await?;
    let rollback = ["rollback", "--yes", "--reason", "a test"];
    for round in 0..2 {
        let mut working = Vec::new();
        if round == 0 {
            for _ in 0..2 {
                let small = ["--batch-rows", "5", "--partitions", "2"];
                working.push(scenario.run_without_migrating()?.args(small).spawn()?);
            }
        } else {
            working.push(scenario.cli(&rollback)?.spawn()?);
        }
        let mut verified = 0;
        while working[0].is_alive()? {
            scenario.verify_journal().await?;
            verified += 1;
        }
        ensure!(verified > 0, "it ended before it was looked at");
        for worker in working {
            worker.wait().await?.expect(0)?;
        }
    }
    scenario.verify_journal().await
}

async fn verify(database: &Database) -> Result<Outcome> {
    process::cli(database)?
        .args(["journal", "verify"])
        .run()
        .await
}

/// Notes what was not found, or not named.
fn note(name: &str, verified: &Outcome, named: &[String], missed: &mut Vec<String>) {
    let is_named = |line: &str| line.starts_with('❌');
    let found: Vec<_> = verified
        .stdout
        .lines()
        .filter(|line| is_named(line))
        .collect();
    let found = found.join("\n");
    let unsaid = named.iter().find(|word| !found.contains(word.as_str()));
    if verified.code() != Some(3) || unsaid.is_some() {
        missed.push(format!("{name}: {unsaid:?} in {verified}"));
    }
}

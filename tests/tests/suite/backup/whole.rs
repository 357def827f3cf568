//! A whole database as text, and what the server keeps of it outside of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};

/// Everything in a database, by table, and how it is arranged; each row one text.
pub(super) type Whole = BTreeMap<String, Vec<String>>;

pub(super) async fn whole(database: &Database) -> Result<Whole> {
    let mut whole = Whole::new();
    let (tables, arranged): (&str, &[&str]) = match database.backend {
        Backend::Sqlite => (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            &[
                "SELECT type || name || COALESCE(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'",
            ],
        ),
        Backend::Postgres => (
            "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'",
            &[
                "SELECT CAST(indexdef AS TEXT) FROM pg_indexes WHERE schemaname = 'public'",
                "SELECT CAST(conrelid::regclass AS TEXT) || conname || pg_get_constraintdef(oid) FROM pg_constraint \
                 WHERE connamespace = 'public'::regnamespace",
                "SELECT CAST(tgrelid::regclass AS TEXT) || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
                // Our own goes on with each event.
                "SELECT sequencename || COALESCE(last_value, 0) FROM pg_sequences WHERE sequencename NOT LIKE 'backstitch%'",
                "SELECT relname || relacl::text || relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 AND relacl IS NOT NULL",
                "SELECT table_name || ordinal_position || column_name || data_type || COALESCE(column_default, '') \
                 || is_nullable FROM information_schema.columns WHERE table_schema = 'public'",
            ],
        ),
    };
    for table in database.texts(tables).await? {
        let row = match database.backend {
            Backend::Postgres => "CAST(t AS TEXT)".to_owned(),
            Backend::Sqlite => {
                let columns =
                    format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')");
                database.texts(&columns).await?.join(" || ',' || ")
            }
        };
        let rows = database
            .texts(&format!("SELECT {row} FROM \"{table}\" t"))
            .await?;
        whole.insert(table, rows);
    }
    for (number, sql) in arranged.iter().enumerate() {
        whole.insert(format!("arrangement {number}"), database.texts(sql).await?);
    }
    for rows in whole.values_mut() {
        rows.sort();
    }
    Ok(whole)
}

/// Fails unless a database is as it was, but for one event that tells of the restore.
pub(super) fn expect_restored(before: &Whole, mut found: Whole) -> Result<()> {
    let journal = found.get_mut("backstitch_journal").context("a journal")?;
    let told = |row: &String| row.contains("BackupRestored");
    let restores = |whole: &Whole| {
        let rows = whole.get("backstitch_journal").into_iter().flatten();
        rows.filter(|row| told(row)).count()
    };
    let earlier = restores(before);
    let mut kept = before["backstitch_journal"].clone();
    journal.retain(|row| {
        let at = kept.iter().position(|other| other == row);
        at.is_none_or(|at| {
            kept.remove(at);
            false
        })
    });
    ensure!(kept.is_empty(), "events are gone: {kept:?}");
    ensure!(
        journal.len() == 1 && told(&journal[0]),
        "events: {journal:?}, after {earlier} restores"
    );
    found.insert(
        "backstitch_journal".into(),
        before["backstitch_journal"].clone(),
    );
    expect_same(before, &found)
}

pub(super) fn expect_same(before: &Whole, found: &Whole) -> Result<()> {
    ensure!(
        before.keys().eq(found.keys()),
        "other tables: {:?} and {:?}",
        before.keys(),
        found.keys()
    );
    for (table, rows) in before {
        ensure!(
            rows == &found[table],
            "{table} is another:\n{rows:?}\n{:?}",
            found[table]
        );
    }
    Ok(())
}

/// What the server keeps of a database outside of it.
pub(super) async fn properties(database: &Database) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for sql in [
        "SELECT concat_ws(' ', encoding, datcollate, datctype, daticulocale, datlocprovider, datconnlimit, datdba, \
         shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = current_database()",
        "SELECT CAST(a AS TEXT) FROM pg_database d, aclexplode(d.datacl) a WHERE datname = current_database() ORDER BY 1",
        "SELECT concat_ws(' ', setrole, CAST(setconfig AS TEXT)) FROM pg_db_role_setting s JOIN pg_database d \
         ON d.oid = s.setdatabase WHERE datname = current_database() ORDER BY 1",
    ] {
        lines.extend(database.texts(sql).await?);
    }
    Ok(lines)
}

//! A backup that is not what was written is found, named, and not restored.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::json::Json;
use tests::scratch;

use super::{backup, expect_same, left, migrated, name, restore, take, text, whole};

on_both!(what_is_broken_is_found);

/// Something that happens to a backup's folder, and a word that must be told of it.
type Damage = (&'static str, fn(&Path) -> Result<()>);

const DAMAGES: [Damage; 6] = [
    ("was changed", flip),
    ("bytes instead of", cut),
    ("is missing", remove),
    ("is not the backup's", add),
    ("backup.json is broken", unreadable),
    ("not what the journal says", other_rows),
];

/// The largest file of a backup, which holds rows.
fn largest(folder: &Path) -> Result<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                waiting.push(entry.path());
            } else if entry.file_name() != "backup.json" {
                found.push((metadata.len(), entry.path()));
            }
        }
    }
    found
        .into_iter()
        .max()
        .map(|(_, path)| path)
        .context("a file")
}

fn flip(folder: &Path) -> Result<()> {
    let path = largest(folder)?;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    file.write_all_at(&[byte[0] ^ 1], middle)?;
    Ok(())
}

fn cut(folder: &Path) -> Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(largest(folder)?)?;
    Ok(file.set_len(file.metadata()?.len() - 1)?)
}

fn remove(folder: &Path) -> Result<()> {
    Ok(std::fs::remove_file(largest(folder)?)?)
}

fn add(folder: &Path) -> Result<()> {
    Ok(std::fs::write(folder.join("more"), "more")?)
}

fn unreadable(folder: &Path) -> Result<()> {
    Ok(std::fs::write(
        folder.join("backup.json"),
        "{\"format\": 1, ",
    )?)
}

fn other_rows(folder: &Path) -> Result<()> {
    edit(folder, |text| {
        let at = text.find("Deal").context("a table")?;
        let rows = at + text[at..].find(": ").context("its rows")? + 2;
        Ok(format!("{}1{}", &text[..rows], &text[rows..]))
    })
}

fn edit(folder: &Path, of: impl Fn(&str) -> Result<String>) -> Result<()> {
    let path = folder.join("backup.json");
    let text = of(&std::fs::read_to_string(&path)?)?;
    Ok(std::fs::write(path, text)?)
}

/// A copy of a folder.
fn copy(from: &Path) -> Result<PathBuf> {
    let to = scratch::folder("damaged")?.join("copy");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([from, &to])
        .status()?;
    ensure!(copied.success(), "cp failed");
    Ok(to)
}

async fn what_is_broken_is_found(backend: Backend) -> Result<()> {
    let scenario = migrated(Database::create(backend).await?, 502).await?;
    let (url, name) = (scenario.database.url.clone(), name(&scenario.database));
    let to = scratch::folder("backups")?;
    let taken = take(&url, &to, &[]).await?;
    let (id, place) = (text(&taken, "id")?, PathBuf::from(text(&taken, "place")?));
    let before = whole(&scenario.database).await?;
    let closed = left(scenario).await?;
    for (word, damage) in DAMAGES {
        let folder = copy(&place)?;
        damage(&folder)?;
        let folder = folder.to_string_lossy().into_owned();
        let folder = folder.as_str();
        if word.contains("broken") {
            backup(&url, "verify", &to)?
                .args([folder])
                .expect(3)
                .await?
                .expect_named(&[word])?;
            continue;
        }
        let found = backup(&url, "verify", &to)?
            .args([folder])
            .expect(3)
            .await?;
        found.expect_named(&[word, &id])?;
        let refused = restore(&url, folder, &to, &name)?.expect(3).await?;
        refused.expect_named(&["nothing was changed", word])?;
    }
    // One that the journal does not know, whose files are as its manifest says, and whose rows are not.
    let folder = copy(&place)?;
    other_rows(&folder)?;
    edit(&folder, |text| Ok(text.replace(&id, "unknown-1")))?;
    let folder = folder.to_string_lossy().into_owned();
    let folder = folder.as_str();
    let full = backup(&url, "verify", &to)?
        .args([folder, "--full"])
        .expect(3)
        .await?;
    full.expect_named(&["Deal", "rows instead of"])?;
    let refused = restore(&url, folder, &to, &name)?.expect(3).await?;
    refused.expect_named(&["nothing was changed", "Deal", "rows instead of"])?;

    let folder = place.to_string_lossy().into_owned();
    let folder = folder.as_str();
    for (arguments, code, word) in [
        (["verify", "nowhere"], 2, "there is no backup nowhere"),
        (["verify", "/nowhere"], 2, "there is no backup /nowhere"),
        (["verify", "/"], 2, "has no backup.json"),
        (["verify", folder], 0, "read back"),
    ] {
        let outcome = backup(&url, arguments[0], &to)?
            .args([arguments[1]])
            .expect(code)
            .await?;
        outcome.expect_named(&[word])?;
    }
    // The folder is gone from where the journal says that it is.
    std::fs::rename(&place, to.join("elsewhere"))?;
    backup(&url, "verify", &to)?
        .args([&id])
        .expect(3)
        .await?
        .expect_named(&["is gone"])?;
    restore(&url, &id, &to, &name)?
        .expect(2)
        .await?
        .expect_named(&["not in"])?;
    let scenario = closed.open().await?;
    let mut found = whole(&scenario.database).await?;
    let told = |row: &String| row.contains("BackupVerified");
    let journal = found.get_mut("backstitch_journal").context("a journal")?;
    let verified = journal.iter().filter(|row| told(row)).count();
    ensure!(
        verified >= DAMAGES.len(),
        "{verified} verifications were noted"
    );
    journal.retain(|row| !told(row));
    expect_same(&before, &found)
}

/// A backup of one kind of database is not for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_of_database() -> Result<()> {
    let [file, server] = [Backend::Sqlite, Backend::Postgres].map(Database::create);
    let (file, server) = (file.await?, server.await?);
    let to = scratch::folder("backups")?;
    let taken: Json = take(&file.url, &to, &[]).await?;
    let id = text(&taken, "id")?;
    let (url, name) = (server.url.clone(), name(&server));
    server.close().await?;
    let refused = restore(&url, &id, &to, &name)?.expect(2).await?;
    refused.expect_named(&["SQLite", "is not"])?;
    let options = backup(&file.url, "create", &to)?.args(["--format", "custom"]);
    options.expect(2).await?.expect_named(&["PostgreSQL"])?;
    Ok(())
}

//! A provider's snapshot: the command gets the id and no address, and what came of it is noted.

use anyhow::{Result, ensure};
use tests::cluster::PASSWORD;
use tests::database::{Backend, Database};
use tests::journal;
use tests::scratch;

use super::{backup, name, restore, take, text};

on_both!(a_command);

/// A program that says what it was given, and the password, which nobody may see.
const SCRIPT: &str = "echo \"id=$1 url=${DATABASE_URL:-none} password=${PGPASSWORD:-none}\"; cat \"$(dirname \"$0\")/secret\"";

async fn a_command(backend: Backend) -> Result<()> {
    let database = Database::create(backend).await?;
    let (url, name) = (database.url.clone(), name(&database));
    let to = scratch::folder("backups")?;
    let script = scratch::folder("script")?.join("snapshot");
    std::fs::write(&script, SCRIPT)?;
    // An SQLite database has none.
    let secret = if backend == Backend::Postgres {
        PASSWORD
    } else {
        ""
    };
    std::fs::write(script.with_file_name("secret"), secret)?;
    let script = script.to_string_lossy();
    let arguments = ["sh", &script, "{id}"];
    let create = |arguments: &[&str]| {
        let create = backup(&url, "create", &to)?
            .env("PGPASSWORD", "another-canary")
            .args(["--"]);
        Ok::<_, anyhow::Error>(create.args(arguments))
    };
    let create_json = ["--json", "--", "sh", "-c", "echo $0", "{id}"];
    let id = text(&take(&url, &to, &create_json).await?, "id")?;
    let noted = "SELECT payload FROM backstitch_journal WHERE kind = 'BackupTaken'";
    let noted = database.value::<String>(noted).await?;
    ensure!(noted.contains(&format!("\"output\":\"{id}\"")), "{noted}");
    let told = create(&arguments)?.expect(0).await?;
    told.expect_named(&["url=none password=none", "ended well"])?;
    if backend == Backend::Postgres {
        told.expect_named(&["[the password]"])?;
        let refused = create(&["echo", PASSWORD])?.expect(2).await?;
        refused.expect_named(&["is in the command"])?;
    }

    let failing = create(&["sh", "-c", "echo quota; exit 7"])?
        .expect(1)
        .await?;
    failing.expect_named(&["exit code 7", "quota"])?;
    create(&["/nowhere/neonctl"])?
        .expect(2)
        .await?
        .expect_clear_error()?;
    let failed = journal::events(&database, "BackupFailed", None).await?;
    ensure!(failed >= 2, "{failed} failures were noted");
    ensure!(
        std::fs::read_dir(&to)?.next().is_none(),
        "something is in the folder"
    );

    backup(&url, "list", &to)?
        .expect(0)
        .await?
        .expect_named(&[&id, "at the provider"])?;
    let read_back = backup(&url, "verify", &to)?.args([&id]).expect(4).await?;
    read_back.expect_named(&["provider"])?;
    restore(&url, &id, &to, &name)?
        .expect(2)
        .await?
        .expect_named(&["behind `--`"])?;
    let wrong = restore(&url, &id, &to, "another")?.args(["--", "true"]);
    wrong.expect(4).await?;
    restore(&url, &id, &to, &name)?
        .args(["--", "false"])
        .expect(1)
        .await?;
    let restored = journal::events(&database, "BackupRestored", None).await?;
    ensure!(restored == 0, "a restore that failed is noted");
    let restored = restore(&url, &id, &to, &name)?
        .args(["--", "true"])
        .expect(0)
        .await?;
    restored.expect_named(&["nothing may have been put back"])?;
    let restored = journal::events(&database, "BackupRestored", None).await?;
    ensure!(restored == 1, "{restored} restores are noted");
    process_verify(&url).await
}

async fn process_verify(url: &str) -> Result<()> {
    let verify = tests::process::program("cli", url)?.args(["journal", "verify"]);
    // The rest of the schema is not applied: the runbook alone is there.
    let outcome = verify.run().await?;
    ensure!(matches!(outcome.code(), Some(0 | 4)), "{outcome}");
    Ok(())
}

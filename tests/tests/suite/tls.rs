//! An encrypted connection that is asked for is made to the right server, or not at all.

use anyhow::{Context, Result};
use tests::cluster::{self, Cluster};
use tests::database::Database;
use tests::generate::Profile;
use tests::process;
use tests::scenario::Scenario;
use tests::tls;

/// The name in the server's certificate.
const HOST: &str = "localhost";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_server_and_no_other() -> Result<()> {
    let ours = tls::certificates(HOST)?;
    let theirs = tls::certificates(HOST)?;
    let server = Cluster::start()?;
    server.encrypt(&ours.certificate, &ours.key)?;
    let database = Database::create_in(&server, "TEMPLATE template0").await?;
    let profile = Profile {
        campaigns: 10,
        large: false,
        ..Profile::odd(database.backend, 401)
    };
    let mut scenario = Scenario::load_into(database, &profile).await?;
    let plain = scenario.database.url.clone();
    let url =
        |host: &str, settings: &str| format!("{}?{settings}", plain.replace("127.0.0.1", host));
    let root =
        |file: &std::path::Path| format!("sslmode=verify-full&sslrootcert={}", file.display());

    scenario.database.url = url(HOST, &root(&ours.authority));
    let expected = scenario.expected().await?;
    scenario.run()?.expect(0).await?;
    expected.check(&scenario.database).await?;
    scenario.cli(&["validate"])?.expect(0).await?;
    // What the variables of PostgreSQL's own programs say is as good.
    let status = process::program("cli", &url(HOST, ""))?.args(["status"]);
    let status = status.env("PGSSLMODE", "verify-full");
    status
        .env("PGSSLROOTCERT", &ours.authority)
        .expect(0)
        .await?;

    for (why, address) in [
        (
            "another host than the certificate's",
            url("127.0.0.1", &root(&ours.authority)),
        ),
        ("another authority", url(HOST, &root(&theirs.authority))),
        ("no known authority", url(HOST, "sslmode=verify-full")),
    ] {
        refused(&address, &["secure connection", "certificate"])
            .await
            .context(why)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_encrypt() -> Result<()> {
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = cluster::shared()?.url("postgres");
        refused(
            &format!("{url}?sslmode={mode}"),
            &["secure connection", "TLS"],
        )
        .await
        .context(mode)?;
    }
    Ok(())
}

/// Neither program sends anything, and both say why.
async fn refused(url: &str, words: &[&str]) -> Result<()> {
    for program in [
        process::program("worker", url)?.args(["run"]),
        process::program("cli", url)?.args(["status"]),
    ] {
        let outcome = program.expect(2).await?;
        outcome.expect_clear_error()?;
        outcome.expect_named(words)?;
    }
    Ok(())
}

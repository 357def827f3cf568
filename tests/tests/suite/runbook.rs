//! The checklist, the sign-offs, the screen of where the migration stands, and the certificate.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::json::Json;
use tests::scenario::Scenario;
use tests::scratch;

on_both!(a_checklist, a_certificate, what_proves_nothing);

/// Each item of the checklist, and whether it is done.
pub(crate) async fn items(scenario: &Scenario) -> Result<BTreeMap<String, bool>> {
    let shown = scenario.cli(&["checklist", "--json"])?.expect(0).await?;
    let document = Json::parse(&shown.stdout).map_err(anyhow::Error::msg)?;
    let Some(Json::Array(items)) = document.get("items") else {
        anyhow::bail!("no items in {shown}");
    };
    let mut found = BTreeMap::new();
    for item in items {
        let (Some(Json::Text(id)), Some(done)) = (item.get("id"), item.get("done")) else {
            anyhow::bail!("no item: {item:?}");
        };
        found.insert(id.clone(), *done != Json::Null);
    }
    Ok(found)
}

async fn done(scenario: &Scenario) -> Result<Vec<String>> {
    let items = items(scenario).await?;
    Ok(items
        .into_iter()
        .filter_map(|(item, done)| done.then_some(item))
        .collect())
}

async fn a_checklist(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 401)).await?;
    ensure!(
        items(&scenario).await?.len() == 25,
        "the document has 25 items"
    );
    ensure!(done(&scenario).await?.is_empty(), "nothing was done yet");
    let phase = scenario.cli(&["phase"])?.expect(0).await?;
    phase.expect_named(&["cli backup create", "DevOps Lead"])?;
    ensure!(
        !scenario.database.has_table("backstitch_journal").await?,
        "looking made a journal"
    );

    // A person's word makes the journal, and nothing else of the schema.
    let tick = [
        "checklist",
        "tick",
        "notify",
        "--by",
        "Ada",
        "--note",
        "a mail",
    ];
    scenario.cli(&tick)?.expect(0).await?;
    ensure!(scenario.database.has_table("backstitch_journal").await?);
    ensure!(!scenario.database.has_table("KPIHistory").await?);
    ensure!(done(&scenario).await? == ["notify"]);
    for (arguments, code) in [
        (&["checklist", "tick", "backup", "--by", "Ada"][..], 4),
        (
            &["checklist", "tick", "backup", "--by", "Ada", "--unproven"],
            2,
        ),
        (&["checklist", "tick", "nothing", "--by", "Ada"], 2),
        (&["checklist", "tick", "notify", "--by", ""], 2),
        (&["checklist", "reopen", "nothing", "--by", "Ada"], 2),
        (&["signoff", "--role", "CEO", "--by", "Ada"], 2),
        (&["signoff", "--role", "QA Lead", "--by", "Ada"], 4),
        (&["certificate"], 4),
    ] {
        let refused = scenario.cli(arguments)?.expect(code).await?;
        refused.expect_clear_error()?;
    }
    let instead = [
        "checklist",
        "tick",
        "backup",
        "--by",
        "Ada",
        "--unproven",
        "--note",
        "by hand",
    ];
    scenario.cli(&instead)?.expect(0).await?;
    ensure!(done(&scenario).await? == ["backup", "notify"]);
    for _ in 0..2 {
        let reopen = ["checklist", "reopen", "backup", "--by", "Ada"];
        scenario.cli(&reopen)?.expect(0).await?;
        ensure!(done(&scenario).await? == ["notify"]);
    }

    // What is done ticks itself, and is open again where it was taken back.
    scenario.cli(&["schema", "up"])?.expect(0).await?;
    ensure!(done(&scenario).await? == ["notify", "schema"]);
    scenario.run()?.expect(0).await?;
    let by_now = [
        "intelligence-event",
        "kpi-history",
        "notify",
        "prompt-performance",
        "schema",
    ];
    ensure!(done(&scenario).await? == by_now);
    let rollback = [
        "rollback",
        "--unit",
        "kpi_history",
        "--reason",
        "why",
        "--yes",
    ];
    scenario.cli(&rollback)?.expect(0).await?;
    ensure!(!items(&scenario).await?["kpi-history"]);
    scenario.run()?.expect(0).await?;
    ensure!(items(&scenario).await?["kpi-history"]);

    // A signature holds what was signed.
    let head = scenario.cli(&["journal", "head"])?.expect(0).await?;
    let digest = head.stdout.trim().rsplit(' ').next().context("a digest")?;
    let sign = ["signoff", "--role", "qa-lead", "--by", "Mia"];
    let signed = scenario.cli(&sign)?.expect(0).await?;
    signed.expect_named(&["[x] QA Lead: Mia", "[ ] DevOps Lead: pending"])?;
    let sql = "SELECT payload FROM backstitch_journal WHERE kind = 'SignedOff'";
    let payload: String = scenario.database.value(sql).await?;
    ensure!(payload.contains(digest), "{payload} does not hold {digest}");

    let markdown = scenario
        .cli(&["checklist", "--markdown"])?
        .expect(0)
        .await?;
    markdown.expect_named(&["- [x] Notify team", "Ada", "| QA Lead | Mia |", "pending"])?;
    let noted = scenario
        .cli(&["journal", "show", "--run", "runbook"])?
        .expect(0)
        .await?;
    noted.expect_named(&["ItemTicked", "ItemReopened", "SchemaApplied", "SignedOff"])?;
    scenario.verify_journal().await
}

pub(crate) async fn a_certificate(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 402)).await?;
    let folder = scratch::folder("certificate")?;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (file, text) = (path("c.json"), path("c.txt"));
    scenario.run()?.expect(0).await?;
    let issue = ["certificate", "-o", &file];
    let refused = scenario.cli(&issue)?.expect(4).await?;
    refused.expect_named(&["cli validate --deep"])?;
    ensure!(!fs::exists(&file)?, "a refusal left a file");
    scenario.cli(&["validate", "--record"])?.expect(0).await?;
    let before = scenario.database.copy().await?;
    let issued = scenario.cli(&issue)?.expect(0).await?;
    issued.expect_named(&["intelligence_event", "checklist", "digest"])?;
    let original = fs::read_to_string(&file)?;
    ensure!(fs::read_to_string(&text)?.contains("CERTIFICATE"));
    scenario
        .cli(&issue)?
        .expect(2)
        .await?
        .expect_clear_error()?;
    ensure!(fs::read_to_string(&file)? == original, "it was overwritten");

    let verify = ["certificate", "verify", &file];
    let exact = ["certificate", "verify", &file, "--exact"];
    scenario.cli(&exact)?.expect(0).await?;
    // All is in this copy but the word that a certificate was issued: a file whose digest fits is not enough.
    let unknown = tests::process::cli(&before)?.args(verify).expect(3).await?;
    unknown.expect_named(&["knows of no such certificate"])?;

    // What it says cannot be changed, nor is anything else a certificate.
    let forged = path("forged.json");
    for (from, to) in [
        ("\"quarantined\": 0", "\"quarantined\": 1"),
        ("\"run\": \"", "\"run\": \"x"),
    ] {
        let changed = original.replacen(from, to, 1);
        ensure!(changed != original, "{from} is not in it");
        fs::write(&forged, changed)?;
        scenario
            .cli(&["certificate", "verify", &forged])?
            .expect(3)
            .await?
            .expect_clear_error()?;
    }
    for nonsense in ["", "{}", "[1]", "CERTIFICATE"] {
        fs::write(&forged, nonsense)?;
        scenario
            .cli(&["certificate", "verify", &forged])?
            .expect(2)
            .await?
            .expect_clear_error()?;
    }
    let absent = path("absent.json");
    scenario
        .cli(&["certificate", "verify", &absent])?
        .expect(2)
        .await?
        .expect_clear_error()?;

    // The application goes on: told, and an error only where somebody asks for it.
    let edit = "UPDATE \"AgentFeedback\" SET \"comment\" = 'edited' WHERE \"id\" = \
                (SELECT MIN(\"id\") FROM \"AgentFeedback\")";
    scenario.database.execute(edit).await?;
    let told = scenario.cli(&verify)?.expect(0).await?;
    told.expect_named(&["agent_feedback", "1 changed"])?;
    scenario
        .cli(&exact)?
        .expect(3)
        .await?
        .expect_clear_error()?;

    // What is written after a validation is not what was validated.
    let (late, second) = (scenario.profile.as_of.stored(), path("second.json"));
    let come = format!(
        "INSERT INTO \"UserFeedback\" (\"id\", \"agentType\", \"taskId\", \"source\", \"createdAt\", \"createdBy\") \
         VALUES ('come-later', 'Copy', 't', 'human', '{late}', 'u')"
    );
    scenario.database.execute(&come).await?;
    ensure!(
        items(&scenario).await?["validation"],
        "it is open too early"
    );
    scenario.run()?.expect(0).await?;
    ensure!(
        !items(&scenario).await?["validation"],
        "an old validation counts"
    );
    let again = ["certificate", "-o", &second];
    scenario
        .cli(&again)?
        .expect(4)
        .await?
        .expect_clear_error()?;
    scenario.cli(&["validate", "--deep"])?.expect(0).await?;
    scenario.cli(&again)?.expect(0).await?;
    let both = ["certificate", "verify", &second, "--exact"];
    scenario.cli(&both)?.expect(0).await?;

    // A copy whose journal lost its newest events is another journal.
    let copy = scenario.database.copy().await?;
    let guards = match backend {
        Backend::Sqlite => "DROP TRIGGER \"backstitch_journal_no_delete\"",
        Backend::Postgres => "DROP TRIGGER \"backstitch_append_only\" ON \"backstitch_journal\"",
    };
    copy.execute(guards).await?;
    copy.execute(
        "DELETE FROM \"backstitch_journal\" WHERE \"kind\" IN ('Validated', 'CertificateIssued')",
    )
    .await?;
    let lost = tests::process::cli(&copy)?.args(verify).expect(3).await?;
    lost.expect_named(&["it is missing"])?;

    // A run that was taken back is not what was certified.
    let rollback = ["rollback", "--reason", "why", "--yes"];
    for _ in ["the second run", "the first"] {
        scenario.cli(&rollback)?.expect(0).await?;
    }
    let since = scenario.cli(&verify)?.expect(3).await?;
    since.expect_named(&["rolled back"])?;
    scenario.verify_journal().await
}

async fn what_proves_nothing(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 403)).await?;
    scenario.run()?.expect(0).await?;
    let first: String = scenario
        .database
        .value("SELECT run FROM backstitch_journal WHERE kind = 'RunStarted'")
        .await?;
    scenario.run()?.expect(0).await?;
    scenario.cli(&["validate", "--deep"])?.expect(0).await?;
    for role in ["devops-lead", "qa-lead"] {
        scenario
            .cli(&["signoff", "--role", role, "--by", "Ada"])?
            .expect(0)
            .await?;
    }
    let gate = ["gate", "--unit", "kpi_history", "--validated"];
    scenario.cli(&gate)?.expect(0).await?;

    // What a shallow validation cannot see is no less wrong.
    let source =
        "UPDATE \"UserFeedback\" SET \"comment\" = 'another' WHERE \"rating\" BETWEEN 1 AND 5";
    scenario.database.execute(source).await?;
    scenario.cli(&["validate", "--deep"])?.expect(3).await?;
    scenario.cli(&["validate", "--record"])?.expect(0).await?;
    ensure!(
        !items(&scenario).await?["validation"],
        "a shallow validation hides a deep one"
    );
    scenario.cli(&gate)?.expect(3).await?.expect_clear_error()?;
    let folder = scratch::folder("nothing")?.join("c.json");
    let certificate = ["certificate", "-o", folder.to_str().context("a path")?];
    scenario
        .cli(&certificate)?
        .expect(4)
        .await?
        .expect_clear_error()?;
    scenario
        .cli(&["phase"])?
        .expect(0)
        .await?
        .expect_named(&["validation found"])?;

    // A repair is no run of the plan; what it mends is validated anew, and taking it back opens the items again.
    scenario
        .cli(&["repair", "--reason", "why", "--yes"])?
        .expect(0)
        .await?;
    scenario.cli(&gate)?.expect(3).await?;
    scenario.cli(&["validate", "--deep"])?.expect(0).await?;
    scenario.cli(&gate)?.expect(0).await?;
    let undo = ["rollback", "--reason", "why", "--yes"];
    scenario.cli(&undo)?.expect(0).await?;
    scenario.cli(&gate)?.expect(3).await?;
    let signed = scenario.cli(&["checklist"])?.expect(0).await?;
    signed.expect_named(&["[ ] QA Lead: pending"])?;

    // The second run found everything there: taken back below it, nothing is.
    let rollback = ["rollback", "--run", &first, "--reason", "why", "--yes"];
    let told = scenario.cli(&rollback)?.expect(0).await?;
    told.expect_named(&["worker run --as-of"])?;
    let items = items(&scenario).await?;
    for item in ["intelligence-event", "prompt-performance", "kpi-history"] {
        ensure!(!items[item], "{item} is done, and no row of it stands");
    }
    let closed = scenario
        .cli(&["gate", "--unit", "kpi_history"])?
        .expect(3)
        .await?;
    closed.expect_clear_error()
}

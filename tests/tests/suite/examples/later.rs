//! The examples from a rollback of a part on to the end, in their order.

use super::listed::How::{self, Before, Elsewhere, Filled, Runs};
use super::listed::{DONE, FOLDER, YES};

const FREE_PORT: (&str, &str) = (":9464", ":0");
const TENANT: (&str, &str) = ("acme", "sample-cycles");
const LAST_RUN: &str =
    "$(cli runs --json | grep -o '\"run\": \"[^\"]*\"' | tail -n 1 | cut -d '\"' -f 4)";
const TWO_RUNS: &str = "$(cli runs --json | grep -o '\"run\": \"[^\"]*\"' | cut -d '\"' -f 4 | sed -n '1p;$p' | xargs)";
const LAST_BACKUP: &str = "$(ls backups | tail -n 1)";

/// Those that follow.
pub(super) const LATER: &[(&str, How)] = &[
    // A part of a run.
    (
        "cli rollback --tenant acme --dry-run",
        Filled(&[TENANT], DONE),
    ),
    (
        "cli rollback --tenant acme --reason \"left us\" --yes",
        Filled(&[TENANT], DONE),
    ),
    ("cli rollback --reason \"came back\" --yes", Runs(DONE)),
    (
        "cli redo --written-by 0.1.0 --unit agent_feedback --reason \"wrong release\" --yes",
        Runs(DONE),
    ),
    (
        "cli redo --written-by 0.1.0 --reason \"severities were wrong\"",
        Filled(&[YES], DONE),
    ),
    ("cli rollback --yes --reason \"the redo\"", Before(DONE)),
    (
        "cli rollback --yes --reason \"the other redo\"",
        Before(DONE),
    ),
    // Trouble.
    ("cli repair --dry-run", Runs(DONE)),
    (
        "cli repair --unit kpi_history --reason \"deals were corrected\"",
        Filled(&[YES], DONE),
    ),
    (
        "cli repair --reason \"deals were corrected\"",
        Filled(&[YES], DONE),
    ),
    (
        "cli rollback --run RUN --reason \"not yet\"",
        Filled(&[("RUN", LAST_RUN), YES], DONE),
    ),
    ("cli compat --record", Runs(DONE)),
    (
        "cli checklist reopen deploy-production --by Ada --note \"code back at 14:05\"",
        Runs(DONE),
    ),
    (
        "cli checklist reopen notify --by Ada --note \"the window moved\"",
        Runs(DONE),
    ),
    // Two runs there are by now.
    ("cli diff RUN RUN", Filled(&[("RUN RUN", TWO_RUNS)], DONE)),
    (
        "cli diff 0199f3a2 019a0c44",
        Filled(&[("0199f3a2 019a0c44", TWO_RUNS)], DONE),
    ),
    ("cli rollback --dry-run", Runs(DONE)),
    ("cli rollback --unit kpi_history --dry-run", Runs(DONE)),
    (
        "cli rollback --unit kpi_history --reason \"deals were wrong by 1,000\"",
        Filled(&[YES], DONE),
    ),
    ("worker run --as-of 2025-11-04", Runs(DONE)),
    (
        "cli rollback --unit kpi_history --reason \"wrong quarter\"",
        Filled(&[YES], DONE),
    ),
    ("worker run", Runs(DONE)),
    ("worker run 2> run.log", Runs(DONE)),
    ("worker run --log-format json 2> run.log", Runs(DONE)),
    ("worker run --quiet", Runs(DONE)),
    // Watching it.
    (
        "worker run --status-addr 127.0.0.1:9464",
        Filled(&[FREE_PORT], DONE),
    ),
    (
        "cli serve",
        Filled(
            &[(
                "cli serve",
                "timeout --preserve-status -s INT 3 cli serve --addr 127.0.0.1:0",
            )],
            &[130],
        ),
    ),
    (
        "cli serve --addr 127.0.0.1:9464",
        Filled(
            &[
                ("cli serve", "timeout --preserve-status -s INT 3 cli serve"),
                FREE_PORT,
            ],
            &[130],
        ),
    ),
    ("cli report -o report.html", Runs(DONE)),
    ("cli report --markdown", Runs(DONE)),
    (
        "curl -s http://127.0.0.1:9464/metrics",
        Elsewhere("the page's own suite asks"),
    ),
    (
        "ssh -L 9464:127.0.0.1:9464 HOST",
        Elsewhere("it needs another machine"),
    ),
    (
        "worker run --database-url postgres://app@db.example.com/app --migrate",
        Filled(
            &[("postgres://app@db.example.com/app", "\"$DATABASE_URL\"")],
            DONE,
        ),
    ),
    (
        "cli rollback --unit kpi_history --reason \"…\" --yes",
        Runs(DONE),
    ),
    (
        "cli rollback --reason \"wrong tenant mapping\"",
        Filled(&[YES], DONE),
    ),
    ("cli rollback --reason \"trying it\" --yes", Runs(DONE)),
    // The end.
    (
        "cli schema down --discard-journal",
        Filled(&[("--discard", "--yes --discard")], DONE),
    ),
    (
        "cli backup restore ID --to /var/backups/app --reason \"the schema change failed\"",
        Filled(
            &[
                ("ID", LAST_BACKUP),
                FOLDER,
                (
                    "--reason",
                    "--disconnect --confirm \"$(basename \"${DATABASE_URL%%\\?*}\")\" --reason",
                ),
            ],
            DONE,
        ),
    ),
    (
        "cli backup restore app-20261126T091500.123Z --reason \"the schema change failed\"",
        Filled(
            &[
                ("app-20261126T091500.123Z", LAST_BACKUP),
                (
                    "--reason",
                    "--to backups --disconnect --confirm \"$(basename \"${DATABASE_URL%%\\?*}\")\" --reason",
                ),
            ],
            DONE,
        ),
    ),
];

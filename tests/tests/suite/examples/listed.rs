//! The examples, in the order in which they are run on one database, from its first day to its last.

/// How an example is tried.
pub(super) enum How {
    /// It is run as it stands, and ends with one of these codes.
    Runs(&'static [i32]),
    /// It is run once its placeholders are filled in.
    Filled(&'static [(&'static str, &'static str)], &'static [i32]),
    /// No example, but what the next ones need.
    Before(&'static [i32]),
    /// The program reads it, and no more, for this reason.
    Read(#[expect(dead_code, reason = "for whoever reads the list")] &'static str),
    /// It is no command of the two programs, for this reason.
    Elsewhere(#[expect(dead_code, reason = "for whoever reads the list")] &'static str),
}

use How::{Before, Elsewhere, Filled, Read, Runs};

pub(super) const DONE: &[i32] = &[0];
const REFUSED: &[i32] = &[4];

pub(super) const FOLDER: (&str, &str) = ("/var/backups/app", "backups");
pub(super) const YES: (&str, &str) = ("--reason", "--yes --reason");

const BUILT: &str = "the tests' own programs are built already";
const LONG: &str = "it takes minutes to hours; its own suite tries it";

/// The examples until the run is written and looked at; [`later`] has the others.
pub(super) const LISTED: &[(&str, How)] = &[
    (
        "cargo run --release --bin worker -- run --demo",
        Elsewhere(BUILT),
    ),
    ("cargo build --release", Elsewhere(BUILT)),
    ("cargo install --locked --path worker", Elsewhere(BUILT)),
    ("cargo install --locked --path cli", Elsewhere(BUILT)),
    (
        "alias cli=target/release/cli worker=target/release/worker",
        Elsewhere(BUILT),
    ),
    ("tests/run", Elsewhere("this is what runs here")),
    (
        "export DATABASE_URL=postgres://app@db.example.com/app?sslmode=verify-full",
        Elsewhere("the tests have a server of their own"),
    ),
    (
        "tests/torture --backend postgres --kills 6000 --server-crashes 600 --cuts 6000 --lanes 11 --minutes 36 --seed 3000",
        Elsewhere(LONG),
    ),
    (
        "tests/torture --backend sqlite --kills 2700 --lanes 3",
        Elsewhere(LONG),
    ),
    ("cli completions bash > cli.bash", Runs(DONE)),
    ("worker completions bash > worker.bash", Runs(DONE)),
    ("cli man --to man1", Runs(DONE)),
    ("worker man --to man1", Runs(DONE)),
    // Day 0.
    (
        "cli demo --campaigns 2500 --tasks 500000 --seed 7",
        Filled(&[("2500", "150"), ("500000", "3000")], DONE),
    ),
    (
        "cli backup create --to /var/backups/app",
        Filled(&[FOLDER], DONE),
    ),
    (
        "cli backup verify --full --to /var/backups/app",
        Filled(&[FOLDER], DONE),
    ),
    ("cli backup verify --full", Runs(DONE)),
    (
        "cli backup list --to /var/backups/app",
        Filled(&[FOLDER], DONE),
    ),
    ("cli schema status", Runs(DONE)),
    ("cli schema sql > review.sql", Runs(DONE)),
    (
        "cli schema sql --reviewed-by \"Ada\" --digest DIGEST",
        Filled(
            &[(
                "DIGEST",
                "$(tail -n 1 review.sql | grep -oE '[0-9a-f]{16,}')",
            )],
            DONE,
        ),
    ),
    // What it says stop to is said by its own suite: here no backup is on record, and the disk may be full.
    ("cli preflight", Runs(&[0, 3])),
    ("cli preflight --backup-age 12h", Runs(&[0, 3])),
    ("cli plan", Runs(DONE)),
    ("cli plan approve --by \"Ada\"", Runs(DONE)),
    (
        "cli plan approve --by \"Ada Lovelace\" --note \"looked at the rehearsal on staging\"",
        Runs(DONE),
    ),
    (
        "cli checklist tick notify --by \"Ada\" --note \"mail of 3 November\"",
        Runs(DONE),
    ),
    (
        "cli checklist tick notify --by Ada --note \"mail of 3 November\"",
        Runs(DONE),
    ),
    (
        "cli schema roles --print | psql app",
        Read("roles belong to the whole server; the suite of roles makes them"),
    ),
    // Day 1.
    ("cli schema up", Runs(DONE)),
    ("cli schema verify --record", Runs(DONE)),
    (
        "mkdir prisma && cli schema prisma > prisma/schema.prisma",
        Before(DONE),
    ),
    ("cli schema prisma --check prisma/schema.prisma", Runs(DONE)),
    ("cli plan --rehearse 3", Runs(DONE)),
    ("cli plan --rehearse 5", Runs(DONE)),
    (
        "cli backup create -- neonctl branches create --name {id}",
        Runs(DONE),
    ),
    // One unit alone leaves the run open, so that it can be steered.
    ("worker run --unit agent_feedback", Before(DONE)),
    (
        "cli run pause --by Mia --note \"the shop is slow\"",
        Runs(DONE),
    ),
    (
        "cli run set pace=2000/s workers=1 batch-target=100ms --by Mia",
        Runs(DONE),
    ),
    ("cli run set pace=2000/s workers=4 --by Mia", Runs(DONE)),
    ("cli run resume --by Mia", Runs(DONE)),
    (
        "cli run set pace=default workers=default --by Mia",
        Runs(DONE),
    ),
    (
        "cli run cancel --by Mia --note \"wrong instant\"",
        Runs(DONE),
    ),
    ("worker run", Before(REFUSED)),
    ("cli run resume --by Mia", Before(DONE)),
    ("worker run --require-approval", Runs(DONE)),
    ("cli status", Runs(DONE)),
    // Day 2.
    ("cli validate --deep", Runs(DONE)),
    ("cli validate --deep --examples 50", Runs(DONE)),
    ("cli validate --deep --pace 5000", Runs(DONE)),
    ("cli journal verify", Runs(DONE)),
    ("cli checklist tick deploy-staging --by \"Ada\"", Runs(DONE)),
    (
        "cli smoke --environment staging -- npm run test:e2e -- --grep \"Phase 5\"",
        Runs(DONE),
    ),
    ("cli gate init", Runs(DONE)),
    // It is there already.
    ("cli gate init --file slo.toml", Runs(REFUSED)),
    // There is no Prometheus at the address of the file.
    ("cli gate check --file slo.toml", Runs(&[3])),
    ("cli gate watch --environment staging", Read(LONG)),
    (
        "cli gate watch --environment staging --for 2h --every 30s",
        Read(LONG),
    ),
    // Day 3.
    ("cli gate --unit kpi_history --validated", Runs(DONE)),
    (
        "cli gate --unit kpi_history --validated --wait 30m",
        Runs(DONE),
    ),
    (
        "cli checklist tick deploy-production --by \"Ada\"",
        Runs(DONE),
    ),
    ("cli gate watch --environment production", Read(LONG)),
    // Day 4.
    ("cli checklist", Runs(DONE)),
    ("cli signoff --role \"QA Lead\" --by Mia", Runs(DONE)),
    (
        "cli signoff --role \"QA Lead\" --by Mia --note \"smoke tests read\"",
        Runs(DONE),
    ),
    ("cli certificate -o phase5.json", Runs(DONE)),
    ("cli certificate verify phase5.json", Runs(DONE)),
    ("cli checklist --markdown", Runs(DONE)),
    ("cli phase", Runs(DONE)),
    // Auditing.
    ("cli runs", Runs(DONE)),
    ("cli journal show --limit 20", Runs(DONE)),
    ("cli journal show --unit kpi_history --since 2h", Runs(DONE)),
    ("cli journal show --kind RowQuarantined --json", Runs(DONE)),
    (
        "cli journal show --unit intelligence_event --since 2h --follow",
        Filled(
            &[(
                "cli journal",
                "timeout --preserve-status -s INT 3 cli journal",
            )],
            &[130],
        ),
    ),
    ("cli journal export -o journal.ndjson", Runs(DONE)),
    ("cli journal head > head.txt", Runs(DONE)),
    ("cli journal verify --head head.txt", Runs(DONE)),
    // Asking the journal.
    (
        "cli journal row AgentFeedback KEY",
        Filled(&[("KEY", "nobody")], DONE),
    ),
    ("cli journal row AgentFeedback 0199f3a27c41", Runs(DONE)),
    (
        "cli journal show --key KEY",
        Filled(&[("KEY", "nobody")], DONE),
    ),
    (
        "cli journal show --worker w-4dfde67ae849 --since 2h --until 1h",
        Runs(DONE),
    ),
    (
        "cli journal show --kind BatchCommitted --follow --json",
        Filled(
            &[(
                "cli journal",
                "timeout --preserve-status -s INT 3 cli journal",
            )],
            &[130],
        ),
    ),
    (
        "cli journal export --kind RowQuarantined --format csv -o bad.csv",
        Runs(DONE),
    ),
    (
        "cli journal export --kind RowQuarantined --format csv",
        Runs(DONE),
    ),
    ("cli why", Runs(DONE)),
    ("cli why --since 3h --until 2h", Runs(DONE)),
    ("cli why --since 2h --until 1h", Runs(DONE)),
    // Bad rows.
    ("cli quarantine list", Runs(DONE)),
    ("cli quarantine list --unit intelligence_event", Runs(DONE)),
    (
        "cli quarantine show c1/tasks/3",
        Filled(
            &[(
                "c1/tasks/3",
                "\"$(cli quarantine list --json | grep -o '\"key\": \"[^\"]*\"' | head -n 1 | cut -d '\"' -f 4)\"",
            )],
            DONE,
        ),
    ),
    ("cli quarantine replay --dry-run", Runs(DONE)),
    (
        "cli quarantine replay --reason \"ratings corrected\"",
        Filled(&[YES], DONE),
    ),
    (
        "cli quarantine replay --unit agent_feedback --reason \"ratings were corrected\"",
        Filled(&[YES], DONE),
    ),
    (
        "cli quarantine export -o quarantine.csv --format csv",
        Runs(DONE),
    ),
    (
        "cli quarantine export --unit agent_feedback -o bad.ndjson",
        Runs(DONE),
    ),
];

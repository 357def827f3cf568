//! The laws: a model of the engine and the undo, and properties of the pure core, each against an oracle that is written
//! another way.
//!
//! `BACKSTITCH_FAULTS=n` lets n more crashes and n more cuts strike in the model. `PROPTEST_CASES=n` tries that many
//! cases of each property (256 by default); a failure prints the case, made as small as it gets, and is repeated by the
//! seed in `proptest-regressions`.

mod events;
#[path = "../../src/fuzz.rs"]
mod fuzz;
mod history;
mod illegal;
mod model;
mod oracle;
mod replay;
mod runbook;
mod undo;

/// Tells what a test has seen; shown with `--nocapture`, and where it fails.
#[expect(clippy::print_stdout, reason = "a test's figures")]
fn say(text: &str) {
    println!("{text}");
}

//! The architecture, held by reading the sources: who may import whom, and what must be absent.

mod faults;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Lines that may not stand in some files.
struct Rule {
    /// Files and folders, from the top of the repository.
    within: &'static [&'static str],
    /// What no line of code there contains.
    never: &'static [&'static str],
}

const DESTINATIONS: &[&str] = &[
    "IntelligenceEvent",
    "PromptPerformance",
    "KPIHistory",
    "AgentFeedback",
];

const RULES: &[Rule] = &[
    Rule {
        within: &["entity/src"],
        never: &["migration::", "worker::", "cli::"],
    },
    Rule {
        within: &["migration/src"],
        never: &["entity::", "worker::"],
    },
    Rule {
        within: &["worker/src/core"],
        never: &[
            "sea_orm",
            "tokio",
            "tracing",
            "SystemTime",
            "Instant::now",
            "Utc::now",
            "async fn",
            "std::fs",
            "crate::backend",
            "crate::engine",
            "crate::error",
            "crate::journal",
            "crate::unit",
        ],
    },
    Rule {
        within: &["worker/src/units"],
        never: &[
            "crate::journal",
            "crate::core::state",
            "crate::engine",
            "crate::undo",
            "crate::units::",
            "INSERT INTO",
            "UPDATE \\\"",
            "DELETE FROM",
        ],
    },
    Rule {
        within: &[
            "worker/src/engine",
            "worker/src/undo",
            "worker/src/audit",
            "worker/src/validate",
            "worker/src/proof",
            "worker/src/repair",
            "worker/src/journal",
            "worker/src/standing.rs",
            "worker/src/write",
        ],
        never: &["crate::units", "units::phase5"],
    },
    Rule {
        within: &[
            "worker/src/pace",
            "worker/src/shutdown.rs",
            "worker/src/retry.rs",
        ],
        never: &["sea_orm"],
    },
    Rule {
        within: &["worker/src/backend"],
        never: &[
            "crate::core",
            "crate::engine",
            "crate::journal",
            "crate::projection",
            "crate::unit",
            "crate::write",
        ],
    },
    Rule {
        within: &["worker/src/picture"],
        never: &[
            "sea_orm",
            "maud",
            "hyper",
            "SELECT ",
            "crate::engine",
            "crate::page",
            "crate::live",
        ],
    },
    Rule {
        within: &["worker/src/page"],
        never: &[
            "sea_orm",
            "tokio",
            "hyper",
            "async fn",
            "crate::backend",
            "crate::journal",
            "crate::live",
        ],
    },
    Rule {
        within: &["worker/src/live"],
        never: &[
            "sea_orm",
            "entity::",
            "SELECT ",
            "crate::engine",
            "crate::journal",
            "Access::Write",
        ],
    },
    Rule {
        within: &["cli/src/commands"],
        never: &["entity::", "sea_orm", "SELECT ", "backstitch_journal"],
    },
    Rule {
        within: &["cli/src/render"],
        never: &["tokio", "sea_orm", "async fn"],
    },
    // The library never prints, exits or reads the environment.
    Rule {
        within: &[
            "worker/src/core",
            "worker/src/engine",
            "worker/src/units",
            "worker/src/backend",
            "worker/src/backup",
            "worker/src/undo",
            "worker/src/journal",
            "worker/src/live",
            "worker/src/page",
            "worker/src/picture",
            "worker/src/schema",
        ],
        never: &[
            "println!",
            "eprintln!",
            "process::exit",
            "env::var",
            "env::args",
            "stdout()",
            "stderr()",
        ],
    },
    // The database's clock is the only one that tells a time.
    Rule {
        within: &["worker/src", "cli/src", "migration/src"],
        never: &["SystemTime::now", "Utc::now", "Local::now"],
    },
    // No session state: a pooler hands the session to somebody else.
    Rule {
        within: &["worker/src"],
        never: &[
            "pg_advisory_lock(",
            "LISTEN ",
            "CREATE TEMP",
            "SET SESSION",
            ", false), set_config",
        ],
    },
];

/// Where code ends and its tests begin.
const TESTS: &str = "#[cfg(test)]";

/// A file beyond this holds two ideas.
const MAX_LINES: usize = 400;

#[test]
fn nobody_imports_what_they_may_not() -> Result<()> {
    for rule in RULES {
        for path in rule.within {
            let files = sources(path);
            ensure!(!files.is_empty(), "a rule names {path}, which is not there");
            for file in files {
                for never in rule.never {
                    check(&file, never)?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn only_units_know_a_destination() -> Result<()> {
    for file in sources("worker/src") {
        let path = file.to_string_lossy().into_owned();
        if path.contains("/units/") || path.contains("/demo/") {
            continue;
        }
        for table in DESTINATIONS {
            check(&file, &format!("\"{table}"))?;
        }
    }
    Ok(())
}

#[test]
fn no_unit_imports_another() -> Result<()> {
    let units = [
        "agent_feedback",
        "campaign_prompt",
        "intelligence_event",
        "kpi_history",
        "prompt_performance",
    ];
    for unit in units {
        let path = format!("worker/src/units/{unit}");
        let files = [sources(&path), sources(&format!("{path}.rs"))].concat();
        ensure!(!files.is_empty(), "unit {unit} has no file");
        for other in units.iter().filter(|other| **other != unit) {
            for file in &files {
                check(file, &format!("{other}::"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn no_file_holds_two_ideas() -> Result<()> {
    for folder in ["entity", "migration", "worker", "cli", "tests"] {
        for file in sources(folder) {
            let lines = code(&file)?.lines().count();
            ensure!(
                lines <= MAX_LINES,
                "{} has {lines} lines of code, over {MAX_LINES}",
                file.display()
            );
        }
    }
    Ok(())
}

#[test]
fn every_file_says_what_it_is_for() -> Result<()> {
    for folder in ["entity", "migration", "worker", "cli", "tests"] {
        for file in sources(folder) {
            let text = fs::read_to_string(&file)?;
            ensure!(
                text.starts_with("//! "),
                "{} does not begin with what it is for",
                file.display()
            );
        }
    }
    Ok(())
}

fn check(file: &Path, never: &str) -> Result<()> {
    for (number, line) in code(file)?.lines().enumerate() {
        let is_comment = line.trim_start().starts_with("//");
        ensure!(
            is_comment || !line.contains(never),
            "{}:{} contains {never:?}, which ARCHITECTURE.md forbids there",
            file.display(),
            number + 1
        );
    }
    Ok(())
}

/// A file's text up to its tests.
fn code(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(match text.find(TESTS) {
        Some(end) if text[end..].contains("mod tests {") => text[..end].to_owned(),
        _ => text,
    })
}

/// The Rust files at a path, or below it; none where there is nothing.
fn sources(path: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![top().join(path)];
    while let Some(path) = waiting.pop() {
        if path.is_file() && path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        } else if let Ok(entries) = fs::read_dir(&path) {
            waiting.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    found.sort();
    found
}

/// The top of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

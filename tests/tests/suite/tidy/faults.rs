//! The table of faults, held by reading it: every number has a test that exists, or says in words why there is none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::top;

const TABLE: &str = "tests/FAULTS.md";

/// The faults that were thought of first; later ones are added at the end.
const LEAST: usize = 66;

/// What a reference begins with, and where its modules lie, from the top of the repository.
const HOMES: [(&str, &str); 6] = [
    ("suite", "tests/tests/suite"),
    ("laws", "worker/tests/laws"),
    ("worker", "worker/src"),
    ("cli", "cli/src"),
    ("tests", "tests/src"),
    ("migration", "migration/src"),
];

/// The macros that make tests out of the functions that they list.
const MACROS: [&str; 3] = ["on_both!(", "run_on!(", "conformance!("];

#[test]
fn every_fault_has_its_test() -> Result<()> {
    let text = fs::read_to_string(top().join(TABLE)).context(TABLE)?;
    let cells = |line| str::split(line, '|').map(str::trim).collect::<Vec<_>>();
    let is_row = |cells: &Vec<&str>| cells.len() > 1 && cells[1].parse::<usize>().is_ok();
    let rows: Vec<_> = text.lines().map(cells).filter(is_row).collect();
    let mut wrong = Vec::new();
    for (row, number) in rows.iter().zip(1..) {
        match row[..] {
            ["", nr, _, _, shown, ""] if nr == number.to_string() => {
                let found = faults(shown)?;
                wrong.extend(found.into_iter().map(|what| format!("{number}: {what}")));
            }
            _ => wrong.push(format!("{number}: no row of four, or not in its place")),
        }
    }
    ensure!(wrong.is_empty(), "{TABLE}:\n{}", wrong.join("\n"));
    ensure!(rows.len() >= LEAST, "{TABLE} has {} faults", rows.len());
    Ok(())
}

/// What is wrong with the last cell of a row.
fn faults(shown: &str) -> Result<Vec<String>> {
    let references: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
    let mut between = shown.split('`').step_by(2);
    let words = between.any(|text| text.contains(char::is_alphabetic));
    let mut wrong = Vec::new();
    if shown.contains("MISSING") || (references.is_empty() && !words) {
        wrong.push("no test shows it".to_owned());
    }
    if references.len() > 3 {
        wrong.push("more than three references".to_owned());
    }
    for reference in references {
        if !exists(reference)? {
            wrong.push(format!("there is no test `{reference}`"));
        }
    }
    Ok(wrong)
}

/// Whether there is such a test.
fn exists(reference: &str) -> Result<bool> {
    let (home, path) = reference.split_once(' ').unwrap_or_default();
    let Some((_, folder)) = HOMES.iter().find(|(name, _)| *name == home) else {
        return Ok(false);
    };
    let mut modules: Vec<_> = path.split("::").collect();
    let name = modules.pop().unwrap_or_default();
    let mut folder = top().join(folder);
    let mut file = None;
    let mut inline = modules.as_slice();
    while let [module, rest @ ..] = inline
        && let Some(found) = source(&folder, module)
    {
        (file, folder, inline) = (Some(found), folder.join(module), rest);
    }
    let text = file.map(fs::read_to_string).transpose()?;
    let text = text.unwrap_or_default();
    let is_there = |module: &&str| text.contains(&format!("mod {module} {{"));
    Ok(inline.iter().all(is_there) && (is_marked(&text, name) || is_listed(&text, name)))
}

/// Whether a function of this name stands under the attribute of a test.
fn is_marked(text: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some(function) = line.trim_start_matches("async ").strip_prefix("fn ") {
            if is_test && function.split('(').next() == Some(name) {
                return true;
            }
            is_test = false;
        }
    }
    false
}

/// Whether a macro makes a test of a function of this name.
fn is_listed(text: &str, name: &str) -> bool {
    let lists = MACROS.iter().flat_map(|start| text.split(start).skip(1));
    let lists = lists.filter_map(|list| list.split(");").next());
    let mut paths = lists.flat_map(|list| list.split(','));
    paths.any(|path| path.rsplit("::").next().map(str::trim) == Some(name))
}

/// A module's file.
fn source(folder: &Path, module: &str) -> Option<PathBuf> {
    let mut places = [format!("{module}.rs"), format!("{module}/mod.rs")].into_iter();
    places.find_map(|place| Some(folder.join(place)).filter(|place| place.is_file()))
}

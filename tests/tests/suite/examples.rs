//! Every example of the README and of both programs' `--help` is tried: run on a real PostgreSQL database as a person would
//! type it, or, where that cannot be, at least read by the program. One that nobody listed in `examples/listed.rs` fails.

mod later;
mod listed;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::database::{Backend, Database};
use tests::process;
use tests::scratch;
use tests::shell;

use self::later::LATER;
use self::listed::{How, LISTED};

const PROGRAMS: [&str; 2] = ["worker", "cli"];

/// Runs of white space as one space: examples are aligned below each other.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a program prints, without any database.
async fn help(program: &str, command: &[String]) -> Result<String> {
    let run = process::program(program, "")?.without_url();
    let run = run.args(command).args(["--help"]);
    Ok(run.expect(0).await?.stdout)
}

/// The help of a program and of each of its commands.
async fn helps(program: &str) -> Result<Vec<(Vec<String>, String)>> {
    let mut helps = Vec::new();
    let mut waiting = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let text = help(program, &command).await?;
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            let name = line
                .strip_prefix("  ")
                .filter(|line| !line.starts_with(' '));
            let name = name.and_then(|line| line.split(' ').next());
            if let Some(name) = name.filter(|name| *name != "help") {
                waiting.push([command.clone(), vec![name.to_owned()]].concat());
            }
        }
        helps.push((command, text));
    }
    Ok(helps)
}

/// What stands between backticks and is a command of ours, spelled out.
fn quoted(text: &str) -> Vec<String> {
    let within = text.split('`').skip(1).step_by(2).map(plain);
    let is_ours = |text: &String| {
        PROGRAMS
            .iter()
            .any(|program| text.starts_with(&format!("{program} ")))
    };
    within.filter(is_ours).collect()
}

fn readme() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    Ok(fs::read_to_string(path)?)
}

/// The lines of the README's shell blocks, without what is said of them.
fn lines_of_readme(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let lines = blocks
        .flat_map(str::lines)
        .map(|line| match line.find(" # ") {
            Some(at) => plain(&line[..at]),
            None if line.starts_with('#') => String::new(),
            None => plain(line),
        });
    lines.filter(|line| !line.is_empty()).collect()
}

/// All examples, in the order in which a person meets them.
async fn examples() -> Result<Vec<String>> {
    let mut examples = lines_of_readme(&readme()?);
    for program in PROGRAMS {
        for (command, text) in helps(program).await? {
            let shown: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with("Example: "))
                .collect();
            let is_group = text.contains("<COMMAND>");
            ensure!(
                is_group || shown.len() == 1,
                "{program} {command:?} shows {} examples:\n{text}",
                shown.len()
            );
            examples.extend(shown.iter().flat_map(|line| quoted(line)));
        }
    }
    Ok(examples)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_says_what_it_changes() -> Result<()> {
    let mut checked = 0;
    for program in PROGRAMS {
        for (command, text) in helps(program).await? {
            if text.contains("<COMMAND>") || command.is_empty() {
                continue;
            }
            let paragraphs: Vec<_> = text.split("\n\n").collect();
            for (place, starts) in [
                (1, &["Example: "][..]),
                (2, &["Changes data: yes", "Changes data: no"]),
                (3, &["Safe to repeat: yes", "Safe to repeat: no"]),
            ] {
                let is_so =
                    |paragraph: &&str| starts.iter().any(|start| paragraph.starts_with(start));
                ensure!(
                    paragraphs.get(place).is_some_and(is_so),
                    "{program} {command:?}: {starts:?} is not in its place:\n{text}"
                );
            }
            checked += 1;
        }
    }
    ensure!(checked >= 42, "{checked}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_is_listed() -> Result<()> {
    let shown: BTreeSet<_> = examples().await?.into_iter().collect();
    ensure!(shown.len() >= 80, "{shown:?}");
    let listed: BTreeSet<_> = LISTED
        .iter()
        .chain(LATER)
        .map(|(example, _)| (*example).to_owned())
        .collect();
    let unlisted: Vec<_> = shown.difference(&listed).collect();
    ensure!(
        unlisted.is_empty(),
        "examples that nobody tries; list them in examples/listed.rs: {unlisted:#?}"
    );
    let hidden: Vec<_> = LISTED
        .iter()
        .chain(LATER)
        .filter(|(example, how)| !matches!(how, How::Before(_)) && !shown.contains(*example))
        .map(|(example, _)| example)
        .collect();
    ensure!(
        hidden.is_empty(),
        "examples that nobody shows any more: {hidden:#?}"
    );
    Ok(())
}

/// Fails unless the program reads this line: an option that it does not know, or a value that it cannot take, is refused
/// before anything is shown.
async fn read(line: &str) -> Result<()> {
    let ends = [" > ", " 2> ", " | "].map(|end| line.find(end).unwrap_or(line.len()));
    let line = &line[..ends.into_iter().min().unwrap_or(line.len())];
    let split = Command::new("bash")
        .args(["--norc", "-c", &format!("printf '%s\\n' {line}")])
        .output()?;
    let words = String::from_utf8(split.stdout)?;
    let mut words: Vec<_> = words.lines().collect();
    let end = words
        .iter()
        .position(|word| *word == "--")
        .unwrap_or(words.len());
    words.insert(end, "--help");
    let program = words.first().context("a program")?;
    let run = process::program(program, "")?
        .without_url()
        .args(&words[1..]);
    run.expect(0)
        .await
        .with_context(|| format!("the program does not read: {line}"))?;
    Ok(())
}

/// Commands that are mentioned in passing: nobody runs them here, but each is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mention_is_a_command() -> Result<()> {
    let text = readme()?;
    // Blocks are no mentions.
    let prose: String = text.split("```").step_by(2).collect();
    let mut mentions: BTreeSet<_> = quoted(&prose).into_iter().collect();
    for program in PROGRAMS {
        for (_, text) in helps(program).await? {
            mentions.extend(quoted(&text));
        }
    }
    // Several at once, or only the beginning of one.
    mentions.retain(|mention| !mention.contains(['|', '…', '<', '^']) && !mention.ends_with('-'));
    ensure!(mentions.len() >= 40, "{mentions:?}");
    for mention in &mentions {
        match read(mention).await {
            // The end of a sentence gives the value: "`worker run --as-of` the same instant".
            Err(error) if format!("{error:#}").contains("a value is required for '--") => {}
            read => read?,
        }
    }
    for wrong in [
        "cli status --colour",
        "worker run --workers none",
        "cli journal shew",
        "worker run extra",
    ] {
        ensure!(read(wrong).await.is_err(), "{wrong} is none");
    }
    Ok(())
}

/// Programs of others that examples name: each does nothing, and does it well.
fn stand_ins() -> Result<std::path::PathBuf> {
    let folder = scratch::folder("programs")?;
    for name in ["npm", "neonctl"] {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\nexit 0\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_runs() -> Result<()> {
    let database = Database::create(Backend::Postgres).await?;
    let (cwd, stand_ins) = (scratch::folder("examples")?, stand_ins()?);
    for (place, (example, how)) in LISTED.iter().chain(LATER).enumerate() {
        let (line, codes) = match how {
            How::Elsewhere(_) => continue,
            How::Read(_) => {
                read(example).await?;
                continue;
            }
            How::Before(codes) | How::Runs(codes) => ((*example).to_owned(), codes),
            How::Filled(fills, codes) => {
                read(example).await?;
                let fill = |line: String, (from, to): &(&str, &str)| {
                    assert!(line.contains(from), "{from} is not in {line}");
                    line.replace(from, to)
                };
                (fills.iter().fold((*example).to_owned(), fill), codes)
            }
        };
        let outcome = shell::line(&line, &database.url, &cwd, &stand_ins)?
            .run()
            .await?;
        ensure!(
            outcome.code().is_some_and(|code| codes.contains(&code)),
            "example {place} should end with {codes:?}: {outcome}"
        );
    }
    Ok(())
}

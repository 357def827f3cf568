//! The document: what was kept, as Markdown with plots. Pure but for [`write`].

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::part::Part;
use super::plots;
use super::results::{Results, Section};
use super::size::Size;
use super::table;

/// Where it is, from the top of the repository.
const DOCUMENT: &str = "tests/BENCHMARKS.md";
/// Its plots.
const FOLDER: &str = "tests/benchmarks";
/// What it is made from.
const RESULTS: &str = "tests/benchmarks/results.json";

/// What is kept so far.
pub(crate) fn load() -> Result<Results> {
    Results::load(Path::new(RESULTS))
}

/// Keeps the results, and writes document and plots anew.
pub(crate) fn write(results: &Results) -> Result<()> {
    std::fs::create_dir_all(FOLDER).with_context(|| format!("make {FOLDER}"))?;
    for plot in results.sections.iter().flat_map(plots::of) {
        let file = format!("{FOLDER}/{}", plot.file);
        std::fs::write(&file, plot.svg).with_context(|| format!("write {file}"))?;
    }
    std::fs::write(DOCUMENT, markdown(results)).with_context(|| format!("write {DOCUMENT}"))?;
    results.save(Path::new(RESULTS))
}

/// The document.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from(HEAD);
    for size in [Size::L, Size::M, Size::S] {
        let sections: Vec<(&Part, &Section)> = Part::all()
            .iter()
            .filter_map(|part| Some((part, find(results, *part, size)?)))
            .collect();
        if sections.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "\n## Size {}: {} events\n",
            size.name(),
            size.events()
        );
        targets(&mut text, &sections);
        // Parts that were measured at once say so once.
        let mut told = None;
        for (part, section) in sections {
            if told != Some(&section.facts) {
                told = Some(&section.facts);
                facts(&mut text, section);
            }
            let _ = writeln!(text, "\n### {}\n", part.title());
            chapter(&mut text, section);
        }
    }
    text
}

fn find(results: &Results, part: Part, size: Size) -> Option<&Section> {
    let is_it = |section: &&Section| section.part == part.name() && section.size == size;
    results.sections.iter().find(is_it)
}

/// What is to be reached, in one table.
fn targets(text: &mut String, sections: &[(&Part, &Section)]) {
    let with_target = sections.iter().flat_map(|(_, section)| &section.figures);
    let _ = writeln!(
        text,
        "| what | measured | of the rounds | to reach |\n|---|---|---|---|"
    );
    for figure in with_target.filter(|figure| figure.target.is_some()) {
        let _ = writeln!(
            text,
            "| {} | **{}** | {} | {} |",
            cell(&figure.name),
            table::value(figure),
            table::spread(figure),
            table::verdict(figure)
        );
    }
}

fn chapter(text: &mut String, section: &Section) {
    for plot in plots::of(section) {
        let _ = writeln!(text, "![{}](benchmarks/{})\n", plot.text, plot.file);
    }
    for (place, row) in table::timed(section).iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if place == 0 {
            let _ = writeln!(text, "|---|{}", "---:|".repeat(row.len() - 1));
        }
    }
    let plain: Vec<_> = section
        .figures
        .iter()
        .filter(|figure| figure.target.is_none())
        .collect();
    if !plain.is_empty() {
        let _ = writeln!(
            text,
            "\n| besides | measured | of the rounds |\n|---|---|---|"
        );
    }
    for figure in plain {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            cell(&figure.name),
            table::value(figure),
            table::spread(figure)
        );
    }
    text.push('\n');
    for note in &section.notes {
        let _ = writeln!(text, "- {}", cell(note));
    }
}

/// Where and when the sections from here on were measured.
fn facts(text: &mut String, section: &Section) {
    let _ = writeln!(
        text,
        "\nMeasured on {}. Settings: {}.",
        section.facts.line(),
        section.facts.settings
    );
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

const HEAD: &str = "# Benchmarks

Written by `tests/bench`; `tests/bench --size S|M|L` measures anew, `--only PART` a part of it.

Everything is a ratio of neighbours: contenders take turns on one private PostgreSQL server, round by round, each in a
fresh copy of the same database after a checkpoint, over TCP on loopback. A figure is the median of the rounds; beside it
stand the least and the greatest. The time of a program is that of its whole process: start, planning, catch-up passes and
completion are in it. The server's files lie in memory (tmpfs) unless `--disk` is given, since the stalls of a shared
disk drown what is compared. *CPU s* is what program, sessions and server used in all; *program*, *sessions* and *others*
are processors used on average by our program, the server's sessions and whatever else ran on the machine: where *others*
is not near 0, the machine was not quiet.
";

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::results::{Figure, Measure, Results, Sample, Section, Target};
    use super::super::size::Size;
    use super::markdown;

    fn section() -> Section {
        let facts = Facts {
            processor: "a CPU".into(),
            cores: 2,
            memory: 24,
            kernel: "Linux".into(),
            postgresql: "15".into(),
            storage: "tmpfs".into(),
            settings: "shared_buffers = 1GB".into(),
            commit: "abc".into(),
            date: "2025-11-04".into(),
            rounds: 3,
        };
        let mut section = Section::new("sqlite", Size::M, &facts);
        section.samples.push(Sample {
            contender: "one | other".into(),
            round: 1,
            rows: 1000,
            seconds: 0.5,
            batches: None,
            program_cpu: 0.25,
            session_cpu: 0.0,
            server_cpu: 0.0,
            other_cpu: 0.0,
            wal: 0.0,
            peak: Some(2048),
        });
        let values = vec![0.95, 0.8, 1.0];
        let target = Some(Target::AtLeast(0.9));
        let figure = Figure::new("ratio", Measure::Ratio, values, target);
        section.figures.push(figure);
        section
    }

    #[test]
    fn a_target_stands_with_its_verdict() {
        let mut results = Results::default();
        results.put(section());
        let text = markdown(&results);
        assert!(text.contains("## Size M"));
        assert!(
            text.contains("| ratio | **0.95×** | 0.80×–1.00× | ≥ 0.90× met |"),
            "{text}"
        );
        assert!(
            text.contains("| one \\| other | 0.50 | 2.0k | 0.2 | 0.50 |"),
            "{text}"
        );
        assert!(text.contains("![Rows a second, sqlite (M)](benchmarks/sqlite-M.svg)"));
    }

    #[test]
    fn a_part_measured_anew_takes_the_place_of_the_old() {
        let mut results = Results::default();
        results.put(section());
        let mut again = section();
        again.figures[0].values = vec![0.5];
        results.put(again);
        assert_eq!(results.sections.len(), 1);
        let text = markdown(&results);
        assert!(text.contains("**0.50×** |  | ≥ 0.90× NOT MET"), "{text}");
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut results = Results::default();
        results.put(section());
        let text = serde_json::to_string(&results).expect("is JSON");
        let back: Results = serde_json::from_str(&text).expect("is the same");
        assert_eq!(markdown(&back), markdown(&results));
    }
}

//! What was measured, as data: kept as JSON beside the document, so that one part can be measured anew.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::size::Size;
use super::statistics::{median, number, range};

/// One timed thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// What was timed.
    pub(crate) contender: String,
    /// In which round, from 1.
    pub(crate) round: u32,
    /// Rows written.
    pub(crate) rows: i64,
    /// From start to end.
    pub(crate) seconds: f64,
    /// From the first to the last batch in the journal, of a worker that left one.
    pub(crate) batches: Option<f64>,
    /// Seconds of CPU of our program.
    pub(crate) program_cpu: f64,
    /// Seconds of CPU of the server's sessions.
    pub(crate) session_cpu: f64,
    /// Seconds of CPU of the server's own processes (checkpointer, writers, autovacuum's launcher).
    pub(crate) server_cpu: f64,
    /// Seconds of CPU of everything else on the machine meanwhile.
    pub(crate) other_cpu: f64,
    /// Write-ahead log written, in bytes.
    pub(crate) wal: f64,
    /// The most memory that the program ever held, in KiB.
    pub(crate) peak: Option<u64>,
}

impl Sample {
    /// Seconds of CPU of all that took part, which a busy machine hardly changes.
    #[must_use]
    pub(crate) fn cpu(&self) -> f64 {
        self.program_cpu + self.session_cpu + self.server_cpu
    }

    /// Rows a second.
    #[must_use]
    pub(crate) fn rate(&self) -> f64 {
        number(self.rows) / self.seconds
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Measure {
    /// Something over something else.
    Ratio,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Mebibytes.
    Mebibytes,
    /// How many.
    Count,
}

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Target {
    /// Whether a value reaches it.
    #[must_use]
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }
}

/// What comes of the rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// Its value in each round.
    pub(crate) values: Vec<f64>,
    /// What it counts.
    pub(crate) measure: Measure,
    /// What it is to reach.
    pub(crate) target: Option<Target>,
}

impl Figure {
    /// A figure of the rounds.
    #[must_use]
    pub(crate) fn new(
        name: &str,
        measure: Measure,
        values: Vec<f64>,
        target: Option<Target>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            values,
            measure,
            target,
        }
    }

    /// Its median; none where nothing was measured.
    #[must_use]
    pub(crate) fn median(&self) -> Option<f64> {
        median(&self.values)
    }

    /// Its least and greatest value.
    #[must_use]
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        range(&self.values)
    }

    /// Whether its median reaches the target; none without one.
    #[must_use]
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.target?.is_met(self.median()?))
    }
}

/// A line of a plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    /// What it shows.
    pub(crate) name: String,
    /// Its points.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What one part measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    /// The part's name.
    pub(crate) part: String,
    /// At which size.
    pub(crate) size: Size,
    /// Where and when.
    pub(crate) facts: Facts,
    /// Everything that was timed.
    pub(crate) samples: Vec<Sample>,
    /// What comes of it.
    pub(crate) figures: Vec<Figure>,
    /// What there is to say besides.
    pub(crate) notes: Vec<String>,
    /// Lines to be plotted.
    pub(crate) series: Vec<Series>,
}

impl Section {
    /// One that nothing was measured for yet.
    #[must_use]
    pub(crate) fn new(part: &str, size: Size, facts: &Facts) -> Self {
        Self {
            part: part.to_owned(),
            size,
            facts: facts.clone(),
            samples: Vec::new(),
            figures: Vec::new(),
            notes: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Says why nothing was measured.
    pub(crate) fn skip(&mut self, why: &str) {
        self.notes.push(format!("not measured: {why}"));
    }

    /// A figure of a contender's samples, by round.
    #[must_use]
    pub(crate) fn of(&self, contender: &str, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let of = self.samples.iter().filter(|one| one.contender == contender);
        of.map(figure).collect()
    }

    /// Its contenders, in the order in which they came.
    #[must_use]
    pub(crate) fn contenders(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !names.contains(&sample.contender.as_str()) {
                names.push(&sample.contender);
            }
        }
        names
    }
}

/// Everything that was ever kept: the newest of each part and size.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// By part and size.
    pub(crate) sections: Vec<Section>,
}

impl Results {
    /// Reads what is kept; nothing where there is no file.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is no result of tests/bench", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    /// Puts a section in the place of an earlier one of its part and size.
    pub(crate) fn put(&mut self, section: Section) {
        let is_same = |other: &Section| other.part == section.part && other.size == section.size;
        match self.sections.iter().position(is_same) {
            Some(place) => self.sections[place] = section,
            None => self.sections.push(section),
        }
    }

    /// Keeps it.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }
}

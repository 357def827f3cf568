//! Prometheus's text format, read strictly by its specification.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// A sample's labels.
pub type Labels = BTreeMap<String, String>;

/// What a scrape gave.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The type of each family.
    pub families: BTreeMap<String, String>,
    /// The samples.
    pub samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Reads a scrape.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.ends_with('\n'), "the last line has no end");
        let mut scrape = Self::default();
        let mut helped = BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').context("a help without words")?;
                ensure!(
                    !words.is_empty() && helped.insert(name.to_owned()),
                    "{name} is helped twice"
                );
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').context("a type without a name")?;
                ensure!(is_name(name), "{name} is no name");
                ensure!(helped.contains(name), "{name} has no help");
                ensure!(
                    ["counter", "gauge", "histogram"].contains(&kind),
                    "{kind} is no type"
                );
                let is_total = name.ends_with("_total");
                ensure!((kind == "counter") == is_total, "{name} is a {kind}");
                let was = scrape.families.insert(name.to_owned(), kind.to_owned());
                ensure!(was.is_none(), "{name} has two types");
                name.clone_into(&mut current);
            } else {
                let (name, labels, value) = sample(line).with_context(|| line.to_owned())?;
                let kind = scrape
                    .families
                    .get(&current)
                    .context("a sample before its type")?;
                let is_own = match kind.as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|end| name == format!("{current}{end}")),
                    _ => name == current,
                };
                ensure!(is_own, "{name} stands among {current}");
                ensure!(kind == "gauge" || value >= 0.0, "{name} is negative");
                let was = scrape.samples.insert((name.clone(), labels), value);
                ensure!(was.is_none(), "{name} is told twice");
            }
        }
        scrape.check_histograms()?;
        Ok(scrape)
    }

    /// The sum of a metric's samples that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &Labels| {
            labels
                .iter()
                .all(|(name, value)| of.get(*name).is_some_and(|it| it == value))
        };
        let samples = self
            .samples
            .iter()
            .filter(|((of, labels), _)| of == name && has(labels));
        samples.map(|(_, value)| value).sum()
    }

    /// Each histogram's buckets grow up to all of it.
    fn check_histograms(&self) -> Result<()> {
        let mut ends: BTreeMap<(String, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").context("a bucket without a bound")?;
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse()?
                };
                ends.entry((family.to_owned(), labels))
                    .or_default()
                    .push((bound, *value));
            }
        }
        for ((family, labels), mut buckets) in ends {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            ensure!(
                buckets.is_sorted_by(|a, b| a.1 <= b.1),
                "{family} does not grow"
            );
            let (bound, all) = buckets.last().context("a bucket")?;
            let count = self.samples.get(&(format!("{family}_count"), labels));
            ensure!(
                bound.is_infinite() && count == Some(all),
                "{family} counts {count:?} and {all}"
            );
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().enumerate().all(|(place, byte)| {
        byte.is_ascii_alphabetic()
            || byte == b'_'
            || byte == b':'
            || (place > 0 && byte.is_ascii_digit())
    }) && !name.is_empty()
}

fn sample(line: &str) -> Result<(String, Labels, f64)> {
    let end = line.find(['{', ' ']).context("a value")?;
    let (name, mut rest) = line.split_at(end);
    ensure!(is_name(name), "{name} is no name");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        let mut inside = inside;
        loop {
            let (label, after) = inside.split_once("=\"").context("a label's value")?;
            ensure!(is_name(label), "{label} is no label");
            let (value, after) = quoted(after)?;
            ensure!(
                labels.insert(label.to_owned(), value).is_none(),
                "{label} stands twice"
            );
            match after.strip_prefix(',') {
                Some(more) => inside = more,
                None => {
                    rest = after.strip_prefix('}').context("an end of the labels")?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').context("a space")?;
    Ok((name.to_owned(), labels, value.parse()?))
}

/// A label's value, and what follows it.
fn quoted(text: &str) -> Result<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[place + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => bail!("an escape that is none"),
            },
            character => value.push(character),
        }
    }
    bail!("a value without an end")
}

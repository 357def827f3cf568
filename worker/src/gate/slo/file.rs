//! The file as it is written, and what is made of it. What is wrong comes with the byte at which it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::server::{self, Prometheus, TIMEOUT, address};
use super::values::{Share, Span, UnitWord, Written};
use super::{Slo, Source, Target};
use crate::gate::database::Statistic;
use crate::gate::probe::{self, Probe};
use crate::gate::selector;
use crate::gate::target::{Comparison, Limit};

/// What is wrong, and the byte at which it is.
pub(super) type Result<T> = std::result::Result<T, (usize, String)>;

/// Every key, for the test that the default explains it.
#[cfg(test)]
pub(super) const KEYS: [&str; 22] = [
    "every",
    "allow_missed",
    "allow_gaps",
    "for",
    "url",
    "timeout",
    "max_age",
    "ca",
    "token_file",
    "token_env",
    "user",
    "password_file",
    "password_env",
    "name",
    "source",
    "query",
    "unit",
    "expect",
    "requests",
    "statistic",
    "below",
    "above",
];

const EVERY: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    every: Option<Spanned<Span>>,
    allow_missed: Option<Share>,
    allow_gaps: Option<u64>,
    #[serde(default)]
    environment: BTreeMap<String, Environment>,
    prometheus: Option<Prometheus>,
    #[serde(default)]
    target: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    r#for: Spanned<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    source: Spanned<String>,
    query: Option<Spanned<String>>,
    unit: Option<Spanned<UnitWord>>,
    url: Option<Spanned<String>>,
    expect: Option<Spanned<u16>>,
    requests: Option<Spanned<u32>>,
    timeout: Option<Spanned<Span>>,
    ca: Option<Spanned<PathBuf>>,
    statistic: Option<Spanned<String>>,
    below: Option<Spanned<Written>>,
    above: Option<Spanned<Written>>,
    allow_missed: Option<Share>,
    allow_gaps: Option<u64>,
}

/// Reads a file's text.
pub(super) fn read(text: &str) -> Result<Slo> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let words: Vec<_> = error.message().split_whitespace().collect();
        (at, words.join(" "))
    })?;
    let every = file.every.as_ref().map_or(EVERY, |every| every.get_ref().0);
    if file.environment.is_empty() {
        return Err((
            0,
            "there is no environment: say how long one is watched, as [environment.staging] with for = \"2h\"".into(),
        ));
    }
    let mut environments = BTreeMap::new();
    for (name, environment) in file.environment {
        let Span(length) = *environment.r#for.get_ref();
        if length < every {
            return Err((
                environment.r#for.span().start,
                "it is shorter than the time between two looks (every)".into(),
            ));
        }
        environments.insert(name, length);
    }
    let prometheus = file.prometheus.map(server::read).transpose()?;
    let allowed = (
        file.allow_missed.map_or(0.0, |share| share.0),
        file.allow_gaps.unwrap_or(0),
    );
    let mut targets: Vec<Target> = Vec::new();
    for entry in file.target {
        let at = entry.name.span().start;
        let target = target(entry, allowed)?;
        if targets.iter().any(|other| other.name == target.name) {
            return Err((at, format!("there is a target {:?} already", target.name)));
        }
        if matches!(target.source.1, Source::Prometheus { .. }) && prometheus.is_none() {
            return Err((
                target.source.0,
                "there is no [prometheus] with the url of the server".into(),
            ));
        }
        targets.push(Target {
            name: target.name,
            source: target.source.1,
            limit: target.limit,
            allow_missed: target.allow_missed,
            allow_gaps: target.allow_gaps,
        });
    }
    if targets.is_empty() {
        return Err((0, "there is no target: add one as [[target]]".into()));
    }
    Ok(Slo {
        digest: blake3::hash(text.as_bytes()).to_hex().to_string(),
        folder: PathBuf::new(),
        every,
        environments,
        prometheus,
        targets,
    })
}

/// A target, and the byte at which its source is named.
struct Read {
    name: String,
    source: (usize, Source),
    limit: Limit,
    allow_missed: f64,
    allow_gaps: u64,
}

fn target(mut entry: Entry, allowed: (f64, u64)) -> Result<Read> {
    let at = entry.name.span().start;
    let name = entry.name.get_ref().clone();
    let is_plain = |c: char| c.is_alphanumeric() || "-_. /".contains(c);
    if name.trim() != name || name.is_empty() || !name.chars().all(is_plain) {
        return Err((
            at,
            "a target's name is made of letters, digits and - _ . /".into(),
        ));
    }
    let (comparison, amount) = match (entry.below.take(), entry.above.take()) {
        (Some(amount), None) => (Comparison::Below, amount),
        (None, Some(amount)) => (Comparison::Above, amount),
        (Some(_), Some(above)) => {
            return Err((above.span().start, "the target has below as well".into()));
        }
        (None, None) => return Err((at, "the target has neither below nor above".into())),
    };
    let (limit_at, Written(amount)) = (amount.span().start, amount.into_inner());
    let allow_missed = entry.allow_missed.map_or(allowed.0, |share| share.0);
    let allow_gaps = entry.allow_gaps.unwrap_or(allowed.1);
    let source_at = entry.source.span().start;
    let source = source(entry)?;
    let measured = match &source {
        Source::Prometheus { unit, .. } => unit.map(|unit| ("the query", unit.quantity)),
        Source::Probe(probe) => Some((probe.statistic.word(), probe.statistic.quantity())),
        Source::Database(statistic) => Some((statistic.word(), statistic.quantity())),
    };
    if let Some((what, quantity)) = measured
        && quantity != amount.unit.quantity
    {
        let example = quantity.example();
        return Err((
            limit_at,
            format!(
                "{what} is measured as {example}, and not in {}",
                amount.unit.word
            ),
        ));
    }
    Ok(Read {
        name,
        source: (source_at, source),
        limit: Limit { comparison, amount },
        allow_missed,
        allow_gaps,
    })
}

fn source(mut entry: Entry) -> Result<Source> {
    let (at, word) = (entry.source.span().start, entry.source.get_ref().clone());
    let needs = |key: &str| (at, format!("a target of the source {word} needs {key}"));
    let source = match word.as_str() {
        "prometheus" => {
            let query = entry.query.take().ok_or_else(|| needs("query"))?;
            if selector::selectors(query.get_ref()).is_empty() {
                return Err((
                    query.span().start,
                    "the query reads no series, so it says nothing".into(),
                ));
            }
            Source::Prometheus {
                query: query.into_inner(),
                unit: entry.unit.take().map(|unit| unit.into_inner().0),
            }
        }
        "probe" => Source::Probe(read_probe(&mut entry, needs)?),
        "database" => {
            let statistic = entry.statistic.take().ok_or_else(|| needs("statistic"))?;
            Source::Database(known(&statistic, &Statistic::ALL, Statistic::word)?)
        }
        _ => {
            return Err((
                at,
                format!("there is no source {word:?}: it is prometheus, probe or database"),
            ));
        }
    };
    match left_over(&entry) {
        Some((at, key)) => Err((at, format!("{key} is nothing to the source {word}"))),
        None => Ok(source),
    }
}

fn read_probe(entry: &mut Entry, needs: impl Fn(&str) -> (usize, String)) -> Result<Probe> {
    let url = address(&entry.url.take().ok_or_else(|| needs("url"))?)?;
    let statistic = entry.statistic.take().ok_or_else(|| needs("statistic"))?;
    let statistic = known(&statistic, &probe::Statistic::ALL, probe::Statistic::word)?;
    let requests = match entry.requests.take() {
        None => probe::REQUESTS,
        Some(requests) if (1..=probe::MOST).contains(requests.get_ref()) => requests.into_inner(),
        Some(requests) => {
            return Err((
                requests.span().start,
                format!("a sample takes 1 to {} requests", probe::MOST),
            ));
        }
    };
    let expect = match entry.expect.take() {
        None => 200,
        Some(expect) if (200..=599).contains(expect.get_ref()) => expect.into_inner(),
        Some(expect) => return Err((expect.span().start, "this is no status of HTTP".into())),
    };
    let timeout = entry.timeout.take();
    Ok(Probe {
        url,
        expect,
        requests,
        timeout: timeout.map_or(TIMEOUT, |timeout| timeout.into_inner().0),
        statistic,
        ca: entry.ca.take().map(Spanned::into_inner),
    })
}

/// What a word names among those that there are.
fn known<T: Copy>(
    word: &Spanned<String>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T> {
    let found = all.iter().find(|one| name(**one) == word.get_ref());
    found.copied().ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|one| name(*one)).collect();
        let why = format!(
            "there is no statistic {:?} here: it is one of {}",
            word.get_ref(),
            words.join(", ")
        );
        (word.span().start, why)
    })
}

/// A key that its source has no use for.
fn left_over(entry: &Entry) -> Option<(usize, &'static str)> {
    fn at<T>(value: &Option<Spanned<T>>, key: &'static str) -> Option<(usize, &'static str)> {
        value.as_ref().map(|value| (value.span().start, key))
    }
    at(&entry.query, "query")
        .or_else(|| at(&entry.unit, "unit"))
        .or_else(|| at(&entry.url, "url"))
        .or_else(|| at(&entry.expect, "expect"))
        .or_else(|| at(&entry.requests, "requests"))
        .or_else(|| at(&entry.timeout, "timeout"))
        .or_else(|| at(&entry.ca, "ca"))
        .or_else(|| at(&entry.statistic, "statistic"))
}

//! Which plots a section has: pure.

use super::results::Section;
use super::size::Size;
use super::statistics::{median, number, range};
use super::svg::{self, Bar, Frame, Line};

/// A plot, to be kept under a name.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// Its file's name.
    pub(crate) file: String,
    /// What it shows, for those who do not see it.
    pub(crate) text: String,
    /// The file.
    pub(crate) svg: String,
}

/// The plots of a section.
pub(crate) fn of(section: &Section) -> Vec<Plot> {
    if section.samples.is_empty() {
        return Vec::new();
    }
    let size = section.size.name();
    let plot = |name: &str, text: String, svg: String| Plot {
        file: format!("{name}-{size}.svg"),
        text,
        svg,
    };
    let mut plots = Vec::new();
    let title = |text: &str| format!("{text}, {} events", events(section.size));
    match section.part.as_str() {
        "throughput" => {
            let text = title("Rows a second of each contender");
            plots.push(plot("throughput", text.clone(), rates(section, &text)));
            let text = title("Rows a second by workers of one process, and by processes of two");
            let svg = series(section, &text, "rows/s", short);
            plots.push(plot("workers", text, svg));
        }
        "units" | "indexes" | "sqlite" | "undo" => {
            let text = format!("Rows a second, {} ({size})", section.part);
            plots.push(plot(&section.part, text.clone(), rates(section, &text)));
        }
        "scale" if section.size > Size::S => {
            let text = "Rows a second by events of the source".to_owned();
            let svg = series(section, &text, "rows/s", short);
            plots.push(plot("scale", text, svg));
        }
        "gentle" => {
            let text = title("Latency of the foreground, by what runs beside it");
            let svg = series(section, &text, "ms", |share| {
                format!("p{}", short(share * 100.0))
            });
            plots.push(plot("gentle", text, svg));
        }
        _ => {}
    }
    plots
}

fn events(size: Size) -> String {
    short(f64::from(size.events()))
}

fn rates(section: &Section, title: &str) -> String {
    let contenders = section.contenders().into_iter();
    let bars: Vec<Bar> = contenders
        .filter_map(|contender| {
            let rates = section.of(contender, |one| one.rate());
            let value = median(&rates)?;
            Some(Bar {
                name: contender.to_owned(),
                value,
                range: range(&rates)?,
                label: short(value),
                is_ours: contender.contains("worker") || contender.contains("cli"),
            })
        })
        .collect();
    svg::bars(
        title,
        "rows/s, median; the thin line spans all rounds",
        &bars,
    )
}

/// All series over the same places, which are those of the first.
fn series(section: &Section, title: &str, vertical: &str, place: impl Fn(f64) -> String) -> String {
    let first = section.series.first();
    let places = first.map(|first| first.points.iter().map(|(at, _)| place(*at)).collect());
    let frame = Frame {
        title,
        vertical,
        places: places.unwrap_or_default(),
    };
    let lines: Vec<Line> = section
        .series
        .iter()
        .map(|series| Line {
            name: series.name.clone(),
            points: series
                .points
                .iter()
                .enumerate()
                .map(|(place, (_, value))| (number(i64::try_from(place).unwrap_or(0)), *value))
                .collect(),
        })
        .collect();
    svg::lines(&frame, &lines)
}

/// 1000000 is 1M, 99.9 is 99.9.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    format!("{}{unit}", (scaled * 10.0).round() / 10.0)
}

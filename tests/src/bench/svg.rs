//! Plots as SVG: pure, without scripts, in the reader's light or dark colours.

use std::fmt::Write as _;

/// A bar with the range of its rounds.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// What it stands for.
    pub(crate) name: String,
    /// Its median, least and greatest.
    pub(crate) value: f64,
    pub(crate) range: (f64, f64),
    /// What is written at its end.
    pub(crate) label: String,
    /// Whether it is ours.
    pub(crate) is_ours: bool,
}

/// A line; its points are places on the horizontal axis, from 0, and values.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What it stands for.
    pub(crate) name: String,
    /// Its points.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The frame of a plot of lines.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    /// Its title.
    pub(crate) title: &'a str,
    /// What the vertical axis shows, with its unit.
    pub(crate) vertical: &'a str,
    /// The names of the places on the horizontal axis.
    pub(crate) places: Vec<String>,
}

const WIDTH: f64 = 760.0;

/// Colours by role; dark ones where the reader's surroundings are.
const STYLE: &str = "<style>
svg{--ink:#1f2328;--soft:#59636e;--grid:#d1d9e0;--ground:#ffffff;--c0:#0969da;--c1:#8c959f;--c2:#bc4c00;--c3:#1a7f37}
@media (prefers-color-scheme:dark){svg{--ink:#f0f6fc;--soft:#9198a1;--grid:#3d444d;--ground:#0d1117;--c0:#4493f8;--c1:#7d8590;--c2:#db6d28;--c3:#3fb950}}
.ground{fill:var(--ground)}text{font:13px system-ui,sans-serif;fill:var(--ink)}.title{font-weight:600;font-size:15px}
.soft{fill:var(--soft);font-size:12px}.grid{stroke:var(--grid);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
.range{stroke:var(--ink);stroke-width:1.5;opacity:.65}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}
</style>";

/// Horizontal bars from zero, a line across each for the range of its rounds.
pub(crate) fn bars(title: &str, axis: &str, bars: &[Bar]) -> String {
    let (left, right, top, step) = (300.0, 80.0, 52.0, 30.0);
    let most = bars.iter().map(|bar| bar.range.1.max(bar.value));
    let ticks = ticks(most.fold(0.0, f64::max));
    let end = ticks.last().copied().unwrap_or(1.0);
    let across = |value: f64| left + value / end * (WIDTH - left - right);
    let bottom = bars.iter().fold(top, |y, _| y + step);
    let mut body = String::new();
    for tick in &ticks {
        let x = across(*tick);
        let _ = writeln!(
            body,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}"/><text class="soft" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 16.0,
            short(*tick)
        );
    }
    let mut y = top;
    for bar in bars {
        let (middle, width) = (y + step / 2.0, across(bar.value) - left);
        let class = if bar.is_ours { "f0" } else { "f1" };
        let _ = writeln!(
            body,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text><rect class="{class}" x="{left:.1}" y="{:.1}" width="{width:.1}" height="18" rx="2"/>"#,
            left - 10.0,
            middle + 4.0,
            escape(&bar.name),
            middle - 9.0
        );
        let (from, to) = (across(bar.range.0), across(bar.range.1));
        let _ = writeln!(
            body,
            r#"<line class="range" x1="{from:.1}" x2="{to:.1}" y1="{middle:.1}" y2="{middle:.1}"/><text x="{:.1}" y="{:.1}">{}</text>"#,
            to.max(across(bar.value)) + 8.0,
            middle + 4.0,
            escape(&bar.label)
        );
        y += step;
    }
    let _ = writeln!(
        body,
        r#"<line class="axis" x1="{left:.1}" x2="{left:.1}" y1="{top:.1}" y2="{bottom:.1}"/><text class="soft" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
        (left + WIDTH - right) / 2.0,
        bottom + 34.0,
        escape(axis)
    );
    document(title, bottom + 46.0, &body)
}

/// Lines over named places, from zero.
pub(crate) fn lines(frame: &Frame<'_>, lines: &[Line]) -> String {
    let (left, right, top, bottom) = (70.0, 30.0, 96.0, 350.0);
    let values = lines.iter().flat_map(|line| &line.points);
    let ticks = ticks(values.map(|point| point.1).fold(0.0, f64::max));
    let end = ticks.last().copied().unwrap_or(1.0);
    let places = frame.places.len().saturating_sub(1).max(1);
    let width = (WIDTH - left - right - 40.0) / f64::from(u32::try_from(places).unwrap_or(1));
    let across = |place: f64| left + 20.0 + place * width;
    let up = |value: f64| bottom - value / end * (bottom - top);
    let mut body = String::new();
    for tick in &ticks {
        let y = up(*tick);
        let _ = writeln!(
            body,
            r#"<line class="grid" x1="{left:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="soft" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - right,
            left - 8.0,
            y + 4.0,
            short(*tick)
        );
    }
    let mut place = 0.0;
    for name in &frame.places {
        let _ = writeln!(
            body,
            r#"<text class="soft" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            across(place),
            bottom + 18.0,
            escape(name)
        );
        place += 1.0;
    }
    let mut legend = left;
    for (number, line) in lines.iter().enumerate() {
        // The first of several is what the others are compared with.
        let class = match (number, lines.len()) {
            (0, 2..) => 1,
            (1, _) => 0,
            (number, _) => number % 4,
        };
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(place, value)| format!("{:.1},{:.1}", across(*place), up(*value)))
            .collect();
        let _ = writeln!(
            body,
            r#"<polyline class="line l{class}" points="{}"/>"#,
            points.join(" ")
        );
        for point in &points {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(
                body,
                r#"<circle class="f{class}" cx="{x}" cy="{y}" r="3.5"/>"#
            );
        }
        let _ = writeln!(
            body,
            r#"<rect class="f{class}" x="{legend:.1}" y="44" width="12" height="12" rx="2"/><text x="{:.1}" y="54">{}</text>"#,
            legend + 17.0,
            escape(&line.name)
        );
        legend += 34.0 + 7.2 * f64::from(u32::try_from(line.name.chars().count()).unwrap_or(0));
    }
    let _ = writeln!(
        body,
        r#"<line class="axis" x1="{left:.1}" x2="{:.1}" y1="{bottom:.1}" y2="{bottom:.1}"/><text class="soft" x="{left:.1}" y="{:.1}">{}</text>"#,
        WIDTH - right,
        top - 8.0,
        escape(frame.vertical)
    );
    document(frame.title, bottom + 34.0, &body)
}

fn document(title: &str, height: f64, body: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"{title}\">\n{STYLE}\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{title}</text>\n{body}</svg>\n"
    )
}

/// Round numbers from zero to at least the greatest value, in steps of 1, 2 or 5 times a power of ten.
fn ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 { most } else { 1.0 };
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999_999)
        .unwrap_or(10.0 * power);
    let mut ticks = vec![0.0];
    let mut tick = 0.0;
    while tick < most * 0.999_999 {
        tick += step;
        ticks.push(tick);
    }
    ticks
}

/// A number as short as it can be told: 20000 is 20k.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let text = format!("{scaled:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{Bar, Frame, Line, bars, lines, short, ticks};

    #[test]
    fn ticks_are_round_and_reach_the_greatest() {
        assert_eq!(ticks(97.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(0.0).first(), Some(&0.0));
        for most in [0.003, 1.0, 7.0, 83_000.0, 2.5e7] {
            let ticks = ticks(most);
            assert!(ticks.len() <= 7, "{ticks:?}");
            assert!(ticks.last().is_some_and(|last| *last >= most * 0.999));
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(20_000.0), "20k");
        assert_eq!(short(1_500_000.0), "1.5M");
        assert_eq!(short(0.25), "0.25");
    }

    #[test]
    fn a_bar_is_as_long_as_its_value_says() {
        let bar = |value: f64| Bar {
            name: "a < b".into(),
            value,
            range: (value, value),
            label: String::new(),
            is_ours: true,
        };
        let plot = bars("t", "rows/s", &[bar(50.0), bar(100.0)]);
        assert!(plot.contains("a &lt; b") && !plot.contains("a < b"));
        assert!(plot.contains("width=\"190.0\" height=\"18\""), "{plot}");
        assert!(plot.contains("width=\"380.0\" height=\"18\""), "{plot}");
        assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n"));
        assert!(plot.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn a_line_goes_through_its_points() {
        let frame = Frame {
            title: "t",
            vertical: "ms",
            places: vec!["p50".into(), "p99".into()],
        };
        let line = Line {
            name: "n".into(),
            points: vec![(0.0, 0.0), (1.0, 10.0)],
        };
        let plot = lines(&frame, &[line]);
        assert!(plot.contains("points=\"90.0,350.0 710.0,96.0\""), "{plot}");
    }
}

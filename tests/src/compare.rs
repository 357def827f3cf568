//! Expected rows against found rows, as multisets: every row once, in any order, doubles to nine digits.

use std::cmp::Ordering;

use crate::json::Json;
use crate::source::Value;

/// A row of a destination, without its id.
pub type Row = Vec<Value>;

/// How many differences are shown before the rest is only counted.
const SHOWN: usize = 8;

/// What is wrong with the rows found, in words; empty where nothing is.
#[must_use]
pub fn differences(table: &str, expected: &[Row], found: &[Row]) -> Vec<String> {
    let mut expected: Vec<Line> = expected.iter().map(Line::new).collect();
    let mut found: Vec<Line> = found.iter().map(Line::new).collect();
    expected.sort_by(Line::order);
    found.sort_by(Line::order);
    let mut lines = Vec::new();
    let (mut wanted, mut got) = (expected.iter().peekable(), found.iter().peekable());
    loop {
        let order = match (wanted.peek(), got.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(want), Some(have)) if want.text == have.text && want.is_near(have) => {
                Ordering::Equal
            }
            (Some(want), Some(have)) => want.order(have).then(Ordering::Less),
        };
        if order.is_le() {
            let row = wanted.next();
            if order.is_lt() {
                lines.extend(row.map(|row| format!("{table} lacks     {}", row.shown())));
            }
        }
        if order.is_ge() {
            let row = got.next();
            if order.is_gt() {
                lines.extend(row.map(|row| format!("{table} has extra {}", row.shown())));
            }
        }
    }
    if lines.len() > SHOWN {
        let hidden = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("{table}: {hidden} more differences"));
    }
    if !lines.is_empty() {
        lines.push(format!(
            "{table}: {} rows expected, {} found",
            expected.len(),
            found.len()
        ));
    }
    lines
}

/// A row split into what is compared exactly and what is compared nearly.
struct Line {
    text: String,
    doubles: Vec<f64>,
}

impl Line {
    fn new(row: &Row) -> Self {
        let mut doubles = Vec::new();
        let cells: Vec<String> = row.iter().map(|value| exact(value, &mut doubles)).collect();
        Self {
            text: cells.join(" | "),
            doubles,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        let by_number = || {
            let pairs = self.doubles.iter().zip(&other.doubles);
            pairs
                .map(|(one, two)| one.total_cmp(two))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        self.text.cmp(&other.text).then_with(by_number)
    }

    fn is_near(&self, other: &Self) -> bool {
        self.doubles.len() == other.doubles.len()
            && self
                .doubles
                .iter()
                .zip(&other.doubles)
                .all(|(one, two)| near(*one, *two))
    }

    fn shown(&self) -> String {
        let text: String = self.text.chars().take(600).collect();
        format!("{text} {:?}", self.doubles)
    }
}

fn exact(value: &Value, doubles: &mut Vec<f64>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Decimal(text) => text.clone(),
        Value::Text(text) => format!("{text:?}"),
        Value::Moment(moment) => moment.stored(),
        Value::Json(text) => match Json::parse(text) {
            Ok(json) => json.to_string(),
            Err(error) => format!("no JSON ({error}): {text:?}"),
        },
        Value::Double(number) => {
            doubles.push(*number);
            "~".to_owned()
        }
    }
}

/// Equal to nine significant digits, or both within a billionth of a thousandth of nothing.
fn near(one: f64, two: f64) -> bool {
    one == two || (one - two).abs() <= 1e-9 * one.abs().max(two.abs()).max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::differences;
    use crate::source::Value;

    fn row(name: &str, number: f64) -> Vec<Value> {
        vec![Value::Text(name.to_owned()), Value::Double(number)]
    }

    #[test]
    fn order_and_the_last_digits_do_not_matter() {
        let expected = [row("b", 2.0), row("a", 1.0), row("a", 0.3)];
        let found = [row("a", 0.1 + 0.2), row("a", 1.0 + 1e-12), row("b", 2.0)];
        assert!(differences("T", &expected, &found).is_empty());
    }

    #[test]
    fn a_lost_a_doubled_and_a_changed_row_are_seen() {
        let full = [row("a", 1.0), row("b", 2.0)];
        assert!(!differences("T", &full, &full[..1]).is_empty());
        assert!(!differences("T", &full[..1], &[row("a", 1.0), row("a", 1.0)]).is_empty());
        assert!(!differences("T", &full, &[row("a", 1.0), row("b", 2.001)]).is_empty());
    }

    #[test]
    fn json_is_compared_by_value() {
        let cell = |text: &str| [vec![Value::Json(text.to_owned())]];
        assert!(
            differences(
                "T",
                &cell("{\"a\":1.50,\"b\":null}"),
                &cell("{\"b\": null, \"a\": 15e-1}")
            )
            .is_empty()
        );
        assert!(!differences("T", &cell("9007199254740993"), &cell("9007199254740992")).is_empty());
    }
}

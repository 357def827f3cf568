//! What a target asks for: a comparison and a limit with its unit, as people write them.

use std::fmt;

/// What kind of quantity a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A part of a whole; base: 0 to 1.
    Share,
    /// How long something takes; base: seconds.
    Time,
    /// How large something is; base: bytes.
    Size,
    /// How many; base: one.
    Count,
}

impl Quantity {
    /// What its units look like, for messages.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Share => "a share like \"0.1 %\"",
            Self::Time => "a time like \"500 ms\" or \"1.5 s\"",
            Self::Size => "a size like \"64 MB\"",
            Self::Count => "a number like \"5 count\"",
        }
    }
}

/// A unit of measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// As people write it.
    pub word: &'static str,
    /// What it measures.
    pub quantity: Quantity,
    /// How many of it make `per` of the base unit's: a quotient, because 0.1 / 100 is exact to the last bit, and
    /// 0.1 * 0.01 is not.
    of: f64,
    per: f64,
}

const fn of(word: &'static str, quantity: Quantity, of: f64, per: f64) -> Unit {
    Unit {
        word,
        quantity,
        of,
        per,
    }
}

/// All units.
const UNITS: [Unit; 10] = [
    of("%", Quantity::Share, 1.0, 100.0),
    of("us", Quantity::Time, 1.0, 1_000_000.0),
    of("ms", Quantity::Time, 1.0, 1_000.0),
    of("s", Quantity::Time, 1.0, 1.0),
    of("min", Quantity::Time, 60.0, 1.0),
    of("B", Quantity::Size, 1.0, 1.0),
    of("kB", Quantity::Size, 1_000.0, 1.0),
    of("MB", Quantity::Size, 1_000_000.0, 1.0),
    of("GB", Quantity::Size, 1_000_000_000.0, 1.0),
    of("count", Quantity::Count, 1.0, 1.0),
];

impl Unit {
    /// The unit that a word names.
    ///
    /// # Errors
    /// None does; the text lists those that there are.
    pub fn named(word: &str) -> Result<Self, String> {
        let found = UNITS.iter().find(|unit| unit.word == word);
        found.copied().ok_or_else(|| {
            let words: Vec<_> = UNITS.iter().map(|unit| unit.word).collect();
            format!(
                "there is no unit {word:?}; the units are {}",
                words.join(", ")
            )
        })
    }

    /// A number of this unit in the base unit.
    #[must_use]
    pub fn base(self, number: f64) -> f64 {
        number * self.of / self.per
    }

    /// A number of the base unit in this one.
    #[must_use]
    pub fn from_base(self, value: f64) -> f64 {
        value * self.per / self.of
    }
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// The number, as it was written.
    number: String,
    /// The unit that it is written in.
    pub unit: Unit,
    /// It in the base unit.
    pub base: f64,
}

impl Amount {
    /// Reads `0.1 %`, `500 ms`, `1.5s`.
    ///
    /// # Errors
    /// It is no number, is negative, or has no unit that is known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text
            .find(|character: char| !matches!(character, '0'..='9' | '.' | '-' | '+'))
            .unwrap_or(text.len());
        let (number, word) = (text[..end].trim(), text[end..].trim());
        let value: f64 = number
            .parse()
            .map_err(|_| format!("{text:?} is no number with a unit, like \"500 ms\""))?;
        if word.is_empty() {
            return Err(format!(
                "{text:?} has no unit: write it, as in \"500 ms\", \"1.5 s\", \"0.1 %\", \"64 MB\" or \"5 count\""
            ));
        }
        if value.is_sign_negative() {
            return Err(format!("{text:?} is negative"));
        }
        let unit = Unit::named(word)?;
        Ok(Self {
            number: number.to_owned(),
            unit,
            base: unit.base(value),
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.number, self.unit.word)
    }
}

/// Which side of the amount is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Less than it.
    Below,
    /// More than it.
    Above,
}

/// What a value should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Which side of the amount is right.
    pub comparison: Comparison,
    /// The amount, which itself is on the wrong side.
    pub amount: Amount,
}

impl Limit {
    /// Whether a value, in the base unit, is on the right side.
    #[must_use]
    pub fn is_met(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Below => value < self.amount.base,
            Comparison::Above => value > self.amount.base,
        }
    }

    /// The worse of two values.
    #[must_use]
    pub fn worse(&self, one: f64, other: f64) -> f64 {
        match self.comparison {
            Comparison::Below => one.max(other),
            Comparison::Above => one.min(other),
        }
    }

    /// A value, in the base unit, as people read it, in the limit's unit: three digits, or all before the point.
    #[must_use]
    pub fn show(&self, value: f64) -> String {
        show(value, self.amount.unit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Below => '<',
            Comparison::Above => '>',
        };
        write!(formatter, "{sign} {}", self.amount)
    }
}

/// A value, in the base unit, as people read it.
#[must_use]
pub fn show(value: f64, unit: Unit) -> String {
    let value = unit.from_base(value);
    let decimals = match value.abs() {
        size if size == 0.0 || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text} {}", unit.word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(text: &str) -> Limit {
        Limit {
            comparison: Comparison::Below,
            amount: Amount::parse(text).expect("an amount"),
        }
    }

    #[test]
    fn amounts_are_read_into_base_units() {
        for (text, base) in [
            ("0.1 %", 0.001),
            ("500 ms", 0.5),
            ("1.5 s", 1.5),
            ("1.5s", 1.5),
            ("85 %", 0.85),
            ("2 min", 120.0),
            ("64 MB", 64e6),
            ("5 count", 5.0),
        ] {
            let amount = Amount::parse(text).expect(text);
            assert!((amount.base - base).abs() < f64::EPSILON, "{amount:?}");
        }
        assert_eq!(below("0.1%").to_string(), "< 0.1 %");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for (text, word) in [
            ("500", "no unit"),
            ("", "no number"),
            ("ms", "no number"),
            ("5 parsecs", "no unit \"parsecs\""),
            ("-1 s", "negative"),
            ("1.2.3 s", "no number"),
            ("NaN s", "no number"),
        ] {
            let error = Amount::parse(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    /// The limit itself is on the wrong side: `< 500 ms` is what is asked for.
    #[test]
    fn the_limit_itself_is_a_miss() {
        let limit = below("0.1 %");
        assert!(limit.is_met(0.000_999) && !limit.is_met(0.001));
        let above = Limit {
            comparison: Comparison::Above,
            ..below("85 %")
        };
        assert!(above.is_met(0.851) && !above.is_met(0.85));
        assert!(!limit.is_met(f64::NAN) && !above.is_met(f64::NAN));
        assert!((above.worse(0.9, 0.1) - 0.1).abs() < f64::EPSILON);
    }

    #[test]
    fn values_are_shown_in_the_limits_unit() {
        assert_eq!(below("500 ms").show(0.0123), "12.3 ms");
        assert_eq!(below("500 ms").show(1.2345), "1234 ms");
        assert_eq!(below("0.1 %").show(0.0), "0 %");
        assert_eq!(below("0.1 %").show(0.000_512), "0.0512 %");
        assert_eq!(below("1 count").show(100.0), "100 count");
    }
}

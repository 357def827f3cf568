//! A strict JSON reader that keeps numbers exactly, so that 2^53 + 1 is not 2^53 and 1.50 is 1.5.
//!
//! Written by hand on purpose: the worker reads JSON with a library, and this is its check.
//! Of a key that occurs twice, the last value counts, as in PostgreSQL's `jsonb`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number in one canonical spelling: sign, digits without zeros at either end, and a power of ten.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

/// Deeper nesting than this is refused.
const DEPTH: usize = 1000;

impl Json {
    /// Reads a text that is one JSON value and nothing else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (value, used) = Self::parse_prefix(text)?;
        match text[used..].trim_matches([' ', '\t', '\n', '\r']) {
            "" => Ok(value),
            rest => Err(format!("{} bytes follow the value", rest.len())),
        }
    }

    /// Reads the JSON value that a text starts with, and returns how many bytes it took.
    pub fn parse_prefix(text: &str) -> Result<(Self, usize), String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        Ok((value, reader.at))
    }

    /// A number as JSON spells it.
    pub fn number(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            number @ Self::Number(_) => Ok(number),
            other => Err(format!("{other} is no number")),
        }
    }

    /// A field of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.get(key),
            _ => None,
        }
    }
}

impl Display for Json {
    /// One canonical spelling, so that equal values are equal texts.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Number(text) => out.write_str(text),
            Self::Text(text) => write_text(out, text),
            Self::Array(items) => {
                out.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                out.write_char(']')
            }
            Self::Object(fields) => {
                out.write_char('{')?;
                for (index, (key, value)) in fields.iter().enumerate() {
                    out.write_str(if index == 0 { "" } else { "," })?;
                    write_text(out, key)?;
                    write!(out, ":{value}")?;
                }
                out.write_char('}')
            }
        }
    }
}

/// A text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    Json::Text(text.to_owned()).to_string()
}

fn write_text(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} at byte {}", self.at))
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(expected.as_bytes());
        if found {
            self.at += expected.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH {
            return self.fail("nesting too deep");
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.digits(),
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ => self.fail("no value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut fields = BTreeMap::new();
        self.at += 1;
        self.space();
        if self.take("}") {
            return Ok(Json::Object(fields));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.fail("no key");
            }
            let key = self.string()?;
            self.space();
            if !self.take(":") {
                return self.fail("no colon");
            }
            fields.insert(key, self.value(depth + 1)?);
            self.space();
            if self.take("}") {
                return Ok(Json::Object(fields));
            }
            if !self.take(",") {
                return self.fail("no comma");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.take("]") {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(Json::Array(items));
            }
            if !self.take(",") {
                return self.fail("no comma");
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let mut result = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
            let Some(plain) = rest.bytes().position(is_special) else {
                return self.fail("an open string");
            };
            result.push_str(&rest[..plain]);
            self.at += plain + 1;
            match rest.as_bytes()[plain] {
                b'"' => return Ok(result),
                b'\\' => result.push(self.escape()?),
                _ => return self.fail("a bare control character"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let code = self.peek();
        self.at += 1;
        Ok(match code {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut unit = self.hex()?;
                if (0xD800..0xDC00).contains(&unit) && self.take("\\u") {
                    let low = self.hex()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return self.fail("half a surrogate pair");
                    }
                    unit = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                }
                let Some(character) = char::from_u32(unit) else {
                    return self.fail("a lone surrogate");
                };
                character
            }
            _ => return self.fail("an unknown escape"),
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let Some(text) = self.text.get(self.at..self.at + 4) else {
            return self.fail("a cut escape");
        };
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.fail("no hexadecimal digit");
        }
        self.at += 4;
        u32::from_str_radix(text, 16).map_err(|error| error.to_string())
    }

    fn run_of_digits(&mut self) -> Result<&str, String> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if start == self.at {
            self.fail("no digit")
        } else {
            Ok(&self.text[start..self.at])
        }
    }

    fn digits(&mut self) -> Result<Json, String> {
        let negative = self.take("-");
        let whole = self.run_of_digits()?.to_owned();
        if whole.len() > 1 && whole.starts_with('0') {
            return self.fail("a leading zero");
        }
        let part = if self.take(".") {
            self.run_of_digits()?.to_owned()
        } else {
            String::new()
        };
        let mut power = 0;
        if self.take("e") || self.take("E") {
            let down = self.take("-");
            if !down {
                self.take("+");
            }
            let text = self.run_of_digits()?;
            let size: i64 = text
                .parse()
                .map_err(|_| format!("an exponent of {} digits", text.len()))?;
            power = if down { -size } else { size };
        }
        Ok(Json::Number(canonical(negative, &whole, &part, power)))
    }
}

fn canonical(negative: bool, whole: &str, part: &str, power: i64) -> String {
    let all = format!("{whole}{part}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let dropped = all.len() - all.trim_end_matches('0').len();
    let shift = i64::try_from(dropped).expect("a length fits")
        - i64::try_from(part.len()).expect("a length fits");
    format!(
        "{}{significant}e{}",
        if negative { "-" } else { "" },
        power + shift
    )
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn numbers_are_equal_when_their_values_are() {
        for (one, other) in [
            ("1.50", "1.5"),
            ("100", "1e2"),
            ("0.001500", "15e-4"),
            ("-0.0", "0"),
            ("1E+3", "1000"),
        ] {
            assert_eq!(Json::parse(one), Json::parse(other), "{one} and {other}");
        }
        assert_ne!(
            Json::parse("9007199254740993"),
            Json::parse("9007199254740992")
        );
    }

    #[test]
    fn strings_are_unescaped_and_the_last_key_counts() {
        let value = Json::parse(r#" {"a":1,"\u0061":["\ud83d\ude80\n", true, null, {}]} "#);
        assert_eq!(
            value.expect("is JSON").to_string(),
            "{\"a\":[\"🚀\\u000a\",true,null,{}]}"
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            ".5",
            "+1",
            "nul",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\n\"",
            "{} {}",
            "NaN",
            "'a'",
            "{a:1}",
        ] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}

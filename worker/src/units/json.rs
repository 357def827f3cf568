//! What PostgreSQL refuses in a JSON document, found in the document's text, so that both databases are given the same.

use serde_json::value::RawValue;

use crate::source::HAS_NUL;

/// How many digits PostgreSQL's `numeric`, of which JSONB numbers are made, holds behind the point.
const MAX_SCALE: i64 = 16_383;
/// Decimal exponents and numbers of digits beyond this fit no column.
const MAX_EXPONENT: i64 = 16_000;

/// What a valid JSON string stands for, where none of it is escaped.
pub(super) fn plain(json: &str) -> Option<&str> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

/// A text as JSON; null where there is none.
pub(super) fn quoted(text: Option<&str>) -> String {
    let Some(text) = text else {
        return "null".into();
    };
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if !text.bytes().all(is_plain) {
        return serde_json::json!(text).to_string();
    }
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    json.push_str(text);
    json.push('"');
    json
}

/// What is wrong with a JSON document, if anything.
pub(super) fn fault(json: &str) -> Option<&'static str> {
    if serde_json::from_str::<&RawValue>(json).is_err() {
        return Some("a JSON document is not valid");
    }
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => match text(rest) {
                Ok(length) => length,
                Err(reason) => return Some(reason),
            },
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
                let length = rest.bytes().take_while(|byte| is_part(*byte)).count();
                if !fits(&rest[..length]) {
                    return Some("a number does not fit the column");
                }
                length
            }
            _ => 1,
        };
        rest = &rest[length..];
    }
    None
}

/// How long the string is that a valid text begins with; its fault where an escape in it stands for nothing that can be
/// stored.
fn text(json: &str) -> Result<usize, &'static str> {
    let bytes = json.as_bytes();
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 1;
    while bytes[at] != b'"' {
        at += match (bytes[at], unit(at)) {
            (b'\\', Some(0)) => return Err(HAS_NUL),
            (b'\\', Some(0xd800..0xdc00)) => match unit(at + 6) {
                Some(0xdc00..0xe000) => 12,
                _ => return Err("a text is not Unicode"),
            },
            (b'\\', Some(0xdc00..0xe000)) => return Err("a text is not Unicode"),
            (b'\\', Some(_)) => 6,
            (b'\\', None) => 2,
            _ => 1,
        };
    }
    Ok(at + 1)
}

/// Whether a JSON number can be stored.
pub(super) fn fits(number: &str) -> bool {
    let is_number = number.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(number).is_ok();
    if !is_number || length(number) > MAX_EXPONENT {
        return false;
    }
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (number, Some(0)),
    };
    let scale = mantissa
        .split_once('.')
        .map_or(0, |(_, digits)| length(digits));
    exponent.is_some_and(|exponent| exponent.abs() <= MAX_EXPONENT && scale - exponent <= MAX_SCALE)
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{fault, fits};

    /// As PostgreSQL 15 answers to `SELECT '…'::jsonb`.
    #[test]
    fn numbers_fit_where_postgresql_takes_them() {
        let tiny = |digits: usize, exponent: i32| format!("0.{}e{exponent}", "1".repeat(digits));
        for number in [
            "0",
            "-0.0",
            "1e400",
            "1E-30",
            "1e16000",
            &tiny(383, -16_000),
        ] {
            assert!(fits(number), "{number}");
        }
        for number in [
            "null",
            "NaN",
            "\"s\"",
            "{}",
            "1e16001",
            "1e-16400",
            &tiny(384, -16_000),
        ] {
            assert!(!fits(number), "{number}");
        }
    }

    #[test]
    fn documents_are_taken_where_postgresql_takes_them() {
        for json in [
            "null",
            r#"{"a":[1,-2.5e3,"\\u0000","\ud83d\ude80","\\\\\"é"],"":{}}"#,
            r#""\ufffd""#,
        ] {
            assert_eq!(fault(json), None, "{json}");
        }
        for json in [
            "",
            "{a:1}",
            r#"{"a":"\u0000"}"#,
            r#"{"\u0000":1}"#,
            r#"["\ud800"]"#,
            r#"["\ud83dx"]"#,
            r#"["\ude80"]"#,
            r#"{"a":1e99999}"#,
        ] {
            assert!(fault(json).is_some(), "{json}");
        }
    }
}

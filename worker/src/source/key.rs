//! Keys of source rows, as cursors and ranges hold them: whatever SQLite lets a key be, a pass goes on behind it.

use sea_orm::{DbErr, QueryResult, Value};

use super::NOT_TEXT;
use super::text::{HAS_NUL, TOO_LARGE};
use crate::backend;
use crate::unit::MAX_VALUE_BYTES;

/// How a key that is no Unicode text begins in a cursor; in front of its bytes in hexadecimal.
const RAW_TEXT: &str = "hex-text:";
/// The same for bytes, which SQLite sorts behind all texts.
const RAW_BYTES: &str = "hex-bytes:";

/// A source row's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its spelling in a cursor, from which [`bound`] makes the value again.
    pub cursor: String,
    /// It as text; why its row is bad where it cannot be one that is written.
    pub text: Result<String, &'static str>,
    /// Its spelling for people, and in quarantine.
    pub shown: String,
}

impl Key {
    /// The key that a cursor spells, where it is a text.
    #[must_use]
    pub fn from_cursor(spelling: &str) -> Self {
        let bytes = spelling.strip_prefix(RAW_TEXT).and_then(bytes);
        match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => text_key(text),
            None => text_key(spelling.to_owned()),
        }
    }
}

/// Reads a key.
///
/// # Errors
/// The row has no such column, or one that is neither text nor bytes.
pub fn key(row: &QueryResult, column: &str) -> Result<Key, DbErr> {
    match row.try_get::<String>("", column) {
        Ok(text) => Ok(text_key(text)),
        Err(error) => {
            let bytes: Vec<u8> = row.try_get("", column).map_err(|_| error)?;
            let prefix = match backend::is_blob(row, column) {
                true => RAW_BYTES,
                false => RAW_TEXT,
            };
            Ok(Key {
                cursor: format!("{prefix}{}", hexadecimal(&bytes)),
                text: Err(NOT_TEXT),
                shown: format!("hex:{}", hexadecimal(&bytes)),
            })
        }
    }
}

fn text_key(text: String) -> Key {
    // So that no text is taken for the spelling of another key.
    let is_like_raw = text.starts_with(RAW_TEXT) || text.starts_with(RAW_BYTES);
    Key {
        cursor: match is_like_raw {
            true => format!("{RAW_TEXT}{}", hexadecimal(text.as_bytes())),
            false => text.clone(),
        },
        shown: text.clone(),
        text: match text {
            text if text.contains('\0') => Err(HAS_NUL),
            text if text.len() > MAX_VALUE_BYTES => Err(TOO_LARGE),
            text => Ok(text),
        },
    }
}

/// The value to bind for a cursor's spelling, and what stands around its placeholder.
pub(super) fn bound(spelling: &str) -> (Value, fn(String) -> String) {
    if let Some(bytes) = spelling.strip_prefix(RAW_TEXT).and_then(bytes) {
        return match String::from_utf8(bytes) {
            Ok(text) => (text.into(), |place| place),
            Err(error) => (error.into_bytes().into(), |place| {
                format!("CAST({place} AS TEXT)")
            }),
        };
    }
    match spelling.strip_prefix(RAW_BYTES).and_then(bytes) {
        Some(bytes) => (bytes.into(), |place| place),
        None => (spelling.into(), |place| place),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    match digits.len() % 2 {
        0 => digits.chunks(2).map(pair).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Value;

    use super::{Key, bound, text_key};

    #[test]
    fn a_text_comes_back_from_its_cursor() {
        for text in ["", "c1", "hex-text:FF", "hex-bytes:", "hex-bytes:zz", "é"] {
            let cursor = text_key(text.to_owned()).cursor;
            assert_eq!(bound(&cursor).0, Value::from(text), "{text}");
            assert_eq!(Key::from_cursor(&cursor).shown, text);
        }
    }

    #[test]
    fn bytes_are_bound_as_what_they_were() {
        let (value, around) = bound("hex-text:C328");
        assert_eq!(value, Value::from(vec![0xc3_u8, 0x28]));
        assert_eq!(around("$1".into()), "CAST($1 AS TEXT)");
        let (value, around) = bound("hex-bytes:C328");
        assert_eq!(value, Value::from(vec![0xc3_u8, 0x28]));
        assert_eq!(around("$1".into()), "$1");
    }
}

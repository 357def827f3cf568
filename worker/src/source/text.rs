//! Texts that are carried over: selected with their size in mind, read with suspicion.

use sea_orm::{DbErr, QueryResult};

use crate::backend::Dialect;
use crate::unit::MAX_VALUE_BYTES;

/// Why a value that SQLite holds in a text column is bad: bytes, or a text whose bytes are no UTF-8.
pub const NOT_TEXT: &str = "a value is not UTF-8 text";
/// Why a text is bad that PostgreSQL could not hold.
pub const HAS_NUL: &str = "a text contains a NUL character";
/// Why a value is bad that is larger than any that makes sense.
pub const TOO_LARGE: &str = "a value is over 1 MiB";
/// Why a row is bad that lacks a text.
const MISSING: &str = "a required value is missing";

/// The column that tells whether one of a query's [`Texts`] is too large.
const LARGE: &str = "large";

/// A value of a text column that is carried over; its fault where it is no text. SQLite lets any column hold bytes, and
/// a text hold any.
///
/// # Errors
/// The row has no such column, or one of another type.
pub fn text(
    row: &QueryResult,
    column: &str,
) -> Result<Result<Option<String>, &'static str>, DbErr> {
    match row.try_get::<Option<String>>("", column) {
        Ok(Some(text)) if text.contains('\0') => Ok(Err(HAS_NUL)),
        Ok(text) => Ok(Ok(text)),
        // Bytes are read from a text column of SQLite's alone.
        Err(error) => match row.try_get::<Vec<u8>>("", column) {
            Ok(_) => Ok(Err(NOT_TEXT)),
            Err(_) => Err(error),
        },
    }
}

/// The same for a text that must be there.
///
/// # Errors
/// The row has no such column, or one of another type.
pub fn required(row: &QueryResult, column: &str) -> Result<Result<String, &'static str>, DbErr> {
    Ok(text(row, column)?.and_then(|text| text.ok_or(MISSING)))
}

/// Expressions for texts, each with the column that it is selected as.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a>(pub &'a [(&'a str, &'a str)]);

impl Texts<'_> {
    /// What to select: each text unless it is too large, and whether one is.
    #[must_use]
    pub fn select(&self, dialect: Dialect) -> String {
        let mut columns: Vec<_> = (self.0.iter())
            .map(|(text, name)| {
                let bytes = dialect.bytes(text);
                format!("CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {text} END AS \"{name}\"")
            })
            .collect();
        let sizes: Vec<_> = (self.0.iter())
            .map(|(text, _)| format!("COALESCE({}, 0) > {MAX_VALUE_BYTES}", dialect.bytes(text)))
            .collect();
        columns.push(format!("({}) AS \"{LARGE}\"", sizes.join(" OR ")));
        columns.join(", ")
    }

    /// An expression for the bytes that they bring.
    #[must_use]
    pub fn weight(&self, dialect: Dialect) -> String {
        let weights: Vec<_> = (self.0.iter())
            .map(|(text, _)| dialect.weight(text, MAX_VALUE_BYTES))
            .collect();
        weights.join(" + ")
    }

    /// What is wrong with one of a row's texts, if anything.
    ///
    /// # Errors
    /// The row lacks a column.
    pub fn fault(&self, row: &QueryResult) -> Result<Option<&'static str>, DbErr> {
        if row.try_get::<bool>("", LARGE)? {
            return Ok(Some(TOO_LARGE));
        }
        for (_, name) in self.0 {
            if let Err(reason) = text(row, name)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }
}

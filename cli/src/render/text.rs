//! Words and numbers that several answers share.

use std::fmt::Write;

use worker::report::number;

/// How much of a run's id is shown in a table: the instant in it to the millisecond, and enough for `--run`.
const SHORT: usize = 13;

/// The beginning of a run's id.
pub(crate) fn short(run: &str) -> &str {
    run.get(..SHORT).unwrap_or(run)
}

/// Text on one line, every run of white space one space, control characters spelled out: what comes out of a database
/// must neither break a table nor speak to the terminal.
pub(crate) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            if character.is_control() {
                let _ = write!(line, "{}", character.escape_default());
            } else {
                line.push(character);
            }
        }
    }
    line
}

/// A count and what is counted: `1 row`, `2,000 rows`.
pub(crate) fn count(count: i64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(count))
}

/// A length as a number that can be shown.
pub(crate) fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_speak_to_the_terminal() {
        assert_eq!(line("a\n b\tc"), "a b c");
        assert_eq!(line("\u{1b}[2Jkey\u{7}"), "\\u{1b}[2Jkey\\u{7}");
        assert_eq!(line("schlüssel"), "schlüssel");
    }

    #[test]
    fn counts_have_their_number() {
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(2_000, "row"), "2,000 rows");
    }

    #[test]
    fn ids_are_shortened_if_they_are_long() {
        assert_eq!(
            short("0199f3a2-7c41-7d2e-8000-000000000000"),
            "0199f3a2-7c41"
        );
        assert_eq!(short("0199"), "0199");
    }
}

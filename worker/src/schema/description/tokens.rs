//! The words of SQL as our own statements use it.

use crate::error::{Error, Result};

/// A word of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A quoted identifier, without its quotes.
    Name(&'a str),
    /// A word or a number.
    Word(&'a str),
    /// A text with its quotes, or a function's body with its dollars.
    Text(&'a str),
    /// A sign.
    Sign(char),
}

/// The statements of a script, each as its tokens and its text, without comments before it.
///
/// # Errors
/// [`Error::Usage`]: a quote has no end, or an identifier holds a quote.
pub(super) fn statements(script: &str) -> Result<Vec<Vec<(Token<'_>, &str)>>> {
    let mut statements = Vec::new();
    let mut statement = Vec::new();
    let mut rest = script;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            break;
        };
        if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let length = length(rest, first)?;
        let text = &rest[..length];
        rest = &rest[length..];
        let token = match first {
            ';' if is_within_body(&statement) => Token::Sign(';'),
            ';' => {
                if !statement.is_empty() {
                    statements.push(std::mem::take(&mut statement));
                }
                continue;
            }
            '"' => Token::Name(&text[1..length - 1]),
            '\'' | '$' => Token::Text(text),
            _ if is_word(first) => Token::Word(text),
            sign => Token::Sign(sign),
        };
        statement.push((token, text));
    }
    if !statement.is_empty() {
        statements.push(statement);
    }
    Ok(statements)
}

/// Whether a statement is a trigger whose body, with statements of its own, has begun and not ended.
fn is_within_body(statement: &[(Token<'_>, &str)]) -> bool {
    let is = |token: &Token<'_>, word: &str| *token == Token::Word(word);
    let mut words = statement.iter().map(|(token, _)| token);
    let is_trigger = words.next().is_some_and(|first| is(first, "CREATE"))
        && words.next().is_some_and(|second| is(second, "TRIGGER"));
    is_trigger
        && words.any(|token| is(token, "BEGIN"))
        && !statement.last().is_some_and(|(token, _)| is(token, "END"))
}

/// How many bytes the first token takes.
fn length(rest: &str, first: char) -> Result<usize> {
    let inside = |from: usize, end: &str| {
        let found = rest[from..].find(end);
        found.map(|place| from + place + end.len()).ok_or_else(|| {
            Error::Usage(format!(
                "a statement of the plan's schema has no end of a quote: {}",
                rest.chars().take(40).collect::<String>()
            ))
        })
    };
    match first {
        '"' => inside(1, "\""),
        '\'' => {
            // A quote that stands twice is one of the text.
            let mut end = inside(1, "'")?;
            while rest[end..].starts_with('\'') {
                end = inside(end + 1, "'")?;
            }
            Ok(end)
        }
        '$' if rest.starts_with("$$") => inside(2, "$$"),
        _ if is_word(first) => Ok(rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())),
        sign => Ok(sign.len_utf8()),
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_what_they_hold() {
        let script = "-- first; 'not'\nA \"b;c\" 'it''s; so' $$ x; $$ (1.5);\n ; B";
        let found = statements(script).expect("words");
        let tokens = |index: usize| -> Vec<Token<'_>> {
            found[index].iter().map(|(token, _)| *token).collect()
        };
        assert_eq!(found.len(), 2);
        assert_eq!(
            tokens(0),
            [
                Token::Word("A"),
                Token::Name("b;c"),
                Token::Text("'it''s; so'"),
                Token::Text("$$ x; $$"),
                Token::Sign('('),
                Token::Word("1.5"),
                Token::Sign(')'),
            ]
        );
        assert_eq!(tokens(1), [Token::Word("B")]);
        assert!(statements("A 'open").is_err());
        let trigger = statements("CREATE TRIGGER \"t\" BEGIN A; B; END; C");
        assert_eq!(trigger.expect("words").len(), 2);
    }
}

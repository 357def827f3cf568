//! Reads a statement word by word.

use super::tokens::Token;
use crate::backend::Dialect;

/// What was expected and is not there.
pub(super) type Result<T> = std::result::Result<T, String>;

/// Reads a statement's tokens one after the other.
pub(super) struct Reader<'a, 't> {
    pub(super) dialect: Dialect,
    pub(super) tokens: &'a [(Token<'t>, &'t str)],
}

impl<'t> Reader<'_, 't> {
    pub(super) fn next(&mut self) -> Result<(Token<'t>, &'t str)> {
        let (first, rest) = self
            .tokens
            .split_first()
            .ok_or_else(|| String::from("it ends too early"))?;
        self.tokens = rest;
        Ok(*first)
    }

    pub(super) fn word(&mut self) -> Result<&'t str> {
        match self.next()? {
            (Token::Word(word), _) => Ok(word),
            (_, text) => Err(format!("{text} is no word")),
        }
    }

    pub(super) fn name(&mut self) -> Result<String> {
        match self.next()? {
            (Token::Name(name), _) => Ok(name.to_owned()),
            (_, text) => Err(format!("{text} is no name in quotes")),
        }
    }

    /// Names in parentheses.
    pub(super) fn names(&mut self) -> Result<Vec<String>> {
        self.sign('(')?;
        let mut names = vec![self.name()?];
        while self.takes_sign(',') {
            names.push(self.name()?);
        }
        self.sign(')')?;
        Ok(names)
    }

    pub(super) fn sign(&mut self, sign: char) -> Result<()> {
        match self.takes_sign(sign) {
            true => Ok(()),
            false => Err(format!("{sign} is missing")),
        }
    }

    pub(super) fn takes_sign(&mut self, sign: char) -> bool {
        let is_next = matches!(self.tokens.first(), Some((Token::Sign(next), _)) if *next == sign);
        if is_next {
            self.tokens = &self.tokens[1..];
        }
        is_next
    }

    /// Takes these words, all or none.
    pub(super) fn takes(&mut self, words: &[&str]) -> bool {
        let is_next = self.tokens.len() >= words.len()
            && words.iter().zip(self.tokens).all(|(word, (token, _))| {
                matches!(token, Token::Word(next) if next.eq_ignore_ascii_case(word))
            });
        if is_next {
            self.tokens = &self.tokens[words.len()..];
        }
        is_next
    }

    /// What stands in parentheses, with them.
    pub(super) fn in_parentheses(&mut self) -> Result<String> {
        let mut depth = 0;
        let mut parts = Vec::new();
        loop {
            let (token, text) = self.next()?;
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth -= 1,
                _ => {}
            }
            parts.push((token, text));
            if depth == 0 {
                return Ok(joined(&parts));
            }
        }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> String {
        let rest = joined(self.tokens);
        self.tokens = &[];
        rest
    }
}

/// Tokens as text: a blank between words, none around signs, but for one behind a comma.
fn joined(tokens: &[(Token<'_>, &str)]) -> String {
    let mut text = String::new();
    let mut was_sign = true;
    for (token, part) in tokens {
        let is_sign = matches!(token, Token::Sign(_));
        if !is_sign && !was_sign {
            text.push(' ');
        }
        text.push_str(part);
        if *token == Token::Sign(',') {
            text.push(' ');
        }
        was_sign = is_sign;
    }
    text
}

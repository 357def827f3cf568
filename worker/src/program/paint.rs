//! Lines of a terminal as pieces of text with a look: pure, so that what is shown can be tested without one.

use unicode_width::UnicodeWidthChar;

/// How a piece looks, where colours are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// As all text.
    #[default]
    Plain,
    /// Of less interest.
    Dim,
    /// Done.
    Good,
    /// Somebody may want to know.
    Warn,
    /// Somebody should do something.
    Bad,
}

impl Look {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// Text of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// Its look.
    pub look: Look,
}

/// A line: its pieces from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<Piece>);

impl Line {
    /// A line of one piece.
    #[must_use]
    pub fn new(text: impl Into<String>, look: Look) -> Self {
        Self::default().and(text, look)
    }

    /// The same with another piece behind.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>, look: Look) -> Self {
        let text = text.into();
        self.0.push(Piece { text, look });
        self
    }

    /// How many columns it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.iter().map(|piece| width(&piece.text)).sum()
    }

    /// As it is sent to a terminal: no wider than so many columns, what is too long ends with `…`, and nothing in it speaks
    /// to the terminal but the colours.
    #[must_use]
    pub fn paint(&self, columns: usize, colours: Colours) -> String {
        let is_cut = self.width() > columns;
        let mut left = columns.saturating_sub(usize::from(is_cut));
        let mut painted = String::new();
        for piece in &self.0 {
            let mut text = String::new();
            for character in piece.text.chars().filter(|it| !it.is_control()) {
                let columns = character.width().unwrap_or(0);
                if columns > left {
                    left = 0;
                    break;
                }
                left -= columns;
                text.push(character);
            }
            match piece.look.code().filter(|_| colours == Colours::Some) {
                Some(code) if !text.is_empty() => {
                    painted.push_str(&format!("\u{1b}[{code}m{text}\u{1b}[0m"));
                }
                _ => painted.push_str(&text),
            }
            if left == 0 {
                break;
            }
        }
        if is_cut && columns > 0 {
            painted.push('…');
        }
        painted
    }
}

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// They are.
    Some,
    /// They are not: NO_COLOR, CLICOLOR=0, a terminal without.
    None,
}

/// How many columns a text takes; control characters take none, as they are left out.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(|it| it.width().unwrap_or(0)).sum()
}

/// Pads a text to so many columns, to the left or to the right of it.
#[must_use]
pub fn pad(text: &str, columns: usize, side: Side) -> String {
    let blank = " ".repeat(columns.saturating_sub(width(text)));
    match side {
        Side::Left => format!("{blank}{text}"),
        Side::Right => format!("{text}{blank}"),
    }
}

/// Where blanks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the text: a number.
    Left,
    /// Behind it: a name.
    Right,
}

/// A bar of so many columns for a share, `done` of `total`; more than all is all.
#[must_use]
pub fn bar(done: i64, total: i64, columns: usize) -> Line {
    let all = i128::from(total.max(done).max(1));
    let wide = i128::try_from(columns).unwrap_or(0);
    let full = usize::try_from(i128::from(done.max(0)) * wide / all).unwrap_or(0);
    Line::new("█".repeat(full), Look::Good).and("░".repeat(columns - full.min(columns)), Look::Dim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let line = Line::new("広告キャンペーン", Look::Plain).and(" 50 %", Look::Good);
        assert_eq!(line.width(), 21);
        assert_eq!(line.paint(21, Colours::None), "広告キャンペーン 50 %");
        assert_eq!(line.paint(6, Colours::None), "広告…");
        assert_eq!(line.paint(5, Colours::None), "広告…");
        assert_eq!(line.paint(2, Colours::None), "…");
        assert_eq!(line.paint(0, Colours::None), "");
        let painted = line.paint(19, Colours::Some);
        assert_eq!(painted, "広告キャンペーン\u{1b}[32m 5\u{1b}[0m…");
    }

    #[test]
    fn nothing_speaks_to_the_terminal() {
        let line = Line::new("a\u{1b}[2Jb\n\u{9b}c", Look::Warn);
        assert_eq!(line.paint(20, Colours::None), "a[2Jbc");
    }

    #[test]
    fn bars_are_full_when_all_is_done() {
        let shown = |done, total| bar(done, total, 4).paint(4, Colours::None);
        assert_eq!(shown(0, 0), "░░░░");
        assert_eq!(shown(1, 2), "██░░");
        assert_eq!(shown(7, 2), "████");
        assert_eq!(shown(i64::MAX, i64::MAX), "████");
        assert_eq!(shown(-1, 5), "░░░░");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_its_terminal(texts in prop::collection::vec("\\PC{0,20}", 0..4), columns in 0..60_usize) {
            let line = Line(texts.into_iter().map(|text| Piece { text, look: Look::Plain }).collect());
            prop_assert!(width(&line.paint(columns, Colours::None)) <= columns);
        }
    }
}

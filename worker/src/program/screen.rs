//! A block of lines at the bottom of the terminal, redrawn in place. All that goes to standard error passes through here, so
//! that a line of the log stands above the block and never in its midst.
//!
//! Own code rather than a library's bars: the block is made of finished lines, of which only the place must be kept, and what
//! other libraries add (styles, tickers, threads of their own) would have to be kept from drawing.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::paint::{Colours, Line};

/// Where a terminal does not say how large it is.
const SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Not at all.
    Nothing,
    /// A line now and then.
    #[default]
    Lines,
    /// A block that is redrawn in place.
    Block,
}

impl Way {
    /// What standard error is good for.
    pub(super) fn of_stderr() -> Self {
        let is_able =
            std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        match std::io::stderr().is_terminal() && is_able {
            true => Self::Block,
            false => Self::Lines,
        }
    }
}

/// A terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its width.
    pub columns: usize,
    /// Its height.
    pub rows: usize,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen {
    way: Way::Lines,
    block: Block {
        lines: Vec::new(),
        drawn: Vec::new(),
    },
});

struct Screen {
    way: Way,
    block: Block,
}

/// Says how progress is shown from here on.
pub(super) fn set(way: Way) {
    screen().way = way;
}

/// How progress is shown.
#[must_use]
pub fn way() -> Way {
    screen().way
}

/// Whether standard error takes colours: NO_COLOR, CLICOLOR and TERM are asked.
#[must_use]
pub fn has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// How large the terminal is now.
#[must_use]
pub fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let of = |told: Option<u16>, usual| told.filter(|told| *told > 0).map_or(usual, usize::from);
    Size {
        columns: of(told.map(|told| told.ws_col), SIZE.columns),
        rows: of(told.map(|told| told.ws_row), SIZE.rows),
    }
}

/// Shows these lines in place of those before; nothing where nothing is redrawn.
pub fn show(lines: Vec<Line>) {
    let mut screen = screen();
    if screen.way == Way::Block {
        screen.block.lines = lines;
        let text = screen.block.redraw("", size(), colours());
        send(&text);
    }
}

/// Ends the block: what was drawn last stays where it is.
pub fn leave() {
    screen().block = Block::default();
}

/// Ends the block: it makes room for the result.
pub fn clear() {
    show(Vec::new());
    leave();
}

/// Standard error, above the block.
#[derive(Clone, Copy, Debug)]
pub struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut screen = screen();
        if screen.block.drawn.is_empty() {
            return std::io::stderr().lock().write(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        let text = screen.block.redraw(&text, size(), colours());
        send(&text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn colours() -> Colours {
    match has_colour() {
        true => Colours::Some,
        false => Colours::None,
    }
}

/// At once, so that no half of it is seen. That nobody can read it is no reason to stop.
fn send(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
}

/// What is shown, and what stands on the terminal.
#[derive(Debug, Default)]
struct Block {
    lines: Vec<Line>,
    /// How wide each line is that was drawn; the cursor stands in the line below the last.
    drawn: Vec<usize>,
}

impl Block {
    /// What takes the terminal from what was drawn to a text above and the lines below it.
    fn redraw(&mut self, above: &str, size: Size, colours: Colours) -> String {
        // A terminal that became narrower has broken the lines that were drawn.
        let broken = |width: &usize| width.div_ceil(size.columns).max(1);
        let up: usize = self.drawn.iter().map(broken).sum();
        let mut text = String::new();
        if up > 0 {
            // What has left the terminal at its top is not to be reached any more.
            text.push_str(&format!(
                "\r\u{1b}[{}A",
                up.min(size.rows.saturating_sub(1))
            ));
        }
        if !above.is_empty() {
            text.push_str("\u{1b}[J");
            text.push_str(above);
            if !above.ends_with('\n') {
                text.push('\n');
            }
        }
        // The last column stays free: what stands in it may or may not have begun the next line. So does the last row.
        let columns = size.columns.saturating_sub(1);
        let shown = self.lines.iter().take(size.rows.saturating_sub(1));
        self.drawn.clear();
        for line in shown {
            text.push_str(&line.paint(columns, colours));
            text.push_str("\u{1b}[K\n");
            self.drawn.push(line.width().min(columns));
        }
        if up > 0 {
            text.push_str("\u{1b}[J");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::paint::Look;
    use super::*;

    /// A terminal that knows what is sent to it: text, cursor up, clear to the end of the line and of the screen. All
    /// characters are one column wide.
    struct Terminal {
        size: Size,
        /// What has left it at its top, and what it shows.
        rows: Vec<String>,
        row: usize,
        column: usize,
    }

    impl Terminal {
        fn new(columns: usize, rows: usize) -> Self {
            Self {
                size: Size { columns, rows },
                rows: vec![String::new()],
                row: 0,
                column: 0,
            }
        }

        fn take(&mut self, text: &str) {
            let mut rest = text;
            while let Some(character) = rest.chars().next() {
                rest = &rest[character.len_utf8()..];
                match character {
                    '\r' => self.column = 0,
                    // The terminal's driver adds the return.
                    '\n' => self.down(),
                    '\u{1b}' => {
                        let end = rest.find(char::is_alphabetic).expect("a command");
                        let count = rest[1..end].parse().unwrap_or(0);
                        match &rest[end..=end] {
                            "A" => {
                                let top = self.rows.len().saturating_sub(self.size.rows);
                                self.row = self.row.saturating_sub(count).max(top);
                            }
                            "K" => self.cut(),
                            "J" => {
                                self.cut();
                                self.rows.truncate(self.row + 1);
                            }
                            other => panic!("{other} in {text:?}"),
                        }
                        rest = &rest[end + 1..];
                    }
                    character => self.put(character),
                }
            }
        }

        fn cut(&mut self) {
            self.rows[self.row] = self.rows[self.row].chars().take(self.column).collect();
        }

        fn down(&mut self) {
            self.column = 0;
            self.row += 1;
            if self.row == self.rows.len() {
                self.rows.push(String::new());
            }
        }

        fn put(&mut self, character: char) {
            if self.column == self.size.columns {
                self.down();
            }
            let mut row: Vec<_> = self.rows[self.row].chars().collect();
            match self.column < row.len() {
                true => row[self.column] = character,
                false => row.push(character),
            }
            self.rows[self.row] = row.into_iter().collect();
            self.column += 1;
        }

        /// Another width, as terminals do it that break lines anew.
        fn narrow(&mut self, columns: usize) {
            self.size.columns = columns;
            let rows = std::mem::take(&mut self.rows);
            for row in rows {
                let all: Vec<_> = row.chars().collect();
                let mut parts: Vec<String> = all
                    .chunks(columns)
                    .map(|part| part.iter().collect())
                    .collect();
                if parts.is_empty() {
                    parts.push(String::new());
                }
                self.rows.extend(parts);
            }
            self.row = self.rows.len() - 1;
        }

        fn shown(&self) -> Vec<&str> {
            self.rows.iter().map(String::as_str).collect()
        }
    }

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |text: &&str| Line::new(*text, Look::Good);
        texts.iter().map(line).collect()
    }

    fn draw(block: &mut Block, terminal: &mut Terminal, above: &str) {
        let text = block.redraw(above, terminal.size, Colours::None);
        terminal.take(&text);
    }

    #[test]
    fn the_block_stays_below_what_is_said() {
        let (mut terminal, mut block) = (Terminal::new(40, 10), Block::default());
        terminal.take("starting\n");
        block.lines = lines(&["one 1 %", "two 2 %", "last event"]);
        draw(&mut block, &mut terminal, "");
        draw(&mut block, &mut terminal, "holding: a\nreason\n");
        block.lines = lines(&["one 10", "last"]);
        draw(&mut block, &mut terminal, "");
        draw(&mut block, &mut terminal, "no line's end");
        let all = [
            "starting",
            "holding: a",
            "reason",
            "no line's end",
            "one 10",
            "last",
            "",
        ];
        assert_eq!(terminal.shown(), all);
        block.lines.clear();
        draw(&mut block, &mut terminal, "");
        assert_eq!(terminal.shown()[3..], ["no line's end", ""]);
        draw(&mut block, &mut terminal, "");
        assert_eq!(terminal.shown().len(), 5);
    }

    #[test]
    fn nothing_is_left_of_it_on_a_terminal_that_became_narrow() {
        let (mut terminal, mut block) = (Terminal::new(40, 10), Block::default());
        terminal.take("starting\n");
        block.lines = lines(&["a line of thirty columns or so", "short", ""]);
        draw(&mut block, &mut terminal, "");
        terminal.narrow(12);
        draw(&mut block, &mut terminal, "said\n");
        assert_eq!(
            terminal.shown(),
            ["starting", "said", "a line of …", "short", "", ""]
        );
        terminal.size.columns = 30;
        draw(&mut block, &mut terminal, "");
        assert_eq!(terminal.shown()[2], "a line of thirty columns or …");
    }

    #[test]
    fn a_low_terminal_has_the_first_lines() {
        let (mut terminal, mut block) = (Terminal::new(20, 3), Block::default());
        block.lines = lines(&["one", "two", "three", "four"]);
        for _ in 0..3 {
            draw(&mut block, &mut terminal, "");
        }
        assert_eq!(terminal.shown(), ["one", "two", ""]);
        terminal.size = Size {
            columns: 1,
            rows: 1,
        };
        let text = block.redraw("", terminal.size, Colours::None);
        assert!(!text.contains("one"), "{text:?}");
    }

    #[test]
    fn each_line_is_as_wide_as_it_was_drawn() {
        let mut block = Block {
            lines: lines(&["広告広告"]),
            drawn: Vec::new(),
        };
        let size = Size {
            columns: 7,
            rows: 5,
        };
        let text = block.redraw("", size, Colours::None);
        assert!(text.contains("広告…"), "{text:?}");
        assert_eq!(block.drawn, [6]);
    }
}

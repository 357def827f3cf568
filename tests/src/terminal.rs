//! A real pseudo-terminal for a program's standard error, and what a person would see on it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A terminal: what was sent to it is read as it comes.
#[derive(Debug)]
pub struct Terminal {
    controller: OwnedFd,
    seen: Arc<Mutex<Seen>>,
}

/// What was sent, and from which byte on the terminal had how many columns.
#[derive(Clone, Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    columns: Vec<(usize, usize)>,
}

impl Terminal {
    /// Opens one of a size; gives the end that a program writes to.
    pub fn open(columns: u16, rows: u16) -> Result<(Self, File)> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let user = rustix::fs::open(name, flags, Mode::empty())?;
        let terminal = Self {
            seen: Arc::default(),
            controller,
        };
        terminal.resize(columns, rows)?;
        let mut reading = File::from(terminal.controller.try_clone()?);
        let seen = terminal.seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with an error once nobody has the other end open.
            while let Ok(length) = reading.read(&mut buffer) {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.bytes.extend_from_slice(&buffer[..length]);
            }
        });
        Ok((terminal, user.into()))
    }

    /// Gives it another size.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.controller, size).context("resize the terminal")?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let from = seen.bytes.len();
        seen.columns.push((from, usize::from(columns)));
        Ok(())
    }

    /// All that was sent to it.
    #[must_use]
    pub fn sent(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen.bytes).into_owned()
    }

    /// The lines that a person sees, those that have left it at its top included.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.clone();
        let mut display = Display::default();
        for (place, (from, columns)) in seen.columns.iter().enumerate() {
            let to = seen.columns.get(place + 1);
            let to = to.map_or(seen.bytes.len(), |(to, _)| *to);
            display.resize(*columns);
            display.take(&String::from_utf8_lossy(&seen.bytes[*from..to]));
        }
        let lines = display
            .rows
            .iter()
            .map(|row| row.iter().collect::<String>());
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

/// As a terminal does it that breaks its lines anew when it becomes narrower. All characters have one column.
#[derive(Default)]
struct Display {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Display {
    fn resize(&mut self, columns: usize) {
        self.columns = columns;
        let rows = std::mem::take(&mut self.rows);
        for row in rows {
            match row.is_empty() {
                true => self.rows.push(row),
                false => self.rows.extend(row.chunks(columns).map(<[char]>::to_vec)),
            }
        }
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        // The cursor stands at the end of what was written.
        self.row = self.rows.len() - 1;
    }

    fn take(&mut self, text: &str) {
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            match character {
                '\r' => self.column = 0,
                '\n' => self.down(),
                '\u{1b}' => {
                    // What is cut off comes with the next bytes.
                    let Some(end) = rest.find(char::is_alphabetic) else {
                        return;
                    };
                    let count = rest[1..end].parse().unwrap_or(1);
                    self.obey(&rest[end..=end], count);
                    rest = &rest[end + 1..];
                }
                character => self.put(character),
            }
        }
    }

    fn obey(&mut self, command: &str, count: usize) {
        match command {
            "A" => self.row = self.row.saturating_sub(count),
            "K" => self.rows[self.row].truncate(self.column),
            "J" => {
                self.rows[self.row].truncate(self.column);
                self.rows.truncate(self.row + 1);
            }
            // Colours.
            "m" => {}
            other => self
                .rows
                .push(format!("unknown command {other}").chars().collect()),
        }
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    fn put(&mut self, character: char) {
        if self.column >= self.columns {
            self.column = 0;
            self.down();
        }
        let row = &mut self.rows[self.row];
        while row.len() <= self.column {
            row.push(' ');
        }
        row[self.column] = character;
        self.column += 1;
    }
}

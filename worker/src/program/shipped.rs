//! What a package of a program has beside it, made from its command line: completions for shells, and manual pages.

use std::io;
use std::path::Path;

use clap::Command;
pub use clap_complete::Shell;

/// A manual page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The file that it belongs into: `cli-journal-show.1`.
    pub file: String,
    /// Its text, for `man`.
    pub text: Vec<u8>,
}

/// The completion script of a program for a shell.
#[must_use]
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The manual pages of a program: its own first, then one for each command.
///
/// # Errors
/// None that is known: they are written to memory.
pub fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    // Only then a command knows the whole of its name, and what it takes of those above it.
    command.build();
    let mut pages = Vec::new();
    add(command, &mut pages)?;
    Ok(pages)
}

fn add(command: Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let within: Vec<_> = command.get_subcommands().cloned().collect();
    let man = clap_mangen::Man::new(command);
    let file = man.get_filename();
    let mut text = Vec::new();
    man.render(&mut text)?;
    pages.push(Page { file, text });
    within
        .into_iter()
        .try_for_each(|command| add(command, pages))
}

/// Writes pages into a folder, which is made where it is not there; pages of before are replaced.
///
/// # Errors
/// The operating system's.
pub fn write(pages: &[Page], to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for page in pages {
        std::fs::write(to.join(&page.file), &page.text)?;
    }
    Ok(())
}

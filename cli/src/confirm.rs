//! The operator's word before something is taken away.

use std::io::{BufRead, IsTerminal, Write};

use worker::error::Error;

/// Asks on a terminal for the word `yes`. Where there is no terminal, nobody can be asked.
///
/// # Errors
/// [`Error::Refused`]: it was not given; nothing was changed.
pub(crate) fn confirm(question: &str) -> Result<(), Error> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::Refused(
            "nothing was changed: this needs a confirmation, and there is no terminal to ask on; look at what it \
             would do, then say --yes"
                .into(),
        ));
    }
    let _ = write!(anstream::stderr(), "{question} Type `yes` to go on: ");
    let mut answer = String::new();
    let is_read = stdin.lock().read_line(&mut answer).is_ok();
    if is_read && answer.trim() == "yes" {
        return Ok(());
    }
    Err(Error::Refused("nothing was changed: not confirmed".into()))
}

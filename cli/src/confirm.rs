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

/// Asks on a terminal for the name of what is to be replaced, unless it was given.
///
/// # Errors
/// [`Error::Refused`]: it is another, or was not given; nothing was changed.
pub(crate) fn confirm_name(name: &str, given: Option<&str>) -> Result<(), Error> {
    let stdin = std::io::stdin();
    let answer = match given {
        Some(given) => given.to_owned(),
        None if !stdin.is_terminal() => {
            return Err(Error::Refused(format!(
                "nothing was changed: this needs the name of the database, and there is no terminal to ask on; say \
                 --confirm {name}"
            )));
        }
        None => {
            let _ = write!(
                anstream::stderr(),
                "Type the name of the database, `{name}`, to go on: "
            );
            let mut answer = String::new();
            match stdin.lock().read_line(&mut answer) {
                Ok(_) => answer,
                Err(_) => String::new(),
            }
        }
    };
    match answer.trim() == name {
        true => Ok(()),
        false => Err(Error::Refused(format!(
            "nothing was changed: the name that was given is not that of the database, {name}"
        ))),
    }
}

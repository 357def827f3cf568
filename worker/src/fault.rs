//! Named crash points: where a test kills the process, or learns which points there are. Without the feature `fault`,
//! which no release has, a point is nothing.
//!
//! A point's name tells what is being done, to what, and the step that was just taken: `batch kpi_history 1.0 first:
//! written`. Points are not listed anywhere: a test traces a run and takes those that it passed, so that a new unit
//! is covered by itself.

/// Passes a point. Its name is made only where somebody asks for it.
#[cfg(not(feature = "fault"))]
pub(crate) fn point(_name: impl FnOnce() -> String) {}

/// Whether a test asks for something that no release does.
#[cfg(not(feature = "fault"))]
pub(crate) fn is_told(_wish: &str) -> bool {
    false
}

#[cfg(feature = "fault")]
pub(crate) use self::armed::{arm, is_told, point};

#[cfg(feature = "fault")]
mod armed {
    use std::collections::HashSet;
    use std::fs::File;
    use std::io::Write;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        /// The points at which the process dies: at whichever it passes first.
        strike: HashSet<String>,
        /// Where to write each point as it is passed for the first time.
        trace: Option<Mutex<(File, HashSet<String>)>>,
    }

    /// Arms the process: it dies at the first point that is a line of the file `strike`, panics at one that stands there
    /// behind `panic at `, and writes the points that it passes to the file `trace`.
    ///
    /// # Errors
    /// A file cannot be read or made.
    pub(crate) fn arm(strike: Option<&str>, trace: Option<&str>) -> std::io::Result<()> {
        let strike = strike.map_or(Ok(String::new()), std::fs::read_to_string)?;
        let strike = strike.lines().map(ToOwned::to_owned).collect();
        let trace = match trace {
            Some(path) => Some(Mutex::new((File::create(path)?, HashSet::new()))),
            None => None,
        };
        // A process is armed once, at its start; a second call changes nothing.
        let _ = ARMED.set(Armed { strike, trace });
        Ok(())
    }

    /// Whether a wish is a line of the file `strike`.
    pub(crate) fn is_told(wish: &str) -> bool {
        let armed = ARMED.get();
        armed.is_some_and(|armed| armed.strike.contains(wish))
    }

    /// Passes a point: dies of SIGKILL where it is the one to die at.
    pub(crate) fn point(name: impl FnOnce() -> String) {
        let Some(armed) = ARMED.get() else {
            return;
        };
        let name = name();
        if let Some(trace) = &armed.trace {
            let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            let (file, seen) = &mut *trace;
            if seen.insert(name.clone()) {
                // A point that is missing from the file fails the test that reads it.
                let _ = writeln!(file, "{name}");
            }
        }
        assert!(
            !armed.strike.contains(&format!("panic at {name}")),
            "on purpose"
        );
        if armed.strike.contains(&name) {
            let _ = kill_process(getpid(), Signal::KILL);
            // The signal may take a moment; nothing more is done until it comes.
            loop {
                std::thread::park();
            }
        }
    }
}

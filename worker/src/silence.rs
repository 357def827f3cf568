//! Waiting for an answer of the database, but not for ever.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use crate::error::{Error, Result};

/// How long the database may be silent: well beyond the limits that we set to its statements.
pub(crate) const SILENCE: Duration = Duration::from_secs(180);

/// Waits for a task of ours, but not for ever: a connection of which the other end is gone without a word never
/// answers. The task is then left alone with its connection, which is so never used again.
///
/// # Errors
/// The task's own; [`Error::Transient`]: no answer; [`Error::Panicked`].
pub(crate) async fn answered<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    match tokio::time::timeout(SILENCE, task).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panic)) => Err(panicked(&panic)),
        Err(_) => Err(Error::Transient(format!(
            "the database has not answered for {} s: the connection is given up",
            SILENCE.as_secs()
        ))),
    }
}

/// A panic's message may quote a value, so it is not told.
pub(crate) fn panicked(panic: &JoinError) -> Error {
    let how = if panic.is_panic() {
        "panicked"
    } else {
        "was ended"
    };
    Error::Panicked(format!("a task {how}"))
}

#[cfg(test)]
mod tests {
    use super::{SILENCE, answered};
    use crate::error::{Error, Result};

    /// Time is tokio's, and passes as soon as nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn what_never_answers_is_given_up() {
        let began = tokio::time::Instant::now();
        let never = tokio::spawn(std::future::pending::<Result<()>>());
        let ended = answered(never).await;
        assert!(matches!(ended, Err(Error::Transient(_))), "{ended:?}");
        assert_eq!(began.elapsed(), SILENCE);
        let late = tokio::spawn(async {
            tokio::time::sleep(SILENCE / 2).await;
            Ok(7)
        });
        assert_eq!(answered(late).await.ok(), Some(7));
    }
}

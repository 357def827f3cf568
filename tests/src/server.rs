//! Which kind of PostgreSQL a test meets: the same suites pass on all of them.
//!
//! It is ambient, so that no suite needs to know: [`on`] runs a test's future on a server, and every database that
//! the future makes in PostgreSQL is of that kind.

use std::future::Future;

/// A kind of server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Server {
    /// As initdb makes it.
    #[default]
    Plain,
    /// Behind a pooler that hands every transaction another session.
    Pooled,
    /// Every default that a database may have is unusual: text is ordered as people order words, transactions are
    /// serializable, dates, numbers and bytes are shown in other forms.
    Unusual,
    /// As somebody else administers it: unusual as well, and the programs run as the roles of `cli schema roles`, each with
    /// the rights that it needs and no more.
    Managed,
}

tokio::task_local! {
    static CURRENT: Server;
}

/// Runs a test on a server.
pub async fn on<T>(server: Server, test: impl Future<Output = T>) -> T {
    CURRENT.scope(server, test).await
}

impl Server {
    /// The one that the test runs on.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(|server| *server).unwrap_or_default()
    }

    /// How many of the seeds or faults that the plain server has to stand.
    #[must_use]
    pub fn share(self, usual: usize) -> usize {
        match self {
            Self::Plain => usual,
            Self::Pooled | Self::Unusual | Self::Managed => usual.div_ceil(7),
        }
    }
}

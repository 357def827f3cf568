//! The live page, the metrics and the probes of a run, over HTTP. It shows and changes nothing, works beside the run and never
//! in its way: what goes wrong here is told in the log, and the run goes on.
//!
//! - `access` says who may look, `answer` what each address answers, `events` what is told as it changes.
//! - `keeper` reads the journal while somebody looks, and asks nothing while nobody does.
//! - `metrics` is the picture in Prometheus's format.

mod access;
mod answer;
mod events;
mod keeper;
mod metrics;
mod stalled;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use self::access::Access;
use self::answer::{Answerer, Body};
use self::keeper::Shared;
use self::stalled::Stalling;
use crate::backend::Database;
use crate::error::{Error, Result};
use crate::picture::Which;
use crate::shutdown::Shutdown;

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Those of them that may listen to events: metrics and probes come through, however many look.
const LISTENERS: usize = 40;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);
/// How large it may be, bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How many lines it may have.
const HEAD_LINES: usize = 60;
/// How long those who look may take to be told of the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a last look at the journal may take.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Where to listen, and who may look.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub address: SocketAddr,
    /// A file with the token as its only line; other addresses than loopback need one.
    pub token_file: Option<PathBuf>,
    /// Names, beside addresses, by which it may be called.
    pub names: Vec<String>,
}

/// A server that runs beside the work.
#[derive(Debug)]
pub struct Live {
    address: SocketAddr,
    shared: Arc<Shared>,
    work: Arc<OnceLock<Shutdown>>,
    stop: Shutdown,
    keeper: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl Live {
    /// Begins to listen. What is shown is chosen now or later.
    ///
    /// # Errors
    /// [`Error::Usage`]: the address is in use, or is none of this machine's; others could look without a token; the token's
    /// file is not as it should be.
    pub async fn start(
        database: &Database,
        options: &Options,
        which: Option<Which>,
    ) -> Result<Self> {
        let access = Access::new(
            options.address.ip(),
            options.token_file.as_deref(),
            &options.names,
        )?;
        let unusable = |error: std::io::Error| {
            let why = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
                std::io::ErrorKind::AddrNotAvailable => {
                    "it is no address of this machine".to_owned()
                }
                _ => error.to_string(),
            };
            Error::Usage(format!(
                "cannot listen at {}: {why}; name another address and port, or port 0 for one that is free",
                options.address
            ))
        };
        let listener = TcpListener::bind(options.address).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let (shared, stop) = (Arc::new(Shared::new(which)), Shutdown::default());
        let work = Arc::new(OnceLock::new());
        let answerer = Arc::new(Answerer {
            access,
            work: work.clone(),
            shared: Arc::clone(&shared),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        });
        let keeper = keeper::keep(Arc::clone(&shared), database.clone(), stop.clone());
        Ok(Self {
            address,
            keeper: tokio::spawn(keeper),
            server: tokio::spawn(serve(listener, answerer, shared.over.clone())),
            shared,
            work,
            stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows this run from now on.
    pub fn choose(&self, which: Which) {
        self.shared.choose(which);
    }

    /// Watches the work that looks at `shutdown`, from now on: where it looks no more, the process is not alive to a probe.
    pub fn watch(&self, shutdown: &Shutdown) {
        // There is one work in a process.
        let _ = self.work.set(shutdown.clone());
    }

    /// Ends it: whoever looks is shown the end.
    pub async fn stop(self) {
        self.stop.request();
        // A database that does not answer is not waited for.
        let mut keeper = self.keeper;
        if tokio::time::timeout(LAST_LOOK, &mut keeper).await.is_err() {
            self.shared.over.request();
        }
        let _ = self.server.await;
    }
}

/// Takes connections until it is over, then lets those that stand end.
async fn serve(listener: TcpListener, answerer: Arc<Answerer>, over: Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = over.requested() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                // One too many is turned away at once, so that it does not wait in vain.
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    let answerer = Arc::clone(&answerer);
                    connections.spawn(async move {
                        connection(stream, answerer).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                // No more files may be opened, say.
                tracing::debug!("a connection to the live page could not be taken: {error}");
                over.sleep(Duration::from_millis(200)).await;
            }
        }
    }
    let ending = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, ending).await;
}

/// One request, and no more: whoever wants to stay listens to the events.
async fn connection(stream: TcpStream, answerer: Arc<Answerer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answerer = Arc::clone(&answerer);
        async move { Ok::<Response<Body>, Infallible>(answerer.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Stalling::new(stream)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the live page ended early: {error}");
    }
}

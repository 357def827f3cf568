//! A proxy of the tests' own between a program and PostgreSQL: it cuts, holds, stalls and slows connections at the
//! message that it is told to, and knows what each connection was at. It reads plain text only, so the server must
//! refuse encryption.

mod frame;
mod link;
mod trip;
mod watch;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use self::frame::Side;
use self::link::{Flow, Link};
pub use self::trip::{Action, Reach, Struck, Transaction, Trip, Within};
use self::watch::Begun;
pub use self::watch::{State, Step};

/// A listener on a port of its own, before one server.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections of a proxy have in common.
#[derive(Debug, Default)]
struct Shared {
    links: Mutex<Vec<Arc<Link>>>,
    armed: Mutex<Option<Armed>>,
    /// Everything that has passed, where it is wanted.
    record: Mutex<Option<Vec<Passed>>>,
    messages: AtomicU64,
    batches: AtomicU64,
    other_transactions: AtomicU64,
    delay_micros: AtomicU64,
}

#[derive(Debug)]
struct Armed {
    trip: Trip,
    left: u64,
    tell: oneshot::Sender<Struck>,
}

/// A message that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Who sent it.
    pub side: Side,
    /// Its type byte.
    pub kind: u8,
    /// What its connection was at, once it had passed.
    pub state: State,
    /// The transaction that it belongs to.
    pub transaction: Option<Transaction>,
}

/// The connections of a proxy at one instant.
#[derive(Debug)]
pub struct Links(Vec<Arc<Link>>);

impl Proxy {
    /// Listens on a free port, and forwards to a server.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listen as a proxy")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, server, shared.clone()));
        Ok(Self {
            port,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Arms a fault, in the place of any that has not struck yet. The receiver errs where it was disarmed.
    pub fn arm(&self, trip: Trip) -> oneshot::Receiver<Struck> {
        let (tell, told) = oneshot::channel();
        *lock(&self.shared.armed) = Some(Armed {
            trip,
            left: trip.after.max(1),
            tell,
        });
        told
    }

    /// Takes back a fault that has not struck yet.
    pub fn disarm(&self) {
        lock(&self.shared.armed).take();
    }

    /// Cuts every connection now. Returns what it struck, where there was one.
    pub fn cut(&self) -> Option<Struck> {
        let open = self.open();
        let state = open.state()?;
        let connections = open.0.iter().filter(|link| link.set(Flow::Cut)).count();
        (connections > 0).then_some(Struck {
            state,
            last: 0,
            connections,
        })
    }

    /// Stops forwarding on all connections that there are, and keeps them open.
    pub fn hold(&self) {
        for link in self.open().0 {
            link.set(Flow::Held);
        }
    }

    /// Lets everything pass again that is held.
    pub fn release(&self) {
        for link in self.open().0 {
            link.set(Flow::Open);
        }
    }

    /// Holds back every chunk for so long, in both directions, from now on.
    pub fn slow(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delay_micros.store(micros, Ordering::Relaxed);
    }

    /// The connections that are open now.
    #[must_use]
    pub fn open(&self) -> Links {
        let mut links = lock(&self.shared.links);
        links.retain(|link| link.is_open());
        Links(links.clone())
    }

    /// How many messages have passed, in both directions.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.shared.messages.load(Ordering::Relaxed)
    }

    /// Records all that passes from now on.
    pub fn record(&self) {
        *lock(&self.shared.record) = Some(Vec::new());
    }

    /// All that has passed since the recording began, and ends it.
    #[must_use]
    pub fn recorded(&self) -> Vec<Passed> {
        lock(&self.shared.record).take().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for link in lock(&self.shared.links).iter() {
            link.set(Flow::Cut);
        }
    }
}

impl Links {
    /// What the one was at that had come the furthest.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.0.iter().map(|link| link.state()).max()
    }

    /// Waits until all of them have ended, so that all that was sent has passed, and gives what the one was at that had
    /// come the furthest.
    pub async fn settled(self) -> Option<State> {
        for link in &self.0 {
            // A connection that is held, or half open, does not end by itself.
            let ended = tokio::time::timeout(Duration::from_secs(1), link.ended()).await;
            if ended.is_err() {
                link.set(Flow::Cut);
            }
        }
        self.state()
    }
}

impl Shared {
    fn next_transaction(&self, begun: Begun) -> Transaction {
        let next = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed) + 1;
        match begun {
            Begun::Batch => Transaction::Batch(next(&self.batches)),
            Begun::Other => Transaction::Other(next(&self.other_transactions)),
        }
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros.load(Ordering::Relaxed))
    }

    /// Counts a message that is about to pass; gives what is to be done once it has.
    fn count(
        &self,
        side: Side,
        kind: u8,
        state: State,
        transaction: Option<Transaction>,
    ) -> Option<Action> {
        self.messages.fetch_add(1, Ordering::Relaxed);
        if let Some(record) = lock(&self.record).as_mut() {
            record.push(Passed {
                side,
                kind,
                state,
                transaction,
            });
        }
        let mut armed = lock(&self.armed);
        let due = armed
            .as_mut()
            .filter(|armed| armed.left > 0 && armed.trip.counts(side, state, transaction))?;
        due.left -= 1;
        (due.left == 0).then_some(due.trip.action)
    }

    /// Does it, and tells.
    fn strike(&self, link: &Arc<Link>, last: u8, action: Action) {
        let Some(armed) = lock(&self.armed).take() else {
            return;
        };
        let state = link.state();
        let mut connections = 1;
        match action {
            Action::Cut(Reach::One) | Action::CutWithin => {
                link.set(Flow::Cut);
            }
            Action::Cut(Reach::All) => {
                let links = lock(&self.links).clone();
                connections = links.iter().filter(|link| link.set(Flow::Cut)).count();
            }
            Action::Hold => {
                link.set(Flow::Held);
            }
            Action::Stall(pause) => link::for_a_while(link.clone(), Flow::Held, pause),
            Action::HalfOpen(side, pause) => {
                link::for_a_while(link.clone(), Flow::Closed(side), pause);
            }
            Action::Tell => {}
        }
        // Nobody may be listening any more.
        let _ = armed.tell.send(Struck {
            state,
            last,
            connections,
        });
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            // A server that is down refuses the connection, and so the client's is closed.
            if let Ok(server) = TcpStream::connect(server).await {
                let link = Link::new();
                lock(&shared.links).push(link.clone());
                link::forward(client, server, link, shared).await;
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! One connection through the proxy: a task for each direction, which forward whole messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::Shared;
use super::frame::{Framer, Message, Side};
use super::trip::{Action, Transaction};
use super::watch::{State, Watch};

/// What can be done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Everything passes.
    Open,
    /// Nothing passes.
    Held,
    /// It is closed to this side, and kept open to the other.
    Closed(Side),
    /// It is closed to both.
    Cut,
}

/// A connection, as far as faults are concerned.
#[derive(Debug)]
pub(super) struct Link {
    flow: watch::Sender<Flow>,
    seen: Mutex<Seen>,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Seen {
    watch: Watch,
    /// The transaction that it is in.
    transaction: Option<Transaction>,
    is_bare_byte_next: bool,
}

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            flow: watch::Sender::new(Flow::Open),
            seen: Mutex::default(),
        })
    }

    /// What it is at, or was at when it ended.
    pub(super) fn state(&self) -> State {
        self.seen().watch.state()
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(*self.flow.borrow(), Flow::Cut | Flow::Closed(_))
    }

    /// Changes what passes; a connection that is cut stays cut. Returns whether it was open.
    pub(super) fn set(&self, flow: Flow) -> bool {
        let was_open = self.is_open();
        self.flow.send_if_modified(|current| {
            let changes = *current != Flow::Cut && *current != flow;
            if changes {
                *current = flow;
            }
            changes
        });
        was_open
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        let mut flow = self.flow.subscribe();
        // The sender lives as long as this does.
        let _ = flow.wait_for(|flow| *flow == Flow::Cut).await;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a message; gives what a trip asks for, and the state and transaction that it belongs to.
    fn note(&self, side: Side, message: &Message, shared: &Shared) -> Option<Action> {
        let mut seen = self.seen();
        let mut has_ended = false;
        match side {
            Side::Client => {
                if let Some(begun) = seen.watch.sent(message) {
                    seen.transaction = Some(shared.next_transaction(begun));
                }
                seen.is_bare_byte_next |= message.asks_for_encryption();
            }
            Side::Server => has_ended = seen.watch.answered(message),
        }
        let (state, transaction) = (seen.watch.state(), seen.transaction);
        if has_ended {
            seen.transaction = None;
        }
        drop(seen);
        shared.count(side, message.kind, state, transaction)
    }
}

/// Forwards both directions until either ends or the connection is cut.
pub(super) async fn forward(
    client: TcpStream,
    server: TcpStream,
    link: Arc<Link>,
    shared: Arc<Shared>,
) {
    // Neither option can be missing on a TCP socket, and without them faults would only strike a little later.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(
        Side::Client,
        from_client,
        to_server,
        link.clone(),
        shared.clone(),
    );
    let down = pump(Side::Server, from_server, to_client, link.clone(), shared);
    tokio::join!(up, down);
}

/// Forwards what one side sends. When it returns, its reader and writer are dropped, and the link is cut, unless one
/// side is to be left in the belief that it stands.
async fn pump(
    side: Side,
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    link: Arc<Link>,
    shared: Arc<Shared>,
) {
    let mut flow = link.flow.subscribe();
    let mut framer = Framer::new(side);
    let mut chunk = vec![0; 65_536];
    loop {
        let read = tokio::select! {
            biased;
            () = closed(&mut flow) => break,
            read = reader.read(&mut chunk) => read.unwrap_or(0),
        };
        if read == 0 {
            link.set(Flow::Cut);
            return;
        }
        if side == Side::Server && std::mem::take(&mut link.seen().is_bare_byte_next) {
            framer.expect_bare_byte();
        }
        framer.push(&chunk[..read]);
        tokio::time::sleep(shared.delay()).await;
        if !pass(side, &mut framer, &mut writer, &link, &shared).await {
            break;
        }
    }
    let kept = *link.flow.borrow();
    if let Flow::Closed(closed) = kept {
        // The half that reads from the closed side, and the half that writes to it, are dropped at once; the other two
        // stay until the link is cut.
        let mut flow = link.flow.subscribe();
        let (reader, writer) = if closed == side {
            drop(reader);
            (None, Some(writer))
        } else {
            drop(writer);
            (Some(reader), None)
        };
        let _ = flow.wait_for(|flow| *flow == Flow::Cut).await;
        drop((reader, writer));
    }
    link.set(Flow::Cut);
}

/// Passes on the messages that have arrived; false: the connection is closed.
async fn pass(
    side: Side,
    framer: &mut Framer,
    writer: &mut OwnedWriteHalf,
    link: &Arc<Link>,
    shared: &Arc<Shared>,
) -> bool {
    let mut flow = link.flow.subscribe();
    let mut out = Vec::new();
    while let Some(message) = framer.next_message() {
        if *flow.borrow() != Flow::Open {
            let opened = flow.wait_for(|flow| *flow != Flow::Held).await;
            if opened.is_ok_and(|flow| *flow != Flow::Open) {
                return false;
            }
        }
        let action = link.note(side, &message, shared);
        let whole = action != Some(Action::CutWithin);
        let length = if whole {
            message.bytes.len()
        } else {
            message.bytes.len() / 2
        };
        out.extend_from_slice(&message.bytes[..length]);
        if let Some(action) = action {
            // What was counted has passed before the fault strikes. Where the receiver is gone, the cut is all the same.
            let _ = writer.write_all(&out).await;
            out.clear();
            shared.strike(link, message.kind, action);
        }
    }
    writer.write_all(&out).await.is_ok()
}

async fn closed(flow: &mut watch::Receiver<Flow>) {
    let closed = |flow: &Flow| matches!(flow, Flow::Cut | Flow::Closed(_));
    let _ = flow.wait_for(closed).await;
}

/// Lets a connection be `flow` for a while, and then what it was, or cut.
pub(super) fn for_a_while(link: Arc<Link>, flow: Flow, pause: Duration) {
    link.set(flow);
    let after = match flow {
        Flow::Held => Flow::Open,
        _ => Flow::Cut,
    };
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        link.set(after);
    });
}

//! Server-sent events: each holds one section of the page that has changed since it was sent last, as JSON on one line.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::keeper::{Now, Shared};

/// How often a connection on which nothing changes is told that it stands.
const ALIVE: Duration = Duration::from_secs(15);
/// How often somebody who listens is known to do so.
const LISTENS: Duration = Duration::from_secs(1);
/// How long a connection lasts; a browser then makes another.
const LAST: Duration = Duration::from_secs(600);

struct Listener {
    shared: Arc<Shared>,
    changes: watch::Receiver<Arc<Now>>,
    sent: HashMap<&'static str, String>,
    waiting: VecDeque<Bytes>,
    begun: Instant,
    told: Instant,
    is_over: bool,
    /// Its place among those who may listen.
    _place: OwnedSemaphorePermit,
}

/// What a connection is told from now on.
pub(super) fn stream(
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    let mut changes = shared.changes();
    changes.mark_changed();
    let listener = Listener {
        changes,
        shared,
        sent: HashMap::new(),
        waiting: VecDeque::from([Bytes::from_static(b"retry: 2000\n\n")]),
        begun: Instant::now(),
        told: Instant::now(),
        is_over: false,
        _place: place,
    };
    futures_util::stream::unfold(listener, |mut listener| async move {
        let next = listener.next().await?;
        Some((Ok(Frame::data(next)), listener))
    })
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                self.told = Instant::now();
                return Some(next);
            }
            if self.is_over || self.begun.elapsed() > LAST {
                return None;
            }
            self.shared.ask();
            tokio::select! {
                changed = self.changes.changed() => {
                    self.is_over = changed.is_err();
                    self.take();
                }
                () = self.shared.over.requested() => {
                    self.is_over = true;
                    self.take();
                }
                () = tokio::time::sleep(LISTENS) => {
                    if self.told.elapsed() > ALIVE {
                        self.waiting.push_back(Bytes::from_static(b": still here\n\n"));
                    }
                }
            }
        }
    }

    /// Takes what has changed.
    fn take(&mut self) {
        let now = Arc::clone(&self.changes.borrow_and_update());
        if now.looked.is_none() && now.trouble.is_none() {
            return;
        }
        let trouble = now.trouble.as_deref().map(|why| {
            format!("The database does not answer, so what stands here is as it was last: {why}")
        });
        self.changed("trouble", "", &trouble.unwrap_or_default());
        self.changed("line", "line", &now.shown.line);
        for section in &now.shown.sections {
            self.changed("section", section.id, &section.html);
        }
    }

    fn changed(&mut self, event: &str, id: &'static str, html: &str) {
        if self.sent.get(id).is_some_and(|sent| sent == html) {
            return;
        }
        self.sent.insert(id, html.to_owned());
        let data = serde_json::json!({ "id": id, "html": html });
        self.waiting
            .push_back(Bytes::from(format!("event: {event}\ndata: {data}\n\n")));
    }
}

//! A small HTTP service of the tests' own, as real as an application: it answers visitors, counts what it does, and
//! shows it to
//! a Prometheus server. How it behaves can be set while it runs.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// How it behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// How long an answer to a visitor takes.
    pub delay: Duration,
    /// How long one of `/health` takes.
    pub health_delay: Duration,
    /// The status of `/health`.
    pub status: u16,
    /// Every so many visitors get an error; 0: none does.
    pub error_every: u64,
    /// Of ten visitors, how many find what they look for in the cache.
    pub hits_of_ten: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(2),
            health_delay: Duration::ZERO,
            status: 200,
            error_every: 0,
            hits_of_ten: 9,
        }
    }
}

/// Upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 5] = [0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug)]
struct State {
    /// Milliseconds since 1970.
    begun_at: u128,
    behaviour: Behaviour,
    served: u64,
    errors: u64,
    hits: u64,
    misses: u64,
    buckets: [u64; 5],
    seconds: f64,
}

/// A running service, with visitors that come again and again.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
}

impl State {
    fn begin() -> Result<Self> {
        Ok(Self {
            begun_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
            behaviour: Behaviour::default(),
            served: 0,
            errors: 0,
            hits: 0,
            misses: 0,
            buckets: [0; 5],
            seconds: 0.0,
        })
    }
}

impl Service {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let service = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(State::begin()?)),
            stopped: Arc::default(),
        };
        let (state, stopped) = (Arc::clone(&service.state), Arc::clone(&service.stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&state);
                // A visitor who goes away is no trouble of ours.
                std::thread::spawn(move || drop(answer(stream, &state)));
            }
        });
        for _ in 0..3 {
            let (address, stopped) = (service.address, Arc::clone(&service.stopped));
            std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let _ = get(address, "/api");
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        Ok(service)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it behave otherwise from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// Stops it: whoever comes now is refused.
    pub fn stop(&self) {
        if !self.stopped.swap(true, Ordering::Relaxed) {
            // Wakes it, so that it sees that it is to end.
            let _ = TcpStream::connect(self.address);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    let begun = Instant::now();
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let behaviour = lock(state).behaviour;
    let (status, body) = match path.as_str() {
        "/metrics" => (200, metrics(&lock(state))),
        "/health" => {
            std::thread::sleep(behaviour.health_delay);
            (behaviour.status, "ok\n".to_owned())
        }
        "/api" => {
            std::thread::sleep(behaviour.delay);
            (visit(&mut lock(state), begun), "{}\n".to_owned())
        }
        _ => (404, String::new()),
    };
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// Counts a visitor; gives the status that they get.
fn visit(state: &mut State, begun: Instant) -> u16 {
    state.served += 1;
    let seconds = begun.elapsed().as_secs_f64();
    state.seconds += seconds;
    for (bucket, end) in state.buckets.iter_mut().zip(BUCKETS) {
        *bucket += u64::from(seconds <= end);
    }
    match state.served % 10 < state.behaviour.hits_of_ten {
        true => state.hits += 1,
        false => state.misses += 1,
    }
    let every = state.behaviour.error_every;
    match every > 0 && state.served.is_multiple_of(every) {
        true => {
            state.errors += 1;
            500
        }
        false => 200,
    }
}

fn metrics(state: &State) -> String {
    let mut text = String::new();
    let good = state.served - state.errors;
    let _ = writeln!(text, "# TYPE http_requests_total counter");
    let _ = writeln!(text, "http_requests_total{{status=\"200\"}} {good}");
    // As in many libraries, a series begins with the first that it counts.
    if state.errors > 0 {
        let _ = writeln!(
            text,
            "http_requests_total{{status=\"500\"}} {}",
            state.errors
        );
    }
    let _ = writeln!(text, "# TYPE http_request_duration_seconds histogram");
    for (count, end) in state.buckets.iter().zip(BUCKETS) {
        let _ = writeln!(
            text,
            "http_request_duration_seconds_bucket{{le=\"{end}\"}} {count}"
        );
    }
    let _ = writeln!(
        text,
        "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {}\nhttp_request_duration_seconds_sum {}\n\
         http_request_duration_seconds_count {}",
        state.served, state.seconds, state.served
    );
    let _ = writeln!(
        text,
        "cache_hits_total {}\ncache_misses_total {}",
        state.hits, state.misses
    );
    // What is counted once a night says when, and is as old as that.
    let _ = writeln!(text, "nightly_total 6 {}", state.begun_at);
    text
}

/// Asks a server for a path; gives the status and the body.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("a head and a body")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, body.to_owned()))
}

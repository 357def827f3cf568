//! An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, as JSON.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::json::Json;

/// A collector; its thread ends with the test process.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<(String, String)>>>,
}

impl Collector {
    /// Starts one on a free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let collector = Self {
            address: listener.local_addr()?,
            sent: Arc::default(),
        };
        let sent = collector.sent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sent = sent.clone();
                // One that sends nonsense is told by what is missing.
                std::thread::spawn(move || keep(stream, &sent));
            }
        });
        Ok(collector)
    }

    /// Its address, as the variable has it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came: the path of each request, and its document.
    pub fn sent(&self) -> Result<Vec<(String, Json)>> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = sent.iter().map(|(path, body)| {
            let document = Json::parse(body).map_err(anyhow::Error::msg);
            Ok((path.clone(), document?))
        });
        parsed.collect()
    }
}

/// Answers the requests of a connection, and keeps their bodies.
fn keep(stream: TcpStream, sent: &Mutex<Vec<(String, String)>>) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let path = first.split(' ').nth(1).context("a path")?.to_owned();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8(body)?;
        sent.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((path, body));
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        (&stream).write_all(answer.as_bytes())?;
    }
}

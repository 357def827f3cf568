//! The hash chain: each event's hash covers the event and the hash before it, so that a stream cannot be changed in
//! the middle without every later hash showing it.

/// What stands before a stream's first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A stream's last event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its place, from 1; 0: the stream is empty.
    pub seq: i64,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

impl Head {
    /// The head of an empty stream.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.into(),
        }
    }
}

/// The fields that an event's hash covers.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The run.
    pub run: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The place within the stream.
    pub seq: i64,
    /// The event's kind.
    pub kind: &'a str,
    /// The payload's format version.
    pub version: i32,
    /// The payload's bytes.
    pub payload: &'a str,
    /// Who appended it.
    pub worker: &'a str,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// The hash before.
    pub prev: &'a str,
}

impl Link<'_> {
    /// BLAKE3 over all fields, in hexadecimal. Texts go in with their length, so that no two links spell the same
    /// bytes.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for text in [
            self.run,
            self.stream,
            self.kind,
            self.payload,
            self.worker,
            self.prev,
        ] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&self.seq.to_le_bytes());
        hasher.update(&self.version.to_le_bytes());
        hasher.update(&self.at.to_le_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Link;

    const LINK: Link<'static> = Link {
        run: "run",
        stream: "stream",
        seq: 1,
        kind: "kind",
        version: 1,
        payload: "{}",
        worker: "worker",
        at: 1,
        prev: "prev",
    };

    #[test]
    fn every_field_counts() {
        let changed = [
            Link { run: "ruN", ..LINK },
            Link {
                stream: "streaN",
                ..LINK
            },
            Link { seq: 2, ..LINK },
            Link {
                kind: "kinD",
                ..LINK
            },
            Link { version: 2, ..LINK },
            Link {
                payload: "{ }",
                ..LINK
            },
            Link {
                worker: "workeR",
                ..LINK
            },
            Link { at: 2, ..LINK },
            Link {
                prev: "preV",
                ..LINK
            },
            // The same bytes, cut elsewhere.
            Link {
                run: "runs",
                stream: "tream",
                ..LINK
            },
        ];
        for link in changed {
            assert_ne!(link.hash(), LINK.hash(), "{link:?}");
        }
    }
}

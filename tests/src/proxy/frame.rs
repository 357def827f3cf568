//! PostgreSQL's messages: where one ends and the next begins.
//!
//! A message is a type byte, a length that counts itself, and the rest. The first that a client sends has no type byte,
//! and the answer to its question for encryption is one bare byte.

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The worker.
    Client,
    /// PostgreSQL.
    Server,
}

/// The type of a message that has no type byte.
pub(super) const BARE: u8 = 0;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its type byte, or [`BARE`].
    pub(super) kind: u8,
    /// All of it, as it is on the wire.
    pub(super) bytes: Vec<u8>,
}

/// The codes with which a client asks for encryption (SSL, GSS) instead of starting at once.
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

/// Cuts what one side sends into messages.
#[derive(Debug)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// Whether the client's first message is still to come.
    is_starting: bool,
    /// Whether the server's next byte is the answer to a question for encryption.
    is_bare_byte_next: bool,
}

impl Framer {
    /// For what this side sends on a new connection.
    #[must_use]
    pub(super) fn new(side: Side) -> Self {
        Self {
            buffer: Vec::new(),
            is_starting: side == Side::Client,
            is_bare_byte_next: false,
        }
    }

    /// Takes what has arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The client has asked for encryption, so the server's next byte is no message.
    pub(super) fn expect_bare_byte(&mut self) {
        self.is_bare_byte_next = true;
    }

    /// The next message that has arrived as a whole.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        if self.is_bare_byte_next {
            let bytes = self.take(1)?;
            self.is_bare_byte_next = false;
            return Some(Message { kind: BARE, bytes });
        }
        if self.is_starting {
            let bytes = self.take(self.length(0)?)?;
            let message = Message { kind: BARE, bytes };
            self.is_starting = message.asks_for_encryption();
            return Some(message);
        }
        let bytes = self.take(1 + self.length(1)?)?;
        Some(Message {
            kind: bytes[0],
            bytes,
        })
    }

    fn length(&self, at: usize) -> Option<usize> {
        let bytes = self.buffer.get(at..at + 4)?;
        let length = u32::from_be_bytes(bytes.try_into().ok()?);
        usize::try_from(length).ok()
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        if self.buffer.len() < length {
            return None;
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

impl Message {
    /// Whether the server is to answer with one bare byte.
    #[must_use]
    pub(super) fn asks_for_encryption(&self) -> bool {
        let code = self.bytes.get(4..8).and_then(|code| code.try_into().ok());
        self.kind == BARE
            && self.bytes.len() == 8
            && code.is_some_and(|code| ENCRYPTION.contains(&u32::from_be_bytes(code)))
    }

    /// The texts in its body that end in a zero byte, up to the first that does not.
    pub(super) fn texts(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let body = self.bytes.get(5..).unwrap_or_default();
        let mut parts = body.split_inclusive(|byte| *byte == 0);
        std::iter::from_fn(move || {
            let part = parts.next()?.strip_suffix(&[0])?;
            Some(String::from_utf8_lossy(part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BARE, Framer, Side};

    fn kinds(framer: &mut Framer) -> Vec<u8> {
        std::iter::from_fn(|| framer.next_message().map(|message| message.kind)).collect()
    }

    const STARTUP: [u8; 9] = [0, 0, 0, 9, 0, 3, 0, 0, 0];
    const ENCRYPTION: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

    #[test]
    fn messages_are_found_however_they_arrive() {
        let stream = [
            &STARTUP[..],
            b"Q\0\0\0\x0bBEGIN;\0",
            b"S\0\0\0\x04",
            b"X\0\0\0\x04",
        ]
        .concat();
        for chunk in 1..stream.len() {
            let mut framer = Framer::new(Side::Client);
            let mut found = Vec::new();
            for bytes in stream.chunks(chunk) {
                framer.push(bytes);
                found.extend(kinds(&mut framer));
            }
            assert_eq!(found, [BARE, b'Q', b'S', b'X'], "in chunks of {chunk}");
            assert!(framer.buffer.is_empty());
        }
    }

    #[test]
    fn a_question_for_encryption_is_answered_with_a_bare_byte() {
        let mut client = Framer::new(Side::Client);
        client.push(&ENCRYPTION);
        let question = client.next_message().expect("a message");
        assert!(question.asks_for_encryption());
        client.push(&STARTUP);
        let startup = client.next_message().expect("a message");
        assert!(!startup.asks_for_encryption());

        let mut server = Framer::new(Side::Server);
        server.expect_bare_byte();
        server.push(b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
        assert_eq!(kinds(&mut server), [BARE, b'R', b'Z']);
    }

    #[test]
    fn a_body_is_read_as_texts() {
        let mut framer = Framer::new(Side::Server);
        framer.push(b"P\0\0\0\x13s_1\0SELECT 1\0\0\0");
        let message = framer.next_message().expect("a message");
        let texts: Vec<_> = message.texts().take(2).collect();
        assert_eq!(texts, ["s_1", "SELECT 1"]);
    }
}

//! What a connection is at, read off the statements that pass: so that a fault can say what it struck.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use super::frame::{BARE, Message};

/// What the last statement of a connection was for, in the order in which a batch takes its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Start-up and authentication.
    #[default]
    Connecting,
    /// A query outside of a transaction.
    Looking,
    /// The end of a transaction that changed nothing.
    RollingBack,
    /// The answer to a COMMIT has passed, and nothing after it.
    Committed,
    /// BEGIN, and the settings of the transaction.
    Beginning,
    /// A query within a transaction.
    Reading,
    /// A change of the schema.
    Schema,
    /// A claim of a partition.
    Claiming,
    /// Rows of a destination: written, removed, put back.
    Rows,
    /// The provenance of a batch.
    Provenance,
    /// The partitions' projection.
    Cursor,
    /// Events.
    Event,
    /// COMMIT.
    Committing,
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// What its last statement was for.
    pub step: Step,
    /// Whether the answer to it has passed as a whole.
    pub is_answered: bool,
}

impl State {
    /// Whether it is between the BEGIN and the answer to the COMMIT of a transaction.
    #[must_use]
    pub fn is_in_transaction(self) -> bool {
        self.step >= Step::Beginning
    }
}

impl Display for State {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (step, answer) = match self.step {
            Step::Connecting => ("connecting", ""),
            Step::Committed => ("COMMIT answered, nothing after it", ""),
            Step::Looking if self.is_answered => ("idle", ""),
            Step::RollingBack if self.is_answered => ("idle after a ROLLBACK", ""),
            Step::Looking => ("a query", " sent"),
            Step::RollingBack => ("ROLLBACK", " sent"),
            Step::Beginning => ("BEGIN", self.answer()),
            Step::Reading => ("a query in a transaction", self.answer()),
            Step::Schema => ("a schema change", self.answer()),
            Step::Claiming => ("claim", self.answer()),
            Step::Rows => ("rows", self.answer()),
            Step::Provenance => ("provenance", self.answer()),
            Step::Cursor => ("cursor", self.answer()),
            Step::Event => ("event", self.answer()),
            Step::Committing => ("COMMIT", " sent, unanswered"),
        };
        write!(out, "{step}{answer}")
    }
}

impl State {
    fn answer(self) -> &'static str {
        if self.is_answered {
            " answered"
        } else {
            " sent"
        }
    }
}

/// What a transaction is for, as its first message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// A batch: its commit does not wait for the disk.
    Batch,
    /// Anything else.
    Other,
}

/// Follows one connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: State,
    in_transaction: bool,
    /// What each prepared statement is for.
    prepared: HashMap<String, Step>,
}

impl Watch {
    /// What the connection is at.
    #[must_use]
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Takes note of a message of the client. Returns what it begins a transaction for, where it begins one.
    pub(super) fn sent(&mut self, message: &Message) -> Option<Begun> {
        let mut texts = message.texts();
        let step = match message.kind {
            BARE | b'p' => Some(Step::Connecting),
            b'Q' => texts.next().map(|sql| purpose(&sql)),
            b'P' => {
                let name = texts.next().map(|name| name.into_owned());
                let step = texts.next().map(|sql| purpose(&sql));
                if let (Some(name), Some(step)) = (name, step) {
                    self.prepared.insert(name, step);
                }
                step
            }
            // The portal's name, then the statement's.
            b'B' => texts
                .nth(1)
                .and_then(|name| self.prepared.get(&*name).copied()),
            _ => None,
        };
        if let Some(step) = step {
            let begins = step == Step::Beginning && !self.in_transaction;
            self.in_transaction |= begins;
            let outside = !self.in_transaction && step == Step::Reading;
            self.state = State {
                step: if outside { Step::Looking } else { step },
                is_answered: false,
            };
            if begins && message.kind == b'Q' {
                let is_batch = |sql: &str| sql.contains("'synchronous_commit', 'off'");
                return Some(match message.texts().any(|sql| is_batch(&sql)) {
                    true => Begun::Batch,
                    false => Begun::Other,
                });
            }
        }
        None
    }

    /// Takes note of a message of the server. Returns whether it ends a transaction.
    pub(super) fn answered(&mut self, message: &Message) -> bool {
        if message.kind != b'Z' {
            return false;
        }
        let is_idle = message.bytes.last() == Some(&b'I');
        let has_ended = is_idle && self.in_transaction;
        self.in_transaction = !is_idle;
        self.state.is_answered = true;
        self.state.step = match self.state.step {
            Step::Connecting => Step::Looking,
            Step::Committing if is_idle => Step::Committed,
            step if is_idle && step > Step::Committed => Step::Looking,
            step => step,
        };
        has_ended
    }
}

/// What a statement is for.
fn purpose(sql: &str) -> Step {
    let upper = sql.trim_start().to_ascii_uppercase();
    let begins = |words: &[&str]| words.iter().any(|word| upper.starts_with(word));
    let holds = |words: &[&str]| words.iter().any(|word| upper.contains(word));
    if begins(&["BEGIN", "SET TRANSACTION"]) || holds(&["SET_CONFIG("]) {
        Step::Beginning
    } else if begins(&["COMMIT"]) {
        Step::Committing
    } else if begins(&["ROLLBACK"]) && !holds(&["SAVEPOINT", " TO "]) {
        Step::RollingBack
    } else if begins(&["CREATE ", "ALTER ", "DROP "]) {
        Step::Schema
    } else if holds(&["SKIP LOCKED"]) {
        Step::Claiming
    } else if holds(&["INTO \"BACKSTITCH_JOURNAL_ROWS\""]) {
        Step::Provenance
    } else if holds(&["INTO \"BACKSTITCH_JOURNAL\""]) {
        Step::Event
    } else if holds(&[
        "UPDATE \"BACKSTITCH_PARTITION\"",
        "INTO \"BACKSTITCH_PARTITION\"",
    ]) {
        Step::Cursor
    } else if holds(&["INSERT INTO ", "DELETE FROM ", "UPDATE \""]) {
        Step::Rows
    } else {
        Step::Reading
    }
}

#[cfg(test)]
mod tests {
    use super::{Begun, State, Step, Watch, purpose};
    use crate::proxy::frame::Message;

    fn message(kind: u8, body: &[u8]) -> Message {
        Message {
            kind,
            bytes: [&[kind, 0, 0, 0, 0], body].concat(),
        }
    }

    #[test]
    fn statements_are_told_apart() {
        for (sql, step) in [
            ("BEGIN ISOLATION LEVEL READ COMMITTED", Step::Beginning),
            (
                "SELECT set_config('statement_timeout', '30s', true)",
                Step::Beginning,
            ),
            ("SELECT * FROM \"p\" FOR UPDATE SKIP LOCKED", Step::Claiming),
            ("SELECT \"key\" FROM \"backstitch_journal\"", Step::Reading),
            ("INSERT INTO \"backstitch_journal\" (\"run\")", Step::Event),
            (
                "INSERT INTO \"backstitch_journal_rows\" (\"run\")",
                Step::Provenance,
            ),
            ("UPDATE \"backstitch_partition\" SET", Step::Cursor),
            (
                "WITH \"old\" AS (SELECT) UPDATE \"Campaign\" SET",
                Step::Rows,
            ),
            ("DELETE FROM \"KPIHistory\" WHERE", Step::Rows),
            ("CREATE TABLE \"t\" ()", Step::Schema),
            ("COMMIT", Step::Committing),
            ("ROLLBACK", Step::RollingBack),
        ] {
            assert_eq!(purpose(sql), step, "{sql}");
        }
    }

    #[test]
    fn a_transaction_is_followed_from_begin_to_commit() {
        let mut watch = Watch::default();
        assert!(!watch.answered(&message(b'Z', b"I")));
        assert_eq!(watch.state().step, Step::Looking);
        watch.sent(&message(b'P', b"s1\0SELECT 1\0\0\0"));
        assert_eq!(watch.state().to_string(), "a query sent");

        assert_eq!(watch.sent(&message(b'Q', b"BEGIN\0")), Some(Begun::Other));
        assert!(!watch.answered(&message(b'Z', b"T")));
        assert_eq!(watch.state().to_string(), "BEGIN answered");
        watch.sent(&message(b'B', b"\0s1\0\0\0"));
        let reading = State {
            step: Step::Reading,
            is_answered: false,
        };
        assert_eq!(watch.state(), reading);
        watch.answered(&message(b'Z', b"T"));
        watch.sent(&message(b'Q', b"COMMIT\0"));
        assert!(watch.state().is_in_transaction());
        assert_eq!(watch.state().to_string(), "COMMIT sent, unanswered");
        assert!(watch.answered(&message(b'Z', b"I")));
        assert_eq!(watch.state().step, Step::Committed);
        assert!(!watch.state().is_in_transaction());
        let batch = b"BEGIN; SELECT set_config('synchronous_commit', 'off', true)\0";
        assert_eq!(watch.sent(&message(b'Q', batch)), Some(Begun::Batch));
    }
}

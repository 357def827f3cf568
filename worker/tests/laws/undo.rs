//! Undo after do is what was before, plus whatever the application did meanwhile: over a destination in memory, with the
//! worker's own provenance, rule and fold. The oracle never hears of the run: it lives through the application's edits
//! alone.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use worker::core::event::{BatchCommitted, BatchUndone, Event, PartitionPlanned};
use worker::core::plan::Write;
use worker::core::state::PartitionState;
use worker::examined::Examined;
use worker::provenance::{Packed, Written};

/// Few keys, so that everybody meets everybody.
const KEYS: u8 = 6;

/// A table with a key and a value.
type Table = BTreeMap<String, String>;

/// What happens.
#[derive(Clone, Debug)]
enum Deed {
    /// The run writes a batch.
    Batch(Vec<u8>),
    /// The sources have changed: the run brings rows up to date that stand as it wrote them.
    Refresh(Vec<u8>),
    /// The application writes a value of its own, over whatever is there.
    Set(u8),
    /// The application deletes a row.
    Delete(u8),
    /// The process is killed: what it knew is gone.
    Crash,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => prop::collection::vec(0..KEYS, 1..4).prop_map(Deed::Batch),
        2 => prop::collection::vec(0..KEYS, 1..4).prop_map(Deed::Refresh),
        2 => (0..KEYS).prop_map(Deed::Set),
        1 => (0..KEYS).prop_map(Deed::Delete),
        1 => Just(Deed::Crash),
    ];
    prop::collection::vec(deed, 0..20)
}

fn key(key: u8) -> String {
    format!("k{key}")
}

fn digest(key: &str, value: &str) -> u64 {
    let hash = blake3::hash(format!("{key}\0{value}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"))
}

/// A run over one partition.
struct Run {
    write: Write,
    table: Table,
    /// Committed events.
    stream: Vec<Event>,
    /// Packed rows by seq.
    provenance: BTreeMap<i64, Packed>,
    state: PartitionState,
}

impl Run {
    fn new(write: Write, table: Table) -> Self {
        Self {
            write,
            table,
            stream: Vec::new(),
            provenance: BTreeMap::new(),
            state: folded(&[]),
        }
    }

    fn seq(&self) -> i64 {
        i64::try_from(self.stream.len()).expect("a short stream") + 1
    }

    fn append(&mut self, event: Event) {
        self.state.apply(&event).expect("a legal event");
        self.stream.push(event);
    }

    /// The digest of what the run wrote last under a key.
    fn wrote(&self, key: &str) -> Option<u64> {
        let batches = self.provenance.values().rev();
        batches
            .flat_map(|packed| packed.unpack().expect("what was packed"))
            .find_map(|row| (row.key == key).then_some(row.digest))
    }

    /// A batch: the rows that are missing, and where the sources have changed those that stand as they were written.
    fn batch(&mut self, keys: &[u8], has_changed: bool) {
        let mut written: Vec<Written> = Vec::new();
        let seq = self.seq();
        for key in keys.iter().copied().map(key) {
            let is_twice = written.iter().any(|row| row.key == key);
            let is_there = self.table.contains_key(&key);
            let is_stale = has_changed
                && self.write == Write::Insert
                && self.wrote(&key) == self.table.get(&key).map(|value| digest(&key, value));
            if is_twice || (!is_stale && is_there != matches!(self.write, Write::Update { .. })) {
                continue;
            }
            let value = match has_changed {
                true => format!("ours of {key}, as of {seq}"),
                false => format!("ours of {key}"),
            };
            let before = self.table.insert(key.clone(), value.clone());
            written.push(Written {
                digest: digest(&key, &value),
                before: before.map(|before| vec![Some(before)]),
                key,
            });
        }
        let (read, rows) = (keys.len(), written.len());
        let refreshed = written.iter().filter(|row| row.is_refreshed(&self.write));
        let refreshed = refreshed.count();
        let count = |rows: usize| i64::try_from(rows).expect("few rows");
        let packed = (rows > 0).then(|| Packed::pack(&written).expect("few rows"));
        let provenance = packed.as_ref().map(Packed::digest);
        self.provenance.extend(packed.map(|packed| (seq, packed)));
        let cursor = |seq: i64| (seq > 1).then(|| vec![seq.to_string()]);
        self.append(Event::BatchCommitted(BatchCommitted {
            unit: "u".into(),
            from: cursor(seq),
            to: cursor(seq + 1),
            last: false,
            read: count(read),
            written: count(rows - refreshed),
            refreshed: count(refreshed),
            skipped: BTreeMap::from([("already there".into(), count(read - rows))]),
            quarantined: 0,
            provenance,
            millis: None,
        }));
    }

    /// Undoes the newest batch that is not undone; false where there is none.
    fn undo(&mut self) -> bool {
        let below = self.state.undone_to.unwrap_or(i64::MAX);
        let Some((&seq, packed)) = self.provenance.range(..below).next_back() else {
            return false;
        };
        let written = packed.unpack().expect("what was packed");
        let standing: HashMap<_, _> = self
            .table
            .iter()
            .map(|(key, value)| (key.clone(), digest(key, value)))
            .collect();
        let (refreshed, written): (Vec<_>, Vec<_>) = written
            .into_iter()
            .partition(|row| row.is_refreshed(&self.write));
        let stale = Examined::of(&refreshed, &standing, &HashMap::new());
        let found = Examined::of(&written, &standing, &HashMap::new());
        for row in stale.ours.iter().chain(&found.ours) {
            match row.before.as_deref() {
                Some([Some(before)]) => self.table.insert(row.key.clone(), before.clone()),
                _ => self.table.remove(&row.key),
            };
        }
        let undone = Event::BatchUndone(BatchUndone {
            unit: "u".into(),
            batch: seq,
            removed: i64::try_from(found.ours.len()).expect("few rows"),
            kept: found.kept,
            gone: found.gone,
            restored: i64::try_from(stale.ours.len()).expect("few rows"),
        });
        self.append(undone);
        true
    }
}

/// What a restart finds.
fn folded(stream: &[Event]) -> PartitionState {
    let mut state = PartitionState::new(PartitionPlanned {
        unit: "u".into(),
        pass: 1,
        section: 0,
        part: 0,
        lower: None,
        upper: None,
        estimate: 0,
    });
    for event in stream {
        state.apply(event).expect("what was committed is legal");
    }
    state
}

/// Does some deeds and undoes them amid others; gives what is left, and what would be without the run.
fn live(write: &Write, before: &Table, doing: &[Deed], undoing: &[Deed]) -> (Run, Table) {
    let mut run = Run::new(write.clone(), before.clone());
    let mut without = before.clone();
    let mut values = 0;
    for (place, deed) in doing.iter().chain(undoing).enumerate() {
        match deed {
            Deed::Batch(keys) if place < doing.len() => run.batch(keys, false),
            Deed::Refresh(keys) if place < doing.len() => run.batch(keys, true),
            Deed::Batch(_) | Deed::Refresh(_) => {
                run.undo();
            }
            Deed::Set(at) => {
                values += 1;
                for table in [&mut run.table, &mut without] {
                    table.insert(key(*at), format!("the application's, {values}"));
                }
            }
            Deed::Delete(at) => {
                for table in [&mut run.table, &mut without] {
                    table.remove(&key(*at));
                }
            }
            Deed::Crash => run.state = folded(&run.stream),
        }
    }
    while run.undo() {}
    (run, without)
}

fn update() -> Write {
    Write::Update {
        guard: "TRUE".into(),
    }
}

proptest! {
    #[test]
    fn an_undo_leaves_what_the_application_did(
        write in prop_oneof![Just(Write::Insert), Just(update())],
        before in prop::collection::btree_set(0..KEYS, 0..usize::from(KEYS)),
        doing in deeds(),
        undoing in deeds(),
    ) {
        let before: Table = before.into_iter().map(|at| (key(at), format!("before {at}"))).collect();
        let (run, without) = live(&write, &before, &doing, &undoing);
        prop_assert_eq!(&run.table, &without);
        prop_assert_eq!(&run.state, &folded(&run.stream));
        // Every row that was written is accounted for.
        let taken = run.state.removed + run.state.kept + run.state.gone;
        prop_assert_eq!(taken, run.state.written);
        // Twice is once.
        let mut run = run;
        prop_assert!(!run.undo());
    }
}

/// Stated policy: a row that was edited and edited back is ours again, as it is what was written.
#[test]
fn a_row_that_was_edited_back_is_removed() {
    let mut run = Run::new(Write::Insert, Table::new());
    run.batch(&[1], false);
    let ours = run.table[&key(1)].clone();
    run.table.insert(key(1), "edited".into());
    run.table.insert(key(1), ours);
    assert!(run.undo());
    assert!(run.table.is_empty());
    assert_eq!(run.state.removed, 1);
}

//! What a stopped program is doing to a SQLite file, read off the locks that it holds.
//! <https://www.sqlite.org/walformat.html#wal_locks>

/// The byte of the log's index that a writer locks.
const WRITE: u64 = 120;
/// The byte that a checkpoint locks.
const CHECKPOINT: u64 = 121;
/// The byte that a recovery of the log locks.
const RECOVER: u64 = 122;
/// The bytes of readers.
const READERS: std::ops::RangeInclusive<u64> = 123..=127;
/// The first of the bytes of the file itself that are locked where there is no log.
const PENDING: u64 = 0x4000_0000;

/// In words.
pub(super) fn state(process: u32) -> String {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    describe(&locks, process).to_owned()
}

fn describe(locks: &str, process: u32) -> &'static str {
    let process = process.to_string();
    let mut held = Vec::new();
    for line in locks.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, mode, holder, _, first, _] = fields[..]
            && holder == process
            && let Ok(first) = first.parse::<u64>()
        {
            held.push((mode == "WRITE", first));
        }
    }
    let holds = |is_meant: &dyn Fn(bool, u64) -> bool| {
        held.iter()
            .any(|(exclusive, first)| is_meant(*exclusive, *first))
    };
    if holds(&|exclusive, first| exclusive && (first == WRITE || first >= PENDING)) {
        "in a writing transaction"
    } else if holds(&|exclusive, first| exclusive && first == CHECKPOINT) {
        "in a checkpoint"
    } else if holds(&|exclusive, first| exclusive && first == RECOVER) {
        "recovering the log"
    } else if holds(&|_, first| READERS.contains(&first)) {
        "reading"
    } else if held.is_empty() {
        "the database is not open"
    } else {
        "between transactions"
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn locks_are_told_apart() {
        let line = |mode: &str, process: u32, first: u64| {
            format!("1: POSIX  ADVISORY  {mode} {process} fe:00:10282205 {first} {first}\n")
        };
        let open = line("READ", 7, 128);
        for (more, state) in [
            (String::new(), "between transactions"),
            (line("READ", 7, 124), "reading"),
            (line("WRITE", 7, 120), "in a writing transaction"),
            (line("WRITE", 8, 120), "between transactions"),
            (line("WRITE", 7, 121), "in a checkpoint"),
            (line("WRITE", 7, 1_073_741_825), "in a writing transaction"),
        ] {
            assert_eq!(describe(&format!("{open}{more}"), 7), state);
        }
        assert_eq!(describe(&open, 9), "the database is not open");
    }
}

//! A run that keeps no provenance, so that a benchmark can say what provenance costs. Without the feature `bench`, which no
//! release has, there is none: nothing that such a run wrote could ever be undone.

/// Whether rows are written and nothing is kept of them: no digest, no key, no value before.
#[cfg(not(feature = "bench"))]
pub(crate) fn is_asked_for() -> bool {
    false
}

/// Whether rows are written and nothing is kept of them: no digest, no key, no value before.
#[cfg(feature = "bench")]
pub(crate) fn is_asked_for() -> bool {
    use std::sync::OnceLock;

    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| {
        std::env::var("BACKSTITCH_BENCH_WITHOUT").is_ok_and(|without| without == "provenance")
    })
}

/// What is kept of the rows that a batch wrote.
pub(crate) fn kept<T>(written: &[T]) -> &[T] {
    if is_asked_for() { &[] } else { written }
}

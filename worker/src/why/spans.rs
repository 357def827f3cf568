//! Times from one instant to another: how much of a time they cover together.

/// From an instant, included, to another, excluded; milliseconds since 1970.
pub(super) type Span = (i64, i64);

/// The same spans as far as they lie within another, in order, none of them touching the next.
pub(super) fn within(spans: impl IntoIterator<Item = Span>, (from, to): Span) -> Vec<Span> {
    let cut = |(begin, end): Span| (begin.max(from), end.min(to));
    let mut spans: Vec<_> = spans.into_iter().map(cut).collect();
    spans.retain(|(begin, end)| begin < end);
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for (begin, end) in spans {
        match joined.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    joined
}

/// What is left of a span between those.
pub(super) fn between(spans: &[Span], (from, to): Span) -> Vec<Span> {
    let mut gaps = Vec::new();
    let mut at = from;
    for (begin, end) in within(spans.iter().copied(), (from, to)) {
        if at < begin {
            gaps.push((at, begin));
        }
        at = end;
    }
    if at < to {
        gaps.push((at, to));
    }
    gaps
}

/// How long they are together; none of them touches another.
pub(super) fn length(spans: &[Span]) -> i64 {
    spans.iter().map(|(begin, end)| end - begin).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each instant lies in a span or in a gap, and the two never overlap.
        #[test]
        fn spans_and_gaps_are_all_of_a_time(
            spans in prop::collection::vec((0..60_i64, 0..60_i64), 0..8),
            from in 0..30_i64,
            size in 0..30_i64,
        ) {
            let time = (from, from + size);
            let covered = within(spans.clone(), time);
            let gaps = between(&spans, time);
            for at in time.0..time.1 {
                let is_in = |spans: &[Span]| spans.iter().filter(|(begin, end)| (*begin..*end).contains(&at)).count();
                let wanted = spans.iter().any(|(begin, end)| (*begin..*end).contains(&at));
                prop_assert_eq!(is_in(&covered), usize::from(wanted));
                prop_assert_eq!(is_in(&gaps), usize::from(!wanted));
            }
            prop_assert_eq!(length(&covered) + length(&gaps), size);
        }
    }
}

//! Which seeds a suite tries.

/// The seeds from 0, or those that the environment asks for.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match number("BACKSTITCH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BACKSTITCH_SEEDS").unwrap_or(usual),
    }
}

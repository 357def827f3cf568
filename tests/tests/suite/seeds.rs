//! Which seeds a suite tries.

use tests::server::Server;

/// The seeds from 0, or those that the environment asks for; fewer where the plain server has had its share.
pub(crate) fn seeds(usual: usize) -> std::ops::Range<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match number("BACKSTITCH_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let usual = Server::current().share(usual) as u64;
            0..number("BACKSTITCH_SEEDS").unwrap_or(usual)
        }
    }
}

//! So many bytes of write-ahead log a second: the share of its time that the process may work, so that the server writes no
//! more.

use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::time::Instant;

/// The process never stops altogether: it is others that write the log then.
const LEAST: f64 = 0.02;

/// How much log the server may write, whoever makes it, as an operator says it: `20MB/s`, or `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxLogRate(pub(super) Option<u64>);

/// The share of its time that the process may work.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogRate {
    share: f64,
    last: Option<(Instant, i64)>,
}

impl Default for LogRate {
    fn default() -> Self {
        Self {
            share: 1.0,
            last: None,
        }
    }
}

impl LogRate {
    /// Takes note of where the log ends, in bytes; gives the share, from a fiftieth to 1. What is written is in proportion to
    /// it, so a step or two find it.
    pub(super) fn look(&mut self, now: Instant, log: i64, most: u64) -> f64 {
        if let Some((at, known)) = self.last {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "bytes of less than a second")]
            let (written, most) = ((log - known).max(0) as f64, most as f64 * passed);
            // Nothing is learned from nothing.
            let step = if written < 1.0 { 2.0 } else { most / written };
            self.share = (self.share * step.clamp(0.25, 1.25)).clamp(LEAST, 1.0);
        }
        self.last = Some((now, log));
        self.share
    }
}

impl FromStr for MaxLogRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 3] = [("kB/s", 1 << 10), ("MB/s", 1 << 20), ("GB/s", 1 << 30)];
        if text == "off" {
            return Ok(Self(None));
        }
        let bytes = UNITS.iter().find_map(|(unit, bytes)| {
            let digits = text.strip_suffix(unit)?;
            let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse::<u64>().ok().filter(|_| are_digits)?;
            number.checked_mul(*bytes).filter(|bytes| *bytes > 0)
        });
        match bytes {
            Some(bytes) => Ok(Self(Some(bytes))),
            None => Err("it must be bytes a second, such as 500kB/s or 20MB/s, or off".into()),
        }
    }
}

impl Display for MaxLogRate {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => out.write_str("off"),
            Some(bytes) if bytes % (1 << 20) == 0 => write!(out, "{}MB/s", bytes >> 20),
            Some(bytes) => write!(out, "{}kB/s", bytes >> 10),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test's figures are small"
)]
mod tests {
    use std::str::FromStr as _;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{LogRate, MaxLogRate};

    #[test]
    fn a_rate_has_a_unit() {
        for (text, shown) in [
            ("off", Some("off")),
            ("20MB/s", Some("20MB/s")),
            ("500kB/s", Some("500kB/s")),
            ("1GB/s", Some("1024MB/s")),
            ("0MB/s", None),
            ("20MB", None),
            ("20", None),
            ("-1MB/s", None),
            ("99999999999999999999MB/s", None),
            ("99999999999GB/s", None),
            ("", None),
        ] {
            let parsed = MaxLogRate::from_str(text).ok().map(|rate| rate.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        }
    }

    proptest! {
        /// However much it would write and others write beside it: what is written comes down to what may be, as far as it
        /// is ours, and at full speed where that is no more.
        #[test]
        fn it_finds_the_share(ours in 1_i64..400, others in 0_i64..30, most in 1_u64..100) {
            const MB: i64 = 1 << 20;
            let (mut rate, mut now, mut log, mut share) = (LogRate::default(), Instant::now(), 0, 1.0);
            for look in 0..200 {
                let written = (share * (ours * MB) as f64 + (others * MB) as f64) / 2.0;
                if look > 100 {
                    let least = (most as f64).max(others as f64 + 0.02 * ours as f64) / 2.0 * MB as f64;
                    prop_assert!(written <= least * 1.3, "{} rather than {}", written, least);
                }
                log += written as i64;
                now += Duration::from_millis(500);
                share = rate.look(now, log, most << 20);
            }
            let is_enough = u64::try_from(ours + others).expect("positive") <= most;
            prop_assert!(!is_enough || share > 0.99, "{}", share);
        }
    }
}

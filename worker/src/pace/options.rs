//! What an operator may say about the pace.

use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::log_rate::MaxLogRate;
use super::window::Window;

/// Rows a second that nobody comes near.
const MOST_ROWS: u32 = 10_000_000;

/// How fast the work may be: `auto`, `off`, or rows a second as in `2000/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// As fast as nobody notices; holds where the server is in trouble.
    #[default]
    Auto,
    /// As fast as can be, whoever notices.
    Off,
    /// So many source rows a second at most; holds where the server is in trouble.
    Rows(u32),
}

/// How far replicas may be behind, as an operator says it: `30s`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxLag(pub(super) Option<Duration>);

/// How fast the work may be, and what makes it hold: the same options for every command that works in batches.
#[derive(Args, Clone, Debug, Default)]
pub struct Limits {
    /// How fast: auto (slows down as soon as those who work beside it wait longer than usual, and holds where the server is
    /// in trouble), off (as fast as can be), or so many source rows a second, such as 2000/s.
    #[arg(long = "pace", value_name = "auto|off|ROWS/s", default_value_t)]
    pub speed: Speed,

    /// Hold while this query gives a value that is neither false, 0 nor NULL, or fails; asked every second, may be repeated.
    #[arg(long, value_name = "SELECT", value_parser = NonEmptyStringValueParser::new())]
    pub hold_when: Vec<String>,

    /// Go on only within these hours of the day, UTC, by the database's clock; may be repeated, may go over midnight.
    #[arg(long = "window", value_name = "HH:MM-HH:MM")]
    pub windows: Vec<Window>,

    /// Hold while a replica is further behind than this: a duration, or off. PostgreSQL only.
    #[arg(long = "max-replica-lag", value_name = "DURATION", default_value_t)]
    pub max_lag: MaxLag,

    /// Slow down so that the server writes no more log (WAL) than this, whoever makes it, such as 20MB/s; or off. PostgreSQL
    /// only.
    #[arg(long = "max-wal-rate", value_name = "BYTES/s", default_value_t)]
    pub max_log_rate: MaxLogRate,

    /// A replica or subscriber that may be late, by its application_name; may be repeated.
    #[arg(long = "ignore-replica", value_name = "NAME")]
    pub ignored: Vec<String>,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let digits = text.strip_suffix("/s").unwrap_or_default();
        let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(rows) if are_digits && (1..=MOST_ROWS).contains(&rows) => Ok(Self::Rows(rows)),
            _ => Err(
                "it must be auto, off, or rows a second such as 2000/s, at most 10000000/s".into(),
            ),
        }
    }
}

impl Display for Speed {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::Off => out.write_str("off"),
            Self::Rows(rows) => write!(out, "{rows}/s"),
        }
    }
}

impl Default for MaxLag {
    /// Beyond the ten seconds after which a replica reports at the latest where nothing is written
    /// (`wal_receiver_status_interval`).
    fn default() -> Self {
        Self(Some(Duration::from_secs(30)))
    }
}

impl FromStr for MaxLag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        match humantime::parse_duration(text) {
            Ok(lag) if lag >= Duration::from_secs(1) => Ok(Self(Some(lag))),
            _ => Err("it must be a duration of a second or more, such as 30s or 2m, or off".into()),
        }
    }
}

impl Display for MaxLag {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(lag) => write!(out, "{}", humantime::format_duration(lag)),
            None => out.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::{MaxLag, Speed};

    #[test]
    fn a_lag_is_a_duration_or_off() {
        for (text, shown) in [
            ("30s", Some("30s")),
            ("1500ms", Some("1s 500ms")),
            ("2m", Some("2m")),
            ("off", Some("off")),
            ("0", None),
            ("0s", None),
            ("999ms", None),
            ("30", None),
            ("-1s", None),
            ("", None),
        ] {
            let parsed = MaxLag::from_str(text).ok().map(|lag| lag.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        }
        let default = MaxLag::default();
        assert_eq!(MaxLag::from_str(&default.to_string()), Ok(default));
    }

    #[test]
    fn a_speed_is_a_word_or_rows_a_second() {
        for (text, is) in [
            ("auto", Some(Speed::Auto)),
            ("off", Some(Speed::Off)),
            ("1/s", Some(Speed::Rows(1))),
            ("2000/s", Some(Speed::Rows(2_000))),
            ("10000000/s", Some(Speed::Rows(10_000_000))),
            ("10000001/s", None),
            ("99999999999/s", None),
            ("0/s", None),
            ("-5/s", None),
            ("+5/s", None),
            ("2000", None),
            ("2000/m", None),
            ("/s", None),
            ("fast", None),
            ("", None),
        ] {
            let parsed = Speed::from_str(text).ok();
            assert_eq!(parsed, is, "{text}");
            if let Some(speed) = parsed {
                assert_eq!(speed.to_string(), text);
            }
        }
    }
}

//! Values of the file that have a form of their own.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::gate::target::{Amount, Quantity, Unit};

/// More often than this would be a load of its own.
const SHORTEST: Duration = Duration::from_millis(100);

/// A duration like `30s`.
#[derive(Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(span) if span >= SHORTEST => Ok(Self(span)),
            Ok(_) => Err(D::Error::custom(format!("{text:?} is too short"))),
            Err(_) => Err(D::Error::custom(format!(
                "{text:?} is no duration, like \"30s\" or \"2h\""
            ))),
        }
    }
}

/// A number with its unit.
pub(super) struct Written(pub(super) Amount);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Amount::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A share like `1 %`.
#[derive(Clone, Copy)]
pub(super) struct Share(pub(super) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Written(amount) = Written::deserialize(deserializer)?;
        if amount.unit.quantity != Quantity::Share || amount.base > 1.0 {
            return Err(D::Error::custom(format!(
                "\"{amount}\" is no share from 0 % to 100 %"
            )));
        }
        Ok(Self(amount.base))
    }
}

/// A unit like `ms`.
pub(super) struct UnitWord(pub(super) Unit);

impl<'de> Deserialize<'de> for UnitWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Unit::named(&text).map(Self).map_err(D::Error::custom)
    }
}

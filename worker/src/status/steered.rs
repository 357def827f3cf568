//! What operators wish of a run, where they wish for anything.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use serde::Serialize;

use crate::control;
use crate::core::event::Setting;
use crate::core::state::{RunState, Standing};
use crate::error::Result;

/// What operators wish of a run, or of the rollback of it that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Steered {
    /// `going`, `paused` or `cancelled`.
    pub standing: &'static str,
    /// Who paused or cancelled it.
    pub by: Option<String>,
    /// What they had to say.
    pub note: Option<String>,
    /// When, milliseconds since 1970.
    pub since: Option<i64>,
    /// The settings that are others than the command lines say, spelled as there.
    pub settings: BTreeMap<Setting, String>,
}

/// What is wished of a run now; none: nothing.
///
/// # Errors
/// The database's; a stream that does not fold.
pub(super) async fn load(
    connection: &impl ConnectionTrait,
    run: &str,
    state: &RunState,
) -> Result<Option<Steered>> {
    let Some(stream) = state.control() else {
        return Ok(None);
    };
    let loaded = control::load(connection, run, &stream).await?;
    let control = loaded.state;
    if control.standing == Standing::Going && control.settings.is_empty() {
        return Ok(None);
    }
    let whose = control.standing.whose();
    Ok(Some(Steered {
        standing: control.standing.word(),
        by: whose.map(|word| word.by.clone()),
        note: whose.and_then(|word| word.note.clone()),
        since: loaded.since,
        settings: control
            .settings
            .into_iter()
            .map(|(setting, wished)| (setting, wished.value))
            .collect(),
    }))
}

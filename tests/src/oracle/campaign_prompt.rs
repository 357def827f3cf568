//! `Campaign.prompt`, from the metadata of every campaign, whatever its age.

use std::collections::BTreeMap;

use super::sources::{Campaign, Sources};
use super::{Bad, is_sound};
use crate::compare::Row;
use crate::json::Json;
use crate::source::Value;

/// Every campaign's prompt after the run.
pub(super) struct Prompts(BTreeMap<String, Option<String>>);

impl Prompts {
    pub(super) fn of(&self, campaign: &str) -> Option<&str> {
        self.0.get(campaign).and_then(Option::as_deref)
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let cell = |prompt: &Option<String>| prompt.clone().map_or(Value::Null, Value::Text);
        self.0
            .iter()
            .map(|(id, prompt)| vec![Value::Text(id.clone()), cell(prompt)])
            .collect()
    }
}

pub(super) fn expect(sources: &Sources) -> (Prompts, Bad) {
    let mut prompts = BTreeMap::new();
    let mut bad = Bad::default();
    for campaign in &sources.campaigns {
        let from_metadata = recorded(campaign);
        let prompt = match (&campaign.prompt, from_metadata) {
            // Whether metadata that nobody needs is looked at is the worker's to choose.
            (Some(set), found) => {
                bad.arguable += usize::from(found.is_err());
                Some(set.clone())
            }
            (None, Ok(prompt)) => prompt,
            (None, Err(reason)) => {
                bad.certain.push(format!("{} {reason}", campaign.id));
                None
            }
        };
        prompts.insert(campaign.id.clone(), prompt);
    }
    (Prompts(prompts), bad)
}

/// The prompt that the metadata holds, if any; the reason where it is bad.
fn recorded(campaign: &Campaign) -> Result<Option<String>, String> {
    let Some(metadata) = &campaign.metadata else {
        return Ok(None);
    };
    match Json::parse(metadata)?.get("prompt") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(Json::Text(text)) if is_sound(text) => Ok(Some(text.trim().to_owned())),
        Some(Json::Text(_)) => Err("the prompt is too long or holds NUL".to_owned()),
        Some(_) => Err("the prompt is no string".to_owned()),
    }
}

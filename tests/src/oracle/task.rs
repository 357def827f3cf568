//! One report of an agent's execution, judged.

use std::collections::BTreeMap;

use super::{LONGEST, is_sound};
use crate::json::Json;
use crate::moment::Moment;

/// A sound report.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) agent: String,
    pub(super) asset: Option<String>,
    pub(super) completed: Moment,
    pub(super) success: bool,
    pub(super) duration: Json,
    pub(super) tokens_in: Json,
    pub(super) tokens_out: Json,
    pub(super) cost: Json,
    pub(super) model: Json,
}

impl Report {
    /// Reads a task object; the reason where it is bad.
    pub(super) fn from_json(task: &Json, as_of: Moment) -> Result<Self, String> {
        if !matches!(task, Json::Object(_)) {
            return Err("no object".to_owned());
        }
        if task.to_string().len() > LONGEST {
            return Err("over 1 MiB".to_owned());
        }
        let Json::Text(agent) = required(task, "agentId")? else {
            return Err("agentId is no string".to_owned());
        };
        let Json::Text(completed) = required(task, "completedAt")? else {
            return Err("completedAt is no string".to_owned());
        };
        let Json::Bool(success) = required(task, "success")? else {
            return Err("success is no boolean".to_owned());
        };
        let asset = match optional(task, "assetId", is_text)? {
            Json::Text(asset) => Some(asset),
            _ => None,
        };
        let completed = Moment::parse_rfc3339(completed)
            .ok_or_else(|| format!("completedAt is no instant: {completed}"))?;
        let report = Self {
            agent: agent.clone(),
            asset,
            completed,
            success: *success,
            duration: optional(task, "duration", is_number)?,
            tokens_in: optional(task, "tokensIn", is_number)?,
            tokens_out: optional(task, "tokensOut", is_number)?,
            cost: optional(task, "cost", is_number)?,
            model: optional(task, "model", is_text)?,
        };
        report.check(as_of)?;
        Ok(report)
    }

    /// Checks what is common to the reports of all sources.
    pub(super) fn check(&self, as_of: Moment) -> Result<(), String> {
        if self.completed > as_of {
            return Err(format!(
                "completed at {}, after as_of",
                self.completed.stored()
            ));
        }
        let numbers = [
            &self.duration,
            &self.tokens_in,
            &self.tokens_out,
            &self.cost,
        ];
        if numbers.into_iter().any(is_too_fine) {
            return Err("more digits behind the point than PostgreSQL holds".to_owned());
        }
        if is_negative(&self.tokens_in) || is_negative(&self.tokens_out) {
            return Err("a negative count of tokens".to_owned());
        }
        let model = if let Json::Text(model) = &self.model {
            Some(model)
        } else {
            None
        };
        let texts = [Some(&self.agent), self.asset.as_ref(), model];
        if texts.into_iter().flatten().all(|text| is_sound(text)) {
            Ok(())
        } else {
            Err("a text is too long or holds NUL".to_owned())
        }
    }

    /// The event's payload.
    pub(super) fn payload(&self, campaign: &str) -> Json {
        let asset = self.asset.clone().map_or(Json::Null, Json::Text);
        let fields = [
            ("campaignId", Json::Text(campaign.to_owned())),
            ("assetId", asset),
            ("duration", self.duration.clone()),
            ("tokensIn", self.tokens_in.clone()),
            ("tokensOut", self.tokens_out.clone()),
            ("cost", self.cost.clone()),
            ("success", Json::Bool(self.success)),
            ("model", self.model.clone()),
        ];
        Json::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
        )
    }
}

fn required<'a>(task: &'a Json, key: &str) -> Result<&'a Json, String> {
    match task.get(key) {
        None | Some(Json::Null) => Err(format!("{key} is missing")),
        Some(value) => Ok(value),
    }
}

fn optional(task: &Json, key: &str, fits: fn(&Json) -> bool) -> Result<Json, String> {
    match task.get(key) {
        None | Some(Json::Null) => Ok(Json::Null),
        Some(value) if fits(value) => Ok(value.clone()),
        Some(value) => Err(format!("{key} is wrongly typed: {value}")),
    }
}

fn is_text(value: &Json) -> bool {
    matches!(value, Json::Text(_))
}

fn is_number(value: &Json) -> bool {
    matches!(value, Json::Number(_))
}

fn is_negative(value: &Json) -> bool {
    matches!(value, Json::Number(number) if number.starts_with('-'))
}

fn is_too_fine(value: &Json) -> bool {
    let power = |number: &String| {
        number
            .split_once('e')
            .and_then(|(_, power)| power.parse().ok())
    };
    matches!(value, Json::Number(number) if power(number).is_some_and(|power: i64| power < -16_383))
}

//! An agent execution, as any of the three sources reports it: parsed with its JSON kept to the letter, so that no
//! number loses a digit on its way through.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::json;
use crate::source::{HAS_NUL, Source};
use crate::time;
use crate::unit::{Item, Row};

/// Why a report of an execution is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is bad.
    Bad(&'static str),
    /// It ended after the instant that the run stands for.
    AfterAsOf,
}

impl From<&'static str> for Fault {
    fn from(reason: &'static str) -> Self {
        Self::Bad(reason)
    }
}

/// What becomes of a report. `key` names the row that it stands in.
///
/// What ends after `as_of` is bad where the first pass meets it, by the contract. What a catch-up pass meets was
/// reported while the run went on, as a live application does: it is the next run's.
pub(super) fn item(
    source: &Source,
    task: Result<Task, Fault>,
    key: String,
    event: impl FnOnce(Task, String) -> Row,
) -> Item {
    match task {
        Ok(task) => Item::Row(event(task, key)),
        Err(Fault::AfterAsOf) if source.catching_up => Item::Skip("completed after as_of"),
        Err(Fault::AfterAsOf) => Item::Bad {
            key,
            reason: "completedAt is after as_of".into(),
        },
        Err(Fault::Bad(reason)) => Item::Bad {
            key,
            reason: reason.into(),
        },
    }
}

/// An execution whose fields are all right.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) agent: String,
    pub(super) asset: Option<String>,
    pub(super) completed_at: i64,
    pub(super) success: bool,
    pub(super) duration: Optional,
    pub(super) tokens_in: Optional,
    pub(super) tokens_out: Optional,
    pub(super) cost: Optional,
    pub(super) model: Option<String>,
}

/// A number as JSON text, or null.
#[derive(Debug)]
pub(super) struct Optional(String);

impl Optional {
    pub(super) fn number(number: impl ToString) -> Self {
        Self(number.to_string())
    }
}

impl Task {
    /// Reads a task object. `as_of`: nothing may be dated after it.
    pub(super) fn parse(json: &str, as_of: i64) -> Result<Self, Fault> {
        let fields = Fields::parse(json).ok_or("the task cannot be read as a JSON object")?;
        Self::from_fields(&fields, as_of)
    }

    fn from_fields(fields: &Fields<'_>, as_of: i64) -> Result<Self, Fault> {
        let agent = text(fields.agent, "agentId is not a string")?;
        let completed = text(fields.completed_at, "completedAt is not a string")?;
        let success = match fields.success.map(RawValue::get) {
            Some("true") => true,
            Some("false") => false,
            Some("null") | None => return Err(Fault::Bad("success is missing")),
            Some(_) => return Err(Fault::Bad("success is not a boolean")),
        };
        let task = Self {
            agent: agent.ok_or("agentId is missing")?,
            asset: text(fields.asset, "assetId is not a string")?,
            completed_at: time::parse_millis(&completed.ok_or("completedAt is missing")?)
                .ok_or("completedAt is not a time in RFC 3339")?,
            success,
            duration: number(fields.duration, "duration is not a number")?,
            tokens_in: number(fields.tokens_in, "tokensIn is not a number")?,
            tokens_out: number(fields.tokens_out, "tokensOut is not a number")?,
            cost: number(fields.cost, "cost is not a number")?,
            model: text(fields.model, "model is not a string")?,
        };
        Self::checked(task, as_of)
    }

    /// Rules that hold for every source.
    pub(super) fn checked(task: Self, as_of: i64) -> Result<Self, Fault> {
        if task.completed_at > as_of {
            return Err(Fault::AfterAsOf);
        }
        let is_negative = |number: &Optional| number.0.starts_with('-') && !is_zero(&number.0);
        if is_negative(&task.tokens_in) || is_negative(&task.tokens_out) {
            return Err(Fault::Bad("a token count is negative"));
        }
        let numbers = [
            &task.duration,
            &task.tokens_in,
            &task.tokens_out,
            &task.cost,
        ];
        if !numbers
            .into_iter()
            .all(|number| number.0 == "null" || json::fits(&number.0))
        {
            return Err(Fault::Bad("a number does not fit the column"));
        }
        let texts = [Some(&task.agent), task.asset.as_ref(), task.model.as_ref()];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Fault::Bad(HAS_NUL));
        }
        Ok(task)
    }

    /// The payload that the contract asks for: exactly these fields, a missing optional value as null.
    pub(super) fn payload(&self, campaign: &str) -> String {
        let mut payload = String::with_capacity(256 + campaign.len());
        let mut field = |name: &str, value: &str| {
            payload.push(if payload.is_empty() { '{' } else { ',' });
            payload.push('"');
            payload.push_str(name);
            payload.push_str("\":");
            payload.push_str(value);
        };
        field("campaignId", &json::quoted(Some(campaign)));
        field("assetId", &json::quoted(self.asset.as_deref()));
        field("duration", &self.duration.0);
        field("tokensIn", &self.tokens_in.0);
        field("tokensOut", &self.tokens_out.0);
        field("cost", &self.cost.0);
        field("success", if self.success { "true" } else { "false" });
        field("model", &json::quoted(self.model.as_deref()));
        payload.push('}');
        payload
    }
}

/// A required or optional text; null is missing.
fn text(field: Option<&RawValue>, wrong: &'static str) -> Result<Option<String>, &'static str> {
    match field.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(json) if json.starts_with('"') => match json::plain(json) {
            Some(text) => Ok(Some(text.to_owned())),
            None => serde_json::from_str(json)
                .map(Some)
                .map_err(|_| "a text is not Unicode"),
        },
        Some(_) => Err(wrong),
    }
}

fn number(field: Option<&RawValue>, wrong: &'static str) -> Result<Optional, &'static str> {
    match field.map(RawValue::get) {
        None | Some("null") => Ok(Optional("null".into())),
        Some(json) if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Ok(Optional(json.into()))
        }
        Some(_) => Err(wrong),
    }
}

fn is_zero(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    !mantissa.bytes().any(|digit| (b'1'..=b'9').contains(&digit))
}

/// The fields that a task may have, unparsed. A key that stands twice has its last value, as in JSONB.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) campaign: Option<&'a RawValue>,
    agent: Option<&'a RawValue>,
    asset: Option<&'a RawValue>,
    completed_at: Option<&'a RawValue>,
    success: Option<&'a RawValue>,
    duration: Option<&'a RawValue>,
    tokens_in: Option<&'a RawValue>,
    tokens_out: Option<&'a RawValue>,
    cost: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    /// What a log line holds beside or around a task.
    pub(super) message: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// The fields of a JSON object; none where the text is no JSON object.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Whether this is a report of an agent execution: it names its campaign and at least two of the three things
    /// that a report cannot do without, so one with a single mistake is seen as bad rather than passed over.
    pub(super) fn is_task(&self) -> bool {
        let required = [self.agent, self.completed_at, self.success];
        self.campaign.is_some() && required.into_iter().flatten().count() >= 2
    }

    /// The campaign's id.
    pub(super) fn campaign_id(&self) -> Result<String, &'static str> {
        let id = text(self.campaign, "campaignId is not a string")?;
        match id.ok_or("campaignId is missing")? {
            id if id.contains('\0') => Err(HAS_NUL),
            id => Ok(id),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<&RawValue>()? {
                    // A key with half a surrogate is no text, and so none of these.
                    let key = match json::plain(key.get()) {
                        Some(key) => Cow::Borrowed(key),
                        None => serde_json::from_str(key.get()).unwrap_or_default(),
                    };
                    let field = match key.as_ref() {
                        "campaignId" => &mut fields.campaign,
                        "agentId" => &mut fields.agent,
                        "assetId" => &mut fields.asset,
                        "completedAt" => &mut fields.completed_at,
                        "success" => &mut fields.success,
                        "duration" => &mut fields.duration,
                        "tokensIn" => &mut fields.tokens_in,
                        "tokensOut" => &mut fields.tokens_out,
                        "cost" => &mut fields.cost,
                        "model" => &mut fields.model,
                        "message" => &mut fields.message,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *field = Some(map.next_value()?);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fault, Task};
    use crate::fuzz::{bounded, nearly};

    const AS_OF: i64 = 1_762_214_400_000;
    const GOOD: &str = r#""agentId":"a","completedAt":"2025-11-03T00:00:00Z","success":true"#;

    fn parse(fields: &str) -> Result<Task, Fault> {
        Task::parse(&format!("{{{fields}}}"), AS_OF)
    }

    #[test]
    fn numbers_keep_every_digit() {
        let fields =
            format!(r#"{GOOD},"cost":0.10,"tokensIn":12345678901234567890,"duration":1E2"#);
        let payload = parse(&fields).expect("a good task").payload("c");
        assert_eq!(
            payload,
            r#"{"campaignId":"c","assetId":null,"duration":1E2,"tokensIn":12345678901234567890,"tokensOut":null,"cost":0.10,"success":true,"model":null}"#
        );
    }

    #[test]
    fn a_key_that_stands_twice_has_its_last_value() {
        let task = parse(&format!(
            r#"{GOOD},"model":7,"\u006dodel":"m","other":{{"deep":[]}},"\ud800":1"#
        ));
        assert_eq!(task.expect("a good task").model.as_deref(), Some("m"));
    }

    #[test]
    fn each_fault_has_its_reason() {
        for (fields, reason) in [
            (r#""agentId":1"#, "agentId is not a string"),
            (
                r#""completedAt":"2025-11-03T00:00:00Z","success":true"#,
                "agentId is missing",
            ),
            (r#""agentId":"a","success":true"#, "completedAt is missing"),
            (
                r#""agentId":"a","success":true,"completedAt":"soon""#,
                "completedAt is not a time in RFC 3339",
            ),
            (
                r#""agentId":"a","success":"yes""#,
                "success is not a boolean",
            ),
            (&format!(r#"{GOOD},"cost":"0.1""#), "cost is not a number"),
            (
                &format!(r#"{GOOD},"tokensIn":-1"#),
                "a token count is negative",
            ),
            (
                &format!(r#"{GOOD},"cost":1e99999"#),
                "a number does not fit the column",
            ),
            (
                &format!(r#"{GOOD},"model":"\u0000""#),
                "a text contains a NUL character",
            ),
            (
                &format!(r#"{GOOD},"cost":0.{}e-16000"#, "1".repeat(500)),
                "a number does not fit the column",
            ),
            (
                &format!(r#"{GOOD},"model":"\ud800""#),
                "a text is not Unicode",
            ),
        ] {
            assert_eq!(parse(fields).err(), Some(Fault::Bad(reason)), "{fields}");
        }
        let late = GOOD.replace("2025-11-03", "2025-11-05");
        assert_eq!(parse(&late).err(), Some(Fault::AfterAsOf));
    }

    /// A task with every field, and one with none but the required.
    fn tasks() -> Vec<String> {
        let full = format!(
            r#"{{{GOOD},"campaignId":"c","assetId":"é","duration":1.5e3,"tokensIn":10,"tokensOut":-0,"cost":0.10,"model":"m\n","other":[{{"a":[null]}}],"message":"x"}}"#
        );
        vec![full, format!("{{{GOOD}}}")]
    }

    /// Fields that nobody named, and such that are no text, may nest as deep as they like.
    #[test]
    fn deep_nesting_takes_no_stack() {
        let deep = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
        let json = format!(r#"{{{GOOD},"other":{deep}}}"#);
        bounded(json.len(), 2, || Task::parse(&json, AS_OF)).expect("a good task");
        let json = format!(r#"{{{GOOD},"model":{deep}}}"#);
        let fault = bounded(json.len(), 2, || Task::parse(&json, AS_OF)).err();
        assert_eq!(fault, Some(Fault::Bad("model is not a string")));
    }

    proptest! {
        /// What is nearly a task: no panic, memory in proportion, and whatever is taken is dated right and gives a
        /// payload of exactly the contract's fields.
        #[test]
        fn no_task_panics(bytes in nearly(tasks())) {
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(task) = bounded(text.len(), 4, || Task::parse(&text, AS_OF)) {
                prop_assert!(task.completed_at <= AS_OF);
                let payload: serde_json::Value = serde_json::from_str(&task.payload("c"))
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                let fields: Vec<_> = payload.as_object().expect("an object").keys().collect();
                prop_assert_eq!(
                    fields,
                    ["assetId", "campaignId", "cost", "duration", "model", "success", "tokensIn", "tokensOut"]
                );
            }
        }

        /// Whatever stands in a source: no panic, and what is taken makes a payload that is JSON.
        #[test]
        fn anything_is_taken_or_refused(
            cost in "[-+0-9.eE]{0,12}|null|\"[a-z]*\"|\\[[0-9,]*\\]",
            model in "\\PC{0,20}",
            raw in "\\PC{0,60}",
        ) {
            let _ = Task::parse(&raw, AS_OF);
            let model = serde_json::json!(model);
            if let Ok(task) = parse(&format!(r#"{GOOD},"cost":{cost},"model":{model}"#)) {
                let payload = task.payload("c");
                prop_assert!(serde_json::from_str::<serde_json::Value>(&payload).is_ok(), "{payload}");
            }
        }
    }
}

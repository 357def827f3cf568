//! `PromptPerformance`: one row for each campaign of the window that was seen by anybody.

use super::campaign_prompt::Prompts;
use super::sources::Sources;
use super::{Bad, Question, is_sound};
use crate::compare::Row;
use crate::source::Value;

/// The largest number that the columns hold.
const LARGEST: i64 = 2_147_483_647;

const NO_PROMPT: &str = "Legacy campaign (no prompt recorded)";

pub(super) fn expect(sources: &Sources, question: &Question, prompts: &Prompts) -> (Vec<Row>, Bad) {
    let (mut rows, mut bad) = (Vec::new(), Bad::default());
    for campaign in sources
        .campaigns
        .iter()
        .filter(|campaign| question.holds(campaign.created))
    {
        let (mut impressions, mut clicks, mut conversions) = (0, 0, 0);
        for job in sources
            .jobs
            .iter()
            .filter(|job| job.campaign == campaign.id)
        {
            if job.is_negative() {
                bad.certain.push(format!("{}: a negative count", job.id));
                continue;
            }
            impressions += job.impressions;
            clicks += job.clicks;
            conversions += job.conversions;
        }
        if impressions == 0 {
            continue;
        }
        if [impressions, clicks, conversions]
            .iter()
            .any(|sum| *sum > LARGEST)
        {
            bad.certain
                .push(format!("{}: a sum beyond the column", campaign.id));
            continue;
        }
        let prompt = prompts.of(&campaign.id).unwrap_or(NO_PROMPT);
        if !is_sound(prompt) {
            let reason = format!("{}: its prompt cannot be written", campaign.id);
            bad.certain.push(reason);
            continue;
        }
        rows.push(vec![
            Value::Text(campaign.id.clone()),
            Value::Text(prompt.to_owned()),
            Value::Null,
            Value::Int(impressions),
            Value::Int(clicks),
            Value::Int(conversions),
            Value::Double(exact(clicks) / exact(impressions)),
            Value::Double(exact(conversions) / exact(clicks.max(1))),
            Value::Null,
            Value::Null,
            Value::Double(0.0),
            Value::Moment(campaign.created),
            Value::Moment(question.as_of),
        ]);
    }
    (rows, bad)
}

fn exact(number: i64) -> f64 {
    f64::from(i32::try_from(number).expect("sums beyond the column were set aside"))
}

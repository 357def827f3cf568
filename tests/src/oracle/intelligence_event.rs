//! `IntelligenceEvent`: one event for each agent execution, however often it was reported.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};

use super::sources::{AgentTask, Campaign, Sources};
use super::task::Report;
use super::{Bad, Question, is_sound, logs};
use crate::compare::Row;
use crate::json::Json;
use crate::moment::Moment;
use crate::source::Value;

pub(super) fn expect(sources: &Sources, question: &Question) -> Result<(Vec<Row>, Bad)> {
    let campaigns: BTreeMap<&str, &Campaign> = sources
        .campaigns
        .iter()
        .map(|campaign| (campaign.id.as_str(), campaign))
        .collect();
    let mut events = Events::default();
    // The order of these three is the order of precedence.
    for campaign in sources
        .campaigns
        .iter()
        .filter(|campaign| question.holds(campaign.created))
    {
        if is_sound(&campaign.tenant) {
            events.add_metadata(campaign, question.as_of);
        } else {
            let reason = format!("{}: its tenant cannot be written", campaign.id);
            events.bad.certain.push(reason);
        }
    }
    for task in &sources.tasks {
        let campaign = campaigns
            .get(task.campaign.as_str())
            .context("a task without a campaign")?;
        if question.holds(campaign.created) && ["done", "error"].contains(&task.status.as_str()) {
            events.add(
                campaign,
                row_report(task, question.as_of)?,
                &format!("AgentTask {}", task.id),
            );
        }
    }
    for path in &question.logs {
        for line in logs::lines(path)? {
            let named = match line.task.as_ref().and_then(|task| task.get("campaignId")) {
                Some(Json::Text(id)) => campaigns.get(id.as_str()),
                _ => None,
            };
            match (line.task, named) {
                // A line of more than 1 MiB may be set aside before anybody knows what it holds.
                (None, _) => events.bad.arguable += 1,
                (Some(_), None) => {
                    let reason = format!("{}: no such campaign", line.place);
                    events.bad.certain.push(reason);
                }
                (Some(task), Some(campaign)) if question.holds(campaign.created) => {
                    events.add(
                        campaign,
                        Report::from_json(&task, question.as_of),
                        &line.place,
                    );
                }
                (Some(_), Some(_)) => events.bad.arguable += usize::from(line.is_too_long),
            }
        }
    }
    Ok((events.rows, events.bad))
}

#[derive(Default)]
struct Events {
    seen: BTreeSet<(String, String, Option<String>, Moment)>,
    rows: Vec<Row>,
    bad: Bad,
}

impl Events {
    fn add_metadata(&mut self, campaign: &Campaign, as_of: Moment) {
        let Some(metadata) = &campaign.metadata else {
            return;
        };
        let metadata = match Json::parse(metadata) {
            Ok(metadata) => metadata,
            Err(reason) => {
                self.bad
                    .certain
                    .push(format!("{}: metadata: {reason}", campaign.id));
                return;
            }
        };
        match metadata.get("agentTasks") {
            None | Some(Json::Null) => {}
            Some(Json::Array(tasks)) => {
                for (index, task) in tasks.iter().enumerate() {
                    let place = format!("{} agentTasks[{index}]", campaign.id);
                    self.add(campaign, Report::from_json(task, as_of), &place);
                }
            }
            Some(_) => self
                .bad
                .certain
                .push(format!("{}: agentTasks is no array", campaign.id)),
        }
    }

    fn add(&mut self, campaign: &Campaign, report: Result<Report, String>, place: &str) {
        let report = match report {
            Ok(report) => report,
            Err(reason) => {
                self.bad.certain.push(format!("{place}: {reason}"));
                return;
            }
        };
        if !is_sound(&campaign.tenant) {
            let reason = format!("{place}: its tenant cannot be written");
            self.bad.certain.push(reason);
            return;
        }
        let identity = (
            campaign.id.clone(),
            report.agent.clone(),
            report.asset.clone(),
            report.completed,
        );
        if self.seen.insert(identity) {
            self.rows.push(vec![
                Value::Text("AgentTaskCompleted".to_owned()),
                Value::Text("agent".to_owned()),
                Value::Text(report.agent.clone()),
                Value::Json(report.payload(&campaign.id).to_string()),
                Value::Text(if report.success { "info" } else { "high" }.to_owned()),
                Value::Moment(report.completed),
                Value::Text(campaign.tenant.clone()),
            ]);
        }
    }
}

fn row_report(task: &AgentTask, as_of: Moment) -> Result<Result<Report, String>> {
    let number = |text: &str| Json::number(text).map_err(|error| anyhow!(error));
    let report = Report {
        agent: task.agent.clone(),
        asset: task.asset.clone(),
        completed: task.completed,
        success: task.status == "done",
        duration: number(&task.latency.to_string())?,
        tokens_in: number(&task.tokens_in.to_string())?,
        tokens_out: number(&task.tokens_out.to_string())?,
        cost: number(&task.cost)?,
        model: Json::Text(task.model.clone()),
    };
    Ok(report.check(as_of).map(|()| report))
}

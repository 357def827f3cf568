//! Agents' executions: as objects in metadata and logs, and as rows of `AgentTask`.

use super::Maker;
use super::times::{NO_INSTANTS, rare, spell, stored_finer};
use crate::json::quoted;
use crate::moment::Moment;
use crate::random::Random;
use crate::source::{Table, Value};

/// What two reports of one execution have in common.
#[derive(Clone, Debug)]
pub(super) struct Execution {
    pub(super) campaign: String,
    agent: String,
    asset: Option<String>,
    completed: Moment,
}

/// An object's fields in order, each with its value as raw JSON.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn set(&mut self, key: &'static str, raw: &str) {
        self.remove(key);
        self.0.push((key, raw.to_owned()));
    }

    fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| *name != key);
    }

    fn render(&self, gap: &str) -> String {
        let fields: Vec<String> = self
            .0
            .iter()
            .map(|(key, raw)| format!("\"{key}\":{gap}{raw}"))
            .collect();
        format!("{{{}}}", fields.join(&format!(",{gap}")))
    }
}

/// Field and value pairs that are odd and right.
const HARMLESS: [(&str, &str); 22] = [
    ("assetId", "null"),
    ("duration", "null"),
    ("cost", "null"),
    ("model", "null"),
    ("tokensIn", "9007199254740993"),
    ("tokensOut", "18446744073709551616"),
    ("tokensOut", "0"),
    ("duration", "1.50"),
    ("duration", "1e3"),
    ("duration", "-0.0"),
    ("cost", "0.1000000000000000055511151231257827"),
    ("cost", "12345678901234567890.123456789"),
    ("cost", "1E-30"),
    ("cost", "1e400"),
    ("success", "false"),
    ("model", "\"gpt \\\"{4}\\\" \\u00e9\\ud83d\\ude80 }{\""),
    ("model", "\"\""),
    ("agentId", "\"Видео\\n\\u0001\""),
    ("trace", "{\"cost\": \"free\", \"deep\": [[[[{}]]]]}"),
    ("retries", "\"many\""),
    ("AgentId", "7"),
    ("message", "null"),
];

/// Field and value pairs that make a task bad.
const HARMFUL: [(&str, &str); 28] = [
    ("agentId", "null"),
    ("agentId", "17"),
    ("agentId", "true"),
    ("agentId", "{\"name\": \"a\"}"),
    ("completedAt", "null"),
    ("completedAt", "1700000000000"),
    ("completedAt", "{}"),
    ("completedAt", "\"9999-12-31T23:59:59Z\""),
    ("success", "null"),
    ("success", "\"true\""),
    ("success", "1"),
    ("assetId", "5"),
    ("assetId", "[]"),
    ("assetId", "false"),
    ("duration", "\"12 ms\""),
    ("duration", "true"),
    ("tokensIn", "-1"),
    ("tokensOut", "-0.5"),
    ("tokensIn", "\"5\""),
    ("tokensIn", "[]"),
    ("tokensOut", "{}"),
    ("tokensOut", "false"),
    ("cost", "\"0.02\""),
    ("cost", "\"\""),
    ("cost", "[0.02]"),
    ("model", "4"),
    ("model", "{}"),
    ("model", "true"),
];

/// Agents that report, some of whose names differ only in case.
const AGENTS: [&str; 6] = [
    "strategy",
    "Strategy",
    "copy-agent-7",
    "видео",
    "visual \"v2\" \\",
    "a",
];

/// What a task object may hold.
#[derive(Clone, Copy)]
pub(super) struct TaskStyle {
    /// Whether it names its campaign.
    pub(super) named: bool,
    /// Whether its texts may hold NUL.
    pub(super) nul: bool,
    /// Whether a bad one may be over 1 MiB.
    pub(super) large: bool,
}

impl Maker {
    /// A new execution of a campaign, or one that was reported before.
    pub(super) fn execution(&mut self, campaign: &str) -> Execution {
        let known: Vec<usize> = (self.executions.len().saturating_sub(400)..self.executions.len())
            .filter(|&index| self.executions[index].campaign == campaign)
            .collect();
        if !known.is_empty() && self.random.chance(0.15) {
            return self.executions[self.random.pick(&known)].clone();
        }
        let asset = if self.random.chance(0.6) {
            Some(format!("asset-{}", self.random.index(3)))
        } else {
            None
        };
        let execution = Execution {
            campaign: campaign.to_owned(),
            agent: self.random.pick(&AGENTS).to_owned(),
            asset,
            completed: self.completed(),
        };
        self.executions.push(execution.clone());
        execution
    }

    /// A task object of a campaign, good or bad.
    pub(super) fn task_object(&mut self, campaign: &str, style: TaskStyle) -> String {
        let TaskStyle { named, nul, large } = style;
        let execution = self.execution(campaign);
        let bad = self.is_bad();
        let random = &mut self.random;
        let mut fields = Fields(vec![
            ("agentId", quoted(&execution.agent)),
            ("completedAt", quoted(&spell(execution.completed, random))),
            ("success", random.chance(0.8).to_string()),
            ("duration", random.between(0, 90_000).to_string()),
            ("tokensIn", random.between(0, 5000).to_string()),
            ("tokensOut", random.between(0, 5000).to_string()),
            ("cost", format!("0.{:04}", random.between(0, 9999))),
            ("model", "\"gpt-4.1\"".to_owned()),
        ]);
        if named {
            fields.set("campaignId", &quoted(campaign));
        }
        if let Some(asset) = &execution.asset {
            fields.set("assetId", &quoted(asset));
        }
        random.shuffle(&mut fields.0);
        if random.chance(0.4) {
            make_odd(&mut fields, random, nul);
        }
        if bad {
            make_bad(&mut fields, random, nul, large, self.profile.as_of);
        }
        fields.render(if random.chance(0.5) { " " } else { "" })
    }

    /// Rows of `AgentTask`, some of which report what metadata reports too.
    pub(super) fn make_agent_tasks(&mut self) -> Table {
        let rows = (0..self.profile.agent_tasks)
            .map(|_| self.agent_task())
            .collect();
        Table {
            name: "AgentTask",
            columns: &[
                "id",
                "campaignId",
                "assetId",
                "agentId",
                "agentType",
                "status",
                "tokensIn",
                "tokensOut",
                "latencyMs",
                "model",
                "costUsd",
                "error",
                "createdAt",
                "completedAt",
            ],
            rows,
        }
    }

    fn agent_task(&mut self) -> Vec<Value> {
        let campaign = self.random.pick(&self.campaigns);
        let execution = self.execution(&campaign);
        let id = self.id();
        let bad = self.is_bad();
        let (as_of, nul, large) = (self.profile.as_of, self.takes_nul(), self.profile.large);
        let random = &mut self.random;
        let mut model = random
            .pick(&["gpt-4.1", "o'model", "модель", ""])
            .to_owned();
        let mut completed = execution.completed;
        let mut tokens = random.pick(&[0, 12, 2_147_483_647]);
        if bad {
            match random.index(4) {
                3 => tokens = -7,
                0 if nul => model.push('\0'),
                1 if large => model = "m".repeat(1_300_000),
                _ => completed = Moment(as_of.0 + random.between(1, 1000) * 3_600_000),
            }
        }
        let status = random.pick(&["done", "done", "done", "error", "queued", "running"]);
        // Where the agent is named by its type only, the identity must still be the one that metadata reports.
        let by_type = random.chance(0.4);
        let agent = if by_type {
            Value::Null
        } else {
            Value::Text(execution.agent.clone())
        };
        let kind = if by_type {
            execution.agent
        } else {
            "Copy".to_owned()
        };
        let open = random.chance(0.2);
        let (created, completed) = if open {
            (completed, Value::Null)
        } else {
            (
                Moment(as_of.0.min(completed.0) - 5000),
                // The same instant as metadata may report, to a digit that only the reader rounds.
                Value::Text(stored_finer(completed, random)),
            )
        };
        let failure = if status == "error" {
            Value::Text("timed out".to_owned())
        } else {
            Value::Null
        };
        vec![
            Value::Text(id),
            Value::Text(campaign),
            execution.asset.map_or(Value::Null, Value::Text),
            agent,
            Value::Text(kind),
            Value::Text(status.to_owned()),
            Value::Int(tokens),
            Value::Int(random.between(0, 9000)),
            Value::Int(random.between(0, 60_000)),
            Value::Text(model),
            Value::Decimal(
                random
                    .pick(&["0", "0.001500", "9999.999999", "0.1", "12.34", "0.000001"])
                    .to_owned(),
            ),
            failure,
            Value::Moment(created),
            completed,
        ]
    }
}

fn make_odd(fields: &mut Fields, random: &mut Random, nul: bool) {
    match random.index(8) {
        0 => fields.remove(random.pick(&[
            "assetId",
            "duration",
            "tokensIn",
            "tokensOut",
            "cost",
            "model",
        ])),
        1 => ["duration", "tokensIn", "tokensOut", "cost", "model"]
            .iter()
            .for_each(|key| fields.remove(key)),
        2 => fields.0.push(("model", "\"the second of two\"".to_owned())),
        3 => fields.0.push(("cost", "2.50".to_owned())),
        4 => fields.set("completedAt", &quoted(&rare(random))),
        5 if nul => fields.set("trace", "\"nobody asked for \\u0000\""),
        _ => {
            let (key, raw) = random.pick(&HARMLESS);
            fields.set(key, raw);
        }
    }
}

fn make_bad(fields: &mut Fields, random: &mut Random, nul: bool, large: bool, as_of: Moment) {
    match random.index(8) {
        0 => fields.remove(random.pick(&["agentId", "completedAt", "success"])),
        1 => fields.set("completedAt", &quoted(random.pick(&NO_INSTANTS))),
        2 => {
            let later = Moment(as_of.0 + random.between(1, 3_000_000) * 1000);
            fields.set("completedAt", &quoted(&later.rfc3339()));
        }
        3 if nul && random.chance(0.3) => {
            fields.set("cost", &format!("0.{}e-16000", "1".repeat(500)));
        }
        3 if nul => {
            let key = random.pick(&["agentId", "assetId", "model"]);
            fields.set(key, "\"a\\u0000b\"");
        }
        4 if large => fields.set("model", &quoted(&"m".repeat(1_300_000))),
        _ => {
            let (key, raw) = random.pick(&HARMFUL);
            fields.set(key, raw);
        }
    }
}

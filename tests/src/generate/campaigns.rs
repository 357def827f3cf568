//! Campaigns and their metadata: prompts and tasks in every state of repair.

use super::Maker;
use super::tasks::TaskStyle;
use crate::json::quoted;
use crate::source::{Table, Value};

/// The size over which a value is bad.
const MEBIBYTE: usize = 1_048_576;

/// Prompts as raw JSON that are either good or none.
const PROMPTS: [&str; 16] = [
    "\"Launch the spring collection\"",
    "\"  padded \\n\\t\"",
    "\"\\u3000wide and \\u00a0hard spaces\\u2003\"",
    "\"\\u0085next line\\u2029\"",
    "\"\\u200bzero width stays\\ufeff\"",
    "\"\\u001cfile separator stays\\u001f\"",
    "\"кампания 🚀 'quoted' \\\"twice\\\" \\\\\"",
    "\"two\\nlines\"",
    "\"null\"",
    "\"{\\\"prompt\\\": 1}\"",
    "null",
    "\"\"",
    "\"   \"",
    "\"\\u2003\\u3000\\n\"",
    "\"x\"",
    "\"nai\\u0308ve\"",
];

/// Prompts as raw JSON that are bad.
const NO_PROMPTS: [&str; 6] = ["42", "true", "{}", "[\"a\"]", "0.5", "[]"];

/// `agentTasks` as raw JSON that is neither an array nor null.
const NO_TASKS: [&str; 5] = ["{}", "\"none\"", "5", "true", "{\"0\": {}}"];

/// Elements of `agentTasks` that are no objects.
const NO_OBJECTS: [&str; 6] = ["null", "42", "\"task\"", "[]", "true", "[{}]"];

/// Whole metadata that has neither prompt nor tasks.
const EMPTY: [&str; 8] = [
    "null",
    "[]",
    "{}",
    "5",
    "\"text\"",
    "[{\"prompt\": \"no\"}]",
    "true",
    "{\"other\": 1}",
];

/// Whole metadata that is no JSON, which only SQLite can hold.
const NO_JSON: [&str; 6] = [
    "",
    "{broken",
    "{\"prompt\": \"cut off",
    "not json",
    "{\"prompt\": \"a\"} {}",
    "{'prompt': 'a'}",
];

impl Maker {
    /// The campaigns.
    pub(super) fn make_campaigns(&mut self) -> Table {
        let rows = (0..self.profile.campaigns)
            .map(|number| self.campaign(number))
            .collect();
        Table {
            name: "Campaign",
            columns: &[
                "id",
                "tenantId",
                "name",
                "status",
                "metadata",
                "createdAt",
                "updatedAt",
            ],
            rows,
        }
    }

    fn campaign(&mut self, number: usize) -> Vec<Value> {
        let id = self.id();
        self.campaigns.push(id.clone());
        let created = self.created();
        let metadata = self.metadata(&id, number);
        vec![
            Value::Text(id),
            Value::Text(self.tenant()),
            Value::Text(self.text()),
            Value::Text("active".to_owned()),
            metadata.map_or(Value::Null, Value::Json),
            Value::Moment(created),
            Value::Moment(created),
        ]
    }

    fn metadata(&mut self, campaign: &str, number: usize) -> Option<String> {
        match self.random.index(20) {
            0 => return None,
            1 => return Some(self.random.pick(&EMPTY).to_owned()),
            2 if self.takes_nul() && self.is_bad() => {
                return Some(self.random.pick(&NO_JSON).to_owned());
            }
            _ => {}
        }
        let mut fields = vec![("channel", "\"email\"".to_owned())];
        if self.random.chance(0.6) {
            fields.push(("prompt", self.prompt(number)));
        }
        if self.random.chance(0.85) {
            fields.push(("agentTasks", self.agent_tasks(campaign, number)));
        }
        if self.random.chance(0.05) {
            fields.push(("layout", format!("{}{}", "[".repeat(200), "]".repeat(200))));
        }
        if self.random.chance(0.1) {
            fields.push(("Prompt", "17".to_owned()));
            fields.push(("agent_tasks", "17".to_owned()));
        }
        self.random.shuffle(&mut fields);
        // Of a key that stands twice, perhaps spelled otherwise, the last value counts.
        if self.random.chance(0.1) {
            let (prompt, tasks) = (self.prompt(number), self.agent_tasks(campaign, number));
            let spelled = self.random.pick(&["prompt", "\\u0070rompt"]);
            fields.extend([(spelled, prompt), ("agentTasks", tasks)]);
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(key, raw)| format!("\"{key}\": {raw}"))
            .collect();
        Some(format!("{{{}}}", fields.join(", ")))
    }

    fn prompt(&mut self, number: usize) -> String {
        if self.profile.large && number < 4 {
            return quoted(&"p".repeat(MEBIBYTE + number % 2));
        }
        if !self.is_bad() {
            return self.random.pick(&PROMPTS).to_owned();
        }
        if self.takes_nul() && self.random.chance(0.3) {
            return "\"cut \\u0000 here\"".to_owned();
        }
        self.random.pick(&NO_PROMPTS).to_owned()
    }

    fn agent_tasks(&mut self, campaign: &str, number: usize) -> String {
        if self.is_bad() && self.random.chance(0.3) {
            return self.random.pick(&NO_TASKS).to_owned();
        }
        if self.random.chance(0.05) {
            return (self.random.pick(&["null", "[]"])).to_owned();
        }
        // One campaign whose tasks are more than 1 MiB together, though none of them is.
        let has_many = self.profile.large && number == 5;
        let count = if has_many {
            6000
        } else {
            self.random.index(self.profile.tasks + 1)
        };
        let style = TaskStyle {
            named: false,
            nul: self.takes_nul(),
            large: self.profile.large && !has_many,
        };
        let mut items = Vec::new();
        for _ in 0..count {
            if self.is_bad() && self.random.chance(0.2) {
                items.push(self.random.pick(&NO_OBJECTS).to_owned());
            } else {
                items.push(self.task_object(campaign, style));
            }
        }
        format!("[{}]", items.join(", "))
    }
}

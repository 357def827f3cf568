//! `campaign_prompt`: `Campaign.metadata.prompt` moves into `Campaign.prompt`, where the application has set none.

use async_trait::async_trait;

use super::{Spec, table};
use crate::backend::Dialect;
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::source::{self, BYTES, Keyset, Source};
use crate::unit::{Cell, Item, MAX_VALUE_BYTES, Page, Parts, Range, Row, SourceTable, Unit};

/// A character may take six bytes in JSON (`\u0041`), so only a text over this is certainly too large.
const MAX_JSON_BYTES: usize = 6 * MAX_VALUE_BYTES + 2;

pub(super) struct CampaignPrompt {
    definition: Definition,
}

impl CampaignPrompt {
    pub(super) fn new() -> Self {
        let definition = Spec {
            name: "campaign_prompt",
            version: 1,
            summary: "copies metadata.prompt into Campaign.prompt",
            priority: "critical",
            depends_on: &[],
            sections: &["campaigns"],
            table: "Campaign",
            columns: &[("id", ColumnType::Text), ("prompt", ColumnType::Text)],
            write: Write::Update {
                guard: "\"prompt\" IS NULL".into(),
            },
        };
        Self {
            definition: definition.definition(),
        }
    }
}

#[async_trait]
impl Unit for CampaignPrompt {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        vec![table("Campaign", false, &["id", "metadata", "createdAt"])]
    }

    fn tenant(&self) -> Option<&str> {
        Some("t.\"tenantId\"")
    }

    async fn split(&self, source: &Source, _section: usize, parts: Parts) -> Result<Vec<Range>> {
        source.split("Campaign", "id", parts).await
    }

    async fn read(
        &self,
        source: &Source,
        _section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        let mut keyset = Keyset::new("c.\"id\"", range, after);
        let metadata = source
            .dialect()
            .last_of_each_key("c.\"metadata\"", "prompt");
        let prompt = match source.dialect() {
            Dialect::Postgres => format!("CAST({metadata} -> 'prompt' AS TEXT)"),
            Dialect::Sqlite => format!(
                "CASE WHEN json_valid(c.\"metadata\") THEN ({metadata}) -> '$.prompt' \
                 WHEN c.\"metadata\" IS NOT NULL THEN 'no JSON' END"
            ),
        };
        let limit = keyset.bind_limit(limit);
        let as_of = keyset.bind(source.as_of);
        // Where a prompt is set, nothing is to be read, but for proof.
        let is_wanted = match source.proving {
            true => "TRUE",
            false => "c.\"prompt\" IS NULL",
        };
        // Bounded twice: by the metadata that the database must read for the prompts, and by the prompts themselves,
        // which PostgreSQL may have compressed a hundredfold.
        let keys = format!(
            "SELECT c.\"id\", CASE WHEN {is_wanted} THEN {stored} ELSE 0 END AS \"{BYTES}\" \
             FROM \"Campaign\" c WHERE {range} ORDER BY c.\"id\" LIMIT {limit}",
            stored = source.dialect().stored("c.\"metadata\""),
            range = keyset.condition(),
        );
        // The inner limit is none but a fence: behind it, each prompt is taken out of its metadata once.
        let prompts = format!(
            "SELECT p.\"id\", p.\"taken\", p.\"late\", p.\"prompt\" IS NOT NULL AS \"present\", \
                p.\"stored\" + {weight} AS \"{BYTES}\", \
                CASE WHEN {bytes} <= {MAX_JSON_BYTES} THEN p.\"prompt\" END AS \"prompt\" \
             FROM (SELECT c.\"id\", c.\"prompt\" IS NOT NULL AS \"taken\", \
                    CASE WHEN {is_wanted} THEN {prompt} END AS \"prompt\", \
                    COALESCE({created} > {as_of}, TRUE) AS \"late\", k.\"{BYTES}\" AS \"stored\" \
                FROM ({keys}) k JOIN \"Campaign\" c ON c.\"id\" = k.\"id\" \
                ORDER BY c.\"id\" LIMIT {limit}) p",
            keys = source::bounded(&keys, "\"id\""),
            bytes = source.dialect().bytes("p.\"prompt\""),
            weight = source.dialect().weight("p.\"prompt\"", MAX_JSON_BYTES),
            created = source.dialect().millis("c.\"createdAt\""),
        );
        let sql = format!(
            "SELECT r.* FROM ({}) r ORDER BY r.\"id\"",
            source::bounded(&prompts, "\"id\"")
        );
        let rows = source
            .all("reading Campaign", &sql, keyset.values())
            .await?;
        let mut page = Page::new(after);
        for row in &rows {
            let read = || {
                let id = source::key(row, "id")?;
                let taken: bool = row.try_get("", "taken")?;
                let late: bool = row.try_get("", "late")?;
                let present: bool = row.try_get("", "present")?;
                let json = source::text(row, "prompt")?;
                Ok((id, taken, late, present, json))
            };
            page.weigh(row).doing("reading Campaign")?;
            let (id, taken, late, present, json) = read().doing("reading Campaign")?;
            let item = if taken && !source.proving {
                Item::Skip("prompt already set")
            } else if let Err(reason) = &id.text {
                bad(&id.shown, reason)
            } else if source.catching_up && late && !taken {
                // Campaigns that are created meanwhile are the next run's: else a catch-up would never end.
                Item::Skip("created after as_of")
            } else {
                match json {
                    Ok(json) => prompt_item(&id.shown, present, json.as_deref()),
                    Err(reason) => bad(&id.shown, reason),
                }
            };
            let item = match item {
                // Its metadata counted for nothing when it was written.
                Item::Bad { .. } if taken => Item::Skip("prompt already set"),
                item => item,
            };
            page.push(vec![id.cursor], item);
        }
        page.end(rows.len(), keyset.limit());
        Ok(page)
    }
}

/// `present`: there is a value, even where it was too large to be read.
fn prompt_item(id: &str, present: bool, json: Option<&str>) -> Item {
    let bad = |reason| bad(id, reason);
    let Some(json) = json else {
        return match present {
            true => bad("metadata.prompt is over 1 MiB"),
            false => Item::Skip("no prompt"),
        };
    };
    if json == "no JSON" {
        return bad("metadata is not JSON");
    }
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(serde_json::Value::Null) => Item::Skip("no prompt"),
        Ok(serde_json::Value::String(prompt)) => {
            if prompt.len() > MAX_VALUE_BYTES {
                bad("metadata.prompt is over 1 MiB")
            } else if prompt.contains('\0') {
                bad("metadata.prompt contains a NUL character")
            } else if prompt.trim().is_empty() {
                Item::Skip("blank prompt")
            } else {
                Item::Row(Row {
                    source: id.to_owned(),
                    key: id.to_owned(),
                    values: vec![Cell::from(prompt.trim())],
                    expects: None,
                })
            }
        }
        Ok(_) => bad("metadata.prompt is not a string"),
        Err(_) => bad("metadata.prompt cannot be read as Unicode text"),
    }
}

fn bad(id: &str, reason: &str) -> Item {
    Item::Bad {
        key: id.to_owned(),
        reason: reason.to_owned(),
    }
}

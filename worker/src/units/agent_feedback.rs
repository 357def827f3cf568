//! `agent_feedback`: the window's `UserFeedback`, one to one.

use async_trait::async_trait;
use sea_orm::{DbErr, QueryResult};

use super::{Spec, table};
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{Keyset, Source, ranges};
use crate::unit::{Cell, Item, MAX_VALUE_BYTES, Page, Range, Row, SourceTable, Unit};

const NAME: &str = "agent_feedback";

/// The texts that are carried over, by their source columns.
const TEXTS: [&str; 6] = [
    "agentType",
    "taskId",
    "source",
    "comment",
    "actionTaken",
    "createdBy",
];

pub(super) struct AgentFeedback {
    definition: Definition,
}

impl AgentFeedback {
    pub(super) fn new() -> Self {
        let definition = Spec {
            name: NAME,
            version: 1,
            summary: "carries the users' feedback over",
            priority: "low",
            depends_on: &[],
            sections: &["UserFeedback"],
            table: "AgentFeedback",
            columns: &[
                ("id", ColumnType::Text),
                ("agentType", ColumnType::Text),
                ("taskId", ColumnType::Text),
                ("feedbackType", ColumnType::Text),
                ("rating", ColumnType::Integer),
                ("comment", ColumnType::Text),
                ("actionTaken", ColumnType::Text),
                ("createdAt", ColumnType::Timestamp),
                ("createdBy", ColumnType::Text),
            ],
            write: Write::Insert,
        };
        Self {
            definition: definition.definition(),
        }
    }
}

#[async_trait]
impl Unit for AgentFeedback {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn tables(&self) -> Vec<SourceTable> {
        let columns = ["id", "rating", "createdAt"];
        vec![table(
            "UserFeedback",
            true,
            &[columns.as_slice(), TEXTS.as_slice()].concat(),
        )]
    }

    async fn split(&self, source: &Source, _section: usize, parts: u32) -> Result<Vec<Range>> {
        if !source.has("UserFeedback") {
            return Ok(ranges(Vec::new(), 0));
        }
        source.split("UserFeedback", "id", parts).await
    }

    async fn read(
        &self,
        source: &Source,
        _section: usize,
        range: &Range,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page> {
        let mut page = Page::new(after);
        if !source.has("UserFeedback") {
            page.last = true;
            return Ok(page);
        }
        let mut keyset = Keyset::new("f.\"id\"", range, after);
        let condition = keyset.condition();
        let page_limit = keyset.bind_limit(limit);
        let dialect = source.dialect();
        let texts: Vec<_> = TEXTS
            .iter()
            .map(|name| {
                let column = format!("f.\"{name}\"");
                let bytes = dialect.bytes(&column);
                format!("CASE WHEN {bytes} <= {MAX_VALUE_BYTES} THEN {column} END AS \"{name}\"")
            })
            .collect();
        let sizes: Vec<_> = TEXTS
            .iter()
            .map(|name| {
                let bytes = dialect.bytes(&format!("f.\"{name}\""));
                format!("COALESCE({bytes}, 0) > {MAX_VALUE_BYTES}")
            })
            .collect();
        let sql = format!(
            "SELECT f.\"id\", CAST(f.\"rating\" AS BIGINT) AS \"rating\", {created} AS \"created\", \
                ({large}) AS \"large\", {texts} \
             FROM \"UserFeedback\" f WHERE {condition} ORDER BY f.\"id\" LIMIT {page_limit}",
            created = dialect.millis("f.\"createdAt\""),
            large = sizes.join(" OR "),
            texts = texts.join(", "),
        );
        let doing = "reading UserFeedback";
        let rows = source.all(doing, &sql, keyset.values()).await?;
        for row in &rows {
            let (id, item) = item(row, source).doing(doing)?;
            page.push(vec![id], item);
        }
        page.end(rows.len(), keyset.limit());
        Ok(page)
    }
}

fn item(row: &QueryResult, source: &Source) -> Result<(String, Item), DbErr> {
    let id: String = row.try_get("", "id")?;
    let created: Option<i64> = row.try_get("", "created")?;
    let Some(created) = created.filter(|at| (source.since()..=source.as_of).contains(at)) else {
        return Ok((id, Item::Skip("outside the window")));
    };
    let bad = |reason: &str| Item::Bad {
        key: id.clone(),
        reason: reason.into(),
    };
    let rating: Option<i64> = row.try_get("", "rating")?;
    let texts = TEXTS.map(|name| row.try_get::<Option<String>>("", name));
    let [agent, task, kind, comment, action, by] = texts;
    let (agent, task, kind, comment, action, by) = (agent?, task?, kind?, comment?, action?, by?);
    let has_nul = [&agent, &task, &kind, &comment, &action, &by]
        .into_iter()
        .flatten()
        .any(|text| text.contains('\0'));
    let item = if row.try_get::<bool>("", "large")? {
        bad("a value is over 1 MiB")
    } else if has_nul {
        bad("a text contains a NUL character")
    } else {
        match rating.map(i32::try_from).transpose() {
            Ok(rating) if rating.is_none_or(|rating| (1..=5).contains(&rating)) => Item::Row(Row {
                source: id.clone(),
                key: identity::id(NAME, &id, &[]),
                values: vec![
                    agent.into(),
                    task.into(),
                    kind.into(),
                    rating.map_or(Cell::Null, Cell::Integer),
                    comment.into(),
                    action.into(),
                    Cell::Timestamp(created),
                    by.into(),
                ],
            }),
            _ => bad("the rating is outside 1 to 5"),
        }
    };
    Ok((id, item))
}

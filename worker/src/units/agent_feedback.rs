//! `agent_feedback`: the window's `UserFeedback`, one to one.

use async_trait::async_trait;
use sea_orm::{DbErr, QueryResult};

use super::{NOT_A_TIME, Spec, table};
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{self, BYTES, Key, Keyset, Source, Texts, ranges};
use crate::unit::{Cell, Item, Page, Parts, Range, Row, SourceTable, Unit};

const NAME: &str = "agent_feedback";

/// The texts that are carried over, and what they are selected as.
const TEXTS: Texts<'_> = Texts(&[
    ("f.\"agentType\"", "agentType"),
    ("f.\"taskId\"", "taskId"),
    ("f.\"source\"", "source"),
    ("f.\"comment\"", "comment"),
    ("f.\"actionTaken\"", "actionTaken"),
    ("f.\"createdBy\"", "createdBy"),
]);

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
        let mut columns = vec!["id", "rating", "createdAt"];
        columns.extend(TEXTS.0.iter().map(|(_, name)| *name));
        vec![table("UserFeedback", true, &columns)]
    }

    async fn split(&self, source: &Source, _section: usize, parts: Parts) -> Result<Vec<Range>> {
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
        let keys = format!(
            "SELECT f.\"id\", {weight} AS \"{BYTES}\" FROM \"UserFeedback\" f WHERE {condition} \
             ORDER BY f.\"id\" LIMIT {page_limit}",
            weight = TEXTS.weight(dialect),
        );
        let sql = format!(
            "SELECT f.\"id\", k.\"{BYTES}\", {is_integer} AS \"is_integer\", \
                CAST(f.\"rating\" AS BIGINT) AS \"rating\", {created} AS \"created\", \
                {texts} \
             FROM ({keys}) k JOIN \"UserFeedback\" f ON f.\"id\" = k.\"id\" ORDER BY f.\"id\"",
            keys = source::bounded(&keys, "\"id\""),
            is_integer = dialect.is_integer("f.\"rating\""),
            created = dialect.millis("f.\"createdAt\""),
            texts = TEXTS.select(dialect),
        );
        let doing = "reading UserFeedback";
        let rows = source.all(doing, &sql, keyset.values()).await?;
        for row in &rows {
            page.weigh(row).doing(doing)?;
            let id = source::key(row, "id").doing(doing)?;
            let item = item(row, &id, source).doing(doing)?;
            page.push(vec![id.cursor], item);
        }
        page.end(rows.len(), keyset.limit());
        Ok(page)
    }
}

fn item(row: &QueryResult, id: &Key, source: &Source) -> Result<Item, DbErr> {
    let created: Option<i64> = row.try_get("", "created")?;
    let bad = |reason: &str| {
        Ok(Item::Bad {
            key: id.shown.clone(),
            reason: reason.into(),
        })
    };
    let Some(created) = created else {
        return bad(NOT_A_TIME);
    };
    if !(source.since()..=source.as_of).contains(&created) {
        return Ok(Item::Skip("outside the window"));
    }
    let key = match &id.text {
        Ok(id) => identity::id(NAME, id, &[]),
        Err(reason) => return bad(reason),
    };
    if let Some(reason) = TEXTS.fault(row)? {
        return bad(reason);
    }
    if !row.try_get::<bool>("", "is_integer")? {
        return bad("the rating is not an integer");
    }
    let rating = match row.try_get::<Option<i64>>("", "rating")? {
        None => Cell::Null,
        Some(rating) => match i32::try_from(rating) {
            Ok(rating @ 1..=5) => Cell::Integer(rating),
            _ => return bad("the rating is outside 1 to 5"),
        },
    };
    let text = |name: &str| row.try_get::<Option<String>>("", name).map(Cell::from);
    Ok(Item::Row(Row {
        source: id.shown.clone(),
        key,
        values: vec![
            text("agentType")?,
            text("taskId")?,
            text("source")?,
            rating,
            text("comment")?,
            text("actionTaken")?,
            Cell::Timestamp(created),
            text("createdBy")?,
        ],
        expects: None,
    }))
}

//! `agent_feedback`: the window's `UserFeedback`, one to one.

use async_trait::async_trait;
use sea_orm::{DbErr, QueryResult};

use super::{NOT_A_TIME, Spec, table};
use crate::core::event::Cursor;
use crate::core::plan::{ColumnType, Definition, Write};
use crate::error::{Doing, Result};
use crate::identity;
use crate::source::{self, BYTES, Keyset, Source, ranges};
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
        let weights = TEXTS.map(|name| dialect.weight(&format!("f.\"{name}\""), MAX_VALUE_BYTES));
        let keys = format!(
            "SELECT f.\"id\", {weight} AS \"{BYTES}\" FROM \"UserFeedback\" f WHERE {condition} \
             ORDER BY f.\"id\" LIMIT {page_limit}",
            weight = weights.join(" + "),
        );
        let sql = format!(
            "SELECT f.\"id\", k.\"{BYTES}\", {is_integer} AS \"is_integer\", \
                CAST(f.\"rating\" AS BIGINT) AS \"rating\", {created} AS \"created\", \
                ({large}) AS \"large\", {texts} \
             FROM ({keys}) k JOIN \"UserFeedback\" f ON f.\"id\" = k.\"id\" ORDER BY f.\"id\"",
            keys = source::bounded(&keys, "\"id\""),
            is_integer = dialect.is_integer("f.\"rating\""),
            created = dialect.millis("f.\"createdAt\""),
            large = sizes.join(" OR "),
            texts = texts.join(", "),
        );
        let doing = "reading UserFeedback";
        let rows = source.all(doing, &sql, keyset.values()).await?;
        for row in &rows {
            page.weigh(row).doing(doing)?;
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
    let bad = |reason: &str| {
        let (key, reason) = (id.clone(), reason.into());
        Item::Bad { key, reason }
    };
    let Some(created) = created else {
        return Ok((id.clone(), bad(NOT_A_TIME)));
    };
    if !(source.since()..=source.as_of).contains(&created) {
        return Ok((id, Item::Skip("outside the window")));
    }
    let mut texts = [const { None }; TEXTS.len()];
    for (text, name) in texts.iter_mut().zip(TEXTS) {
        match source::text(row, name)? {
            Ok(value) => *text = value,
            Err(reason) => return Ok((id.clone(), bad(reason))),
        }
    }
    let rating: Option<i64> = row.try_get("", "rating")?;
    let is_integer: bool = row.try_get("", "is_integer")?;
    let has_nul = texts.iter().flatten().any(|text| text.contains('\0'));
    let item = if row.try_get::<bool>("", "large")? {
        bad("a value is over 1 MiB")
    } else if has_nul {
        bad("a text contains a NUL character")
    } else if !is_integer {
        bad("the rating is not an integer")
    } else {
        match rating.map(i32::try_from).transpose() {
            Ok(rating) if rating.is_none_or(|rating| (1..=5).contains(&rating)) => {
                let [agent, task, kind, comment, action, by] = texts.map(Cell::from);
                let rating = rating.map_or(Cell::Null, Cell::Integer);
                let created = Cell::Timestamp(created);
                Item::Row(Row {
                    source: id.clone(),
                    key: identity::id(NAME, &id, &[]),
                    values: vec![agent, task, kind, rating, comment, action, created, by],
                })
            }
            _ => bad("the rating is outside 1 to 5"),
        }
    };
    Ok((id, item))
}

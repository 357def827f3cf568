//! A table as it stands in the catalog.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::super::{Column, ForeignKey, Index, Schema, Table, Unique};
use crate::backend::{Dialect, all};
use crate::error::{Doing, Result};

/// A table as it stands, and what of it is there without being in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) table: Table,
    /// Indexes that a build which failed has left.
    pub(super) invalid: Vec<String>,
    /// Foreign keys that rows were not checked against.
    pub(super) unchecked: Vec<String>,
}

const POSTGRES_COLUMNS: &str = r#"SELECT CAST(a.attname AS TEXT) AS "name", format_type(a.atttypid, a.atttypmod) AS "kind",
        a.attnotnull AS "not_null", pg_get_expr(d.adbin, d.adrelid) AS "default", a.attidentity <> '' AS "identity"
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass(quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"#;

const POSTGRES_KEYS: &str = r#"SELECT CAST(c.contype AS TEXT) AS "kind", CAST(c.conname AS TEXT) AS "name",
        c.convalidated AS "checked", CAST(a.attname AS TEXT) AS "column", CAST(r.relname AS TEXT) AS "table",
        CAST(p.attname AS TEXT) AS "to", CAST(c.confdeltype AS TEXT) AS "on_delete",
        CAST(c.confupdtype AS TEXT) AS "on_update"
    FROM pg_constraint c
    CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY k ("from", "to", "place")
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k."from"
    LEFT JOIN pg_class r ON r.oid = c.confrelid
    LEFT JOIN pg_attribute p ON p.attrelid = c.confrelid AND p.attnum = k."to"
    WHERE c.contype IN ('p', 'u', 'f') AND c.conrelid = to_regclass(quote_ident($1)) ORDER BY c.conname, k."place""#;

/// Without those of constraints. A column that is an expression is told as such, and so is an index of another method.
const POSTGRES_INDEXES: &str = r#"SELECT CAST(c.relname AS TEXT) AS "name", i.indisunique AS "unique",
        i.indisvalid AND i.indisready AS "valid", pg_get_expr(i.indpred, i.indrelid) AS "predicate",
        COALESCE(CAST(a.attname AS TEXT), pg_get_indexdef(i.indexrelid, k."place", true))
            || CASE WHEN i.indoption[k."place" - 1] & 1 = 1 THEN ' DESC' ELSE '' END
            || CASE m.amname WHEN 'btree' THEN '' ELSE ' USING ' || m.amname END AS "column"
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
    CROSS JOIN LATERAL generate_series(1, CAST(i.indnkeyatts AS INTEGER)) k ("place")
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k."place" - 1]
    WHERE i.indrelid = to_regclass(quote_ident($1)) AND NOT EXISTS (SELECT FROM pg_constraint o
        WHERE o.conindid = i.indexrelid AND o.conrelid = i.indrelid AND o.contype IN ('p', 'u', 'x'))
    ORDER BY c.relname, k."place""#;

const SQLITE_COLUMNS: &str = r#"SELECT "name", lower("type") AS "kind", "notnull" <> 0 AS "not_null",
        "dflt_value" AS "default", "pk" AS "place", "pk" > 0 AND EXISTS (SELECT 1 FROM sqlite_master m
            WHERE m."type" = 'table' AND m."name" = $1 AND m."sql" LIKE '%AUTOINCREMENT%') AS "identity"
    FROM pragma_table_xinfo($1) WHERE "hidden" <> 1 ORDER BY "cid""#;

const SQLITE_UNIQUES: &str = r#"SELECT l."name", i."name" AS "column" FROM pragma_index_list($1) l
    JOIN pragma_index_xinfo(l."name") i WHERE l."origin" = 'u' AND i."key" = 1 ORDER BY l."seq", i."seqno""#;

const SQLITE_KEYS: &str = r#"SELECT CAST("id" AS TEXT) AS "name", "from" AS "column", "table", COALESCE("to", '') AS "to",
        "on_delete", "on_update" FROM pragma_foreign_key_list($1) ORDER BY "id", "seq""#;

const SQLITE_INDEXES: &str = r#"SELECT m."name", m."sql" FROM sqlite_master m
    WHERE m."type" = 'index' AND m."tbl_name" = $1 AND m."sql" IS NOT NULL ORDER BY m."name""#;

impl Live {
    /// Reads a table; none where there is none.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn read(
        connection: &impl ConnectionTrait,
        name: &str,
    ) -> Result<Option<Self>> {
        let read = match Dialect::of(connection) {
            Dialect::Postgres => postgres(connection, name).await,
            Dialect::Sqlite => sqlite(connection, name).await,
        };
        let live = read.doing(format!("reading the catalog about {name}"))?;
        Ok((!live.table.columns.is_empty()).then_some(live))
    }
}

async fn postgres(connection: &impl ConnectionTrait, name: &str) -> Result<Live, DbErr> {
    let mut live = Live::default();
    let table = &mut live.table;
    table.name = name.to_owned();
    for row in all(connection, POSTGRES_COLUMNS, [name.into()]).await? {
        table.columns.push(column(&row)?);
    }
    for row in all(connection, POSTGRES_KEYS, [name.into()]).await? {
        let (kind, key): (String, String) = (row.try_get("", "kind")?, row.try_get("", "name")?);
        let column = row.try_get("", "column")?;
        match kind.as_str() {
            "p" => table.primary_key.push(column),
            "u" => add_unique(table, key, column),
            _ => {
                if !row.try_get::<bool>("", "checked")? && !live.unchecked.contains(&key) {
                    live.unchecked.push(key.clone());
                }
                let action = |of: &str| -> Result<String, DbErr> {
                    let action: String = row.try_get("", of)?;
                    Ok(match action.as_str() {
                        "c" => "CASCADE",
                        "r" => "RESTRICT",
                        "n" => "SET NULL",
                        "d" => "SET DEFAULT",
                        _ => "NO ACTION",
                    }
                    .into())
                };
                let actions = (action("on_delete")?, action("on_update")?);
                add_key(table, key, column, &row, actions)?;
            }
        }
    }
    for row in all(connection, POSTGRES_INDEXES, [name.into()]).await? {
        let index: String = row.try_get("", "name")?;
        let column = row.try_get("", "column")?;
        match table.indexes.last_mut() {
            Some(last) if last.name == index => last.columns.push(column),
            _ => {
                if !row.try_get::<bool>("", "valid")? {
                    live.invalid.push(index.clone());
                }
                table.indexes.push(Index {
                    name: index,
                    columns: vec![column],
                    is_unique: row.try_get("", "unique")?,
                    predicate: row.try_get("", "predicate")?,
                });
            }
        }
    }
    Ok(live)
}

async fn sqlite(connection: &impl ConnectionTrait, name: &str) -> Result<Live, DbErr> {
    let mut live = Live::default();
    let table = &mut live.table;
    table.name = name.to_owned();
    let mut key: Vec<(i32, String)> = Vec::new();
    for row in all(connection, SQLITE_COLUMNS, [name.into()]).await? {
        let column = column(&row)?;
        let place: i32 = row.try_get("", "place")?;
        if place > 0 {
            key.push((place, column.name.clone()));
        }
        table.columns.push(column);
    }
    key.sort_unstable();
    table.primary_key = key.into_iter().map(|(_, column)| column).collect();
    for row in all(connection, SQLITE_UNIQUES, [name.into()]).await? {
        let index = row.try_get("", "name")?;
        // A column that is an expression has no name.
        let column: Option<String> = row.try_get("", "column")?;
        add_unique(table, index, column.unwrap_or_default());
    }
    for unique in &mut table.uniques {
        unique.name = None;
    }
    for row in all(connection, SQLITE_KEYS, [name.into()]).await? {
        let actions = (row.try_get("", "on_delete")?, row.try_get("", "on_update")?);
        let (key, column) = (row.try_get("", "name")?, row.try_get("", "column")?);
        add_key(table, key, column, &row, actions)?;
    }
    for key in &mut table.foreign_keys {
        key.name = None;
    }
    for row in all(connection, SQLITE_INDEXES, [name.into()]).await? {
        let (index, sql): (String, String) = (row.try_get("", "name")?, row.try_get("", "sql")?);
        let read = Schema::of_script(Dialect::Sqlite, &sql);
        let read = read.ok().and_then(|mut schema| schema.tables.pop());
        let read = read.and_then(|mut table| table.indexes.pop());
        // One that is written in another way than ours is shown as it is.
        table.indexes.push(read.unwrap_or(Index {
            name: index,
            columns: vec![sql],
            is_unique: false,
            predicate: None,
        }));
    }
    Ok(live)
}

fn column(row: &QueryResult) -> Result<Column, DbErr> {
    Ok(Column {
        name: row.try_get("", "name")?,
        kind: row.try_get("", "kind")?,
        not_null: row.try_get("", "not_null")?,
        default: row.try_get("", "default")?,
        is_identity: row.try_get("", "identity")?,
    })
}

fn add_unique(table: &mut Table, name: String, column: String) {
    match table.uniques.last_mut() {
        Some(last) if last.name.as_ref() == Some(&name) => last.columns.push(column),
        _ => table.uniques.push(Unique {
            name: Some(name),
            columns: vec![column],
        }),
    }
}

fn add_key(
    table: &mut Table,
    name: String,
    column: String,
    row: &QueryResult,
    (on_delete, on_update): (String, String),
) -> Result<(), DbErr> {
    let to = row.try_get("", "to")?;
    match table.foreign_keys.last_mut() {
        Some(last) if last.name.as_ref() == Some(&name) => {
            last.columns.push(column);
            last.to.push(to);
        }
        _ => table.foreign_keys.push(ForeignKey {
            name: Some(name),
            columns: vec![column],
            table: row.try_get("", "table")?,
            to: vec![to],
            on_delete,
            on_update,
        }),
    }
    Ok(())
}

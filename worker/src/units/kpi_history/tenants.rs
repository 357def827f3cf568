//! The tenants that the unit computes KPIs for, in the database's order.

use sea_orm::DbErr;

use crate::core::event::Cursor;
use crate::error::{Doing, Result};
use crate::source::{self, Key, Keyset, Source};
use crate::unit::Range;

/// All tenants.
pub(super) async fn all(source: &Source) -> Result<Vec<Key>> {
    let doing = "listing the tenants";
    let sql = format!(
        "SELECT DISTINCT t.\"tenant\" FROM ({}) t ORDER BY t.\"tenant\"",
        union(source)
    );
    let rows = source.all(doing, &sql, []).await?;
    let tenants: Result<_, DbErr> = rows.iter().map(|row| source::key(row, "tenant")).collect();
    tenants.doing(doing)
}

/// Up to `limit` tenants of a range, the next ones behind the cursor's.
pub(super) async fn next(
    source: &Source,
    range: &Range,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<Key>> {
    let doing = "looking for the next tenants";
    let mut keyset = Keyset::new("t.\"tenant\"", range, after);
    let condition = keyset.condition();
    let limit = keyset.bind_limit(limit);
    let sql = format!(
        "SELECT DISTINCT t.\"tenant\" FROM ({}) t WHERE {condition} ORDER BY t.\"tenant\" LIMIT {limit}",
        union(source)
    );
    let rows = source.all(doing, &sql, keyset.values()).await?;
    let tenants: Result<_, DbErr> = rows.iter().map(|row| source::key(row, "tenant")).collect();
    tenants.doing(doing)
}

/// The tenants of all sources: those of snapshots may be in no other. Of a single table, each as often as it has rows.
fn union(source: &Source) -> String {
    let mut tables = vec!["Campaign"];
    tables.extend(
        ["Deal", "KpiSnapshot"]
            .into_iter()
            .filter(|table| source.has(table)),
    );
    let queries: Vec<_> = tables
        .iter()
        .map(|table| format!("SELECT \"tenantId\" AS \"tenant\" FROM \"{table}\""))
        .collect();
    queries.join(" UNION ")
}

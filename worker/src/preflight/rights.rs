//! Whether the role may do what the plan needs, and what the schema change needs.

use std::path::Path;

use super::{Finding, Machine};
use crate::backend::health::Lacking;
use crate::backend::{Database, Dialect, quote};
use crate::engine::Plan;
use crate::error::Result;
use crate::{roles, schema};

pub(super) async fn look(
    database: &Database,
    plan: &Plan,
    machine: Machine,
) -> Result<Vec<Finding>> {
    if database.dialect() == Dialect::Sqlite {
        let file = database.file().await?;
        return Ok(file
            .map(|file| of_file(&file.path, machine))
            .into_iter()
            .collect());
    }
    let role = match database.server().await? {
        Some(server) => quote(&server.role),
        None => "the role".to_owned(),
    };
    let lacking = database.lacking(&roles::of_worker(plan)).await?;
    let mut findings = vec![match lacking.as_slice() {
        [] => Finding::ok(
            "rights",
            "the role may do all that a run does in the tables that are there",
        ),
        lacking => Finding::stop(
            "rights",
            format!("the role lacks {}", told(lacking)),
            format!(
                "grant it, or look as the role that will run (`cli schema roles --print` makes one): {}",
                grants(lacking, &role)
            ),
        ),
    }];
    let tables = tables(plan);
    let hidden = database.hidden(&tables).await?;
    findings.push(match hidden.as_slice() {
        [] => Finding::ok("row-security", "no policy hides rows from the role"),
        hidden => Finding::stop(
            "row-security",
            format!("policies hide rows of {}", hidden.join(", ")),
            format!("what cannot be seen would be lost: ALTER ROLE {role} BYPASSRLS"),
        ),
    });
    findings.push(schema_change(database, plan, &role).await?);
    Ok(findings)
}

/// All tables that a plan reads or writes, in order.
pub(super) fn tables(plan: &Plan) -> Vec<String> {
    let read = plan.iter().flat_map(|unit| unit.tables());
    let mut tables: Vec<_> = read.map(|table| table.name).collect();
    let written = plan.iter().map(|unit| &unit.definition().destination.table);
    tables.extend(written.cloned());
    tables.sort();
    tables.dedup();
    tables
}

fn told(lacking: &[Lacking]) -> String {
    let told: Vec<_> = lacking
        .iter()
        .map(|right| match &right.columns {
            Some(columns) => format!("{} of {} ({columns})", right.privilege, right.table),
            None => format!("{} of {}", right.privilege, right.table),
        })
        .collect();
    told.join(", ")
}

fn grants(lacking: &[Lacking], role: &str) -> String {
    let grants: Vec<_> = lacking
        .iter()
        .map(|right| {
            let (privilege, table) = (&right.privilege, quote(&right.table));
            match &right.columns {
                Some(columns) => format!("GRANT {privilege} ({columns}) ON {table} TO {role};"),
                None => format!("GRANT {privilege} ON {table} TO {role};"),
            }
        })
        .collect();
    grants.join(" ")
}

/// A role that runs the plan need not be the one that changes the schema.
async fn schema_change(database: &Database, plan: &Plan, role: &str) -> Result<Finding> {
    const ID: &str = "schema-rights";
    let changes = schema::status(database).await?;
    if changes.iter().all(|change| change.is_applied) {
        return Ok(Finding::ok(ID, "no schema change is pending"));
    }
    let (mut lacks, mut grants) = (Vec::new(), Vec::new());
    let (name, may) = database.may_create().await?;
    if !may {
        let name = name.unwrap_or_else(|| "public".into());
        lacks.push(format!("may not make tables in the schema {name}"));
        grants.push(format!(
            "GRANT CREATE ON SCHEMA {} TO {role};",
            quote(&name)
        ));
    }
    for owner in database.owners(&roles::changed_tables(plan)).await? {
        if !owner.may {
            lacks.push(format!("does not own {}, which gets a column", owner.name));
            grants.push(format!("GRANT {} TO {role};", quote(&owner.owner)));
        }
    }
    Ok(match lacks.is_empty() {
        true => Finding::ok(ID, "the role may apply the pending schema changes"),
        false => Finding::warning(
            ID,
            format!(
                "schema changes are pending, and the role {}",
                lacks.join(" and ")
            ),
            format!(
                "let the owner run `cli schema up` (`cli schema roles --print` makes a role for it), or: {}",
                grants.join(" ")
            ),
        ),
    })
}

/// SQLite writes its log beside the file.
fn of_file(path: &str, machine: Machine) -> Finding {
    let path = Path::new(path);
    let folder = path.parent().unwrap_or(Path::new("."));
    match [path, folder]
        .into_iter()
        .find(|path| !(machine.may_write)(path))
    {
        None => Finding::ok("rights", "the file and its folder may be written to"),
        Some(path) => Finding::stop(
            "rights",
            format!("{} may not be written to", path.display()),
            "mend the rights of the file and its folder, or run as its owner",
        ),
    }
}

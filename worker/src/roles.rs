//! The database's roles, each with the least rights that a plan needs, as SQL for PostgreSQL. Derived from what the
//! units declare, so that any plan is covered. Nothing is executed here, and no password is known.

use std::fmt::Write as _;

use entity::{backstitch_journal, backstitch_journal_rows, backstitch_partition};
use migration::{Migrator, MigratorTrait};
use sea_orm::EntityName;

use crate::backend::quote;
use crate::core::plan::{Column, Definition, Write};
use crate::unit::Unit;

/// Runs the plan.
const WORKER: &str = "backstitch_worker";
/// Takes runs back.
const UNDO: &str = "backstitch_undo";
/// Repairs runs, and takes repairs back.
const REPAIR: &str = "backstitch_repair";
/// Steers runs: pauses, resumes, cancels, sets.
const OPERATOR: &str = "backstitch_operator";
/// Looks: status, journal, validation, verification, export.
const VIEWER: &str = "backstitch_viewer";

/// A right on a table.
struct Right<'a> {
    role: &'a str,
    privilege: &'a str,
    table: String,
    /// On these columns alone; none: on all, also on those that are added later.
    columns: Option<Vec<String>>,
}

/// SQL that makes the roles where they are missing and gives them exactly these rights on what is there. For an
/// administrator, before the schema is applied and again after it; may be repeated.
#[must_use]
pub fn sql(plan: &[Box<dyn Unit>]) -> String {
    let mut sql = String::from(HEAD);
    let _ = write!(sql, "{ROLES}");
    for table in changed_tables(plan) {
        let _ = write!(sql, "{}", OWNERS.replace("{table}", &literal(&table)));
    }
    let rights = rights(plan);
    let mut tables: Vec<&str> = rights.iter().map(|right| right.table.as_str()).collect();
    tables.sort_unstable();
    tables.dedup();
    let tables: Vec<_> = tables.into_iter().map(literal).collect();
    let _ = write!(
        sql,
        "{}",
        REVOKE.replace("{tables}", &tables.join(",\n      "))
    );
    let rows: Vec<_> = rights.iter().map(Right::row).collect();
    let _ = write!(
        sql,
        "{}",
        GRANT.replace("{rights}", &rows.join(",\n      "))
    );
    for destination in inserted(plan) {
        let table = literal(&destination.destination.table);
        let _ = write!(sql, "{}", REFERRING.replace("{table}", &table));
    }
    sql.push_str(TAIL);
    sql
}

/// The rights that a worker needs: a privilege, a table, and a column; without a column, all columns of the table.
pub(crate) fn of_worker(plan: &[Box<dyn Unit>]) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for right in rights(plan)
        .into_iter()
        .filter(|right| right.role == WORKER)
    {
        let columns = right.columns.unwrap_or_else(|| vec![String::new()]);
        let needed = |column| (right.privilege.to_owned(), right.table.clone(), column);
        all.extend(columns.into_iter().map(needed));
    }
    all
}

fn rights(plan: &[Box<dyn Unit>]) -> Vec<Right<'static>> {
    let mut rights = Vec::new();
    let mut grant = |role, privilege, table: &str, columns: Option<Vec<String>>| {
        rights.push(Right {
            role,
            privilege,
            table: table.to_owned(),
            columns,
        });
    };
    for table in plan.iter().flat_map(|unit| unit.tables()) {
        for role in [WORKER, REPAIR, VIEWER] {
            grant(role, "SELECT", &table.name, Some(table.columns.clone()));
        }
    }
    for unit in plan {
        let destination = &unit.definition().destination;
        let (table, key) = (&destination.table, &destination.key);
        match destination.write {
            Write::Insert | Write::Remove | Write::Restore => {
                for role in [WORKER, UNDO, REPAIR, VIEWER] {
                    grant(role, "SELECT", table, None);
                }
                for role in [WORKER, REPAIR] {
                    grant(role, "INSERT", table, Some(names(&destination.columns)));
                }
                for role in [UNDO, REPAIR] {
                    grant(role, "DELETE", table, None);
                }
                grant(REPAIR, "UPDATE", table, Some(names(destination.values())));
                // A row is locked before it is looked at and removed, which takes this right on a column, whichever.
                grant(UNDO, "UPDATE", table, Some(vec![key.clone()]));
            }
            Write::Update { .. } => {
                for role in [WORKER, UNDO, REPAIR, VIEWER] {
                    grant(role, "SELECT", table, Some(names(&destination.columns)));
                }
                for role in [WORKER, UNDO, REPAIR] {
                    grant(role, "UPDATE", table, Some(names(destination.values())));
                }
            }
        }
    }
    let journal = backstitch_journal::Entity.table_name();
    let provenance = backstitch_journal_rows::Entity.table_name();
    let projection = backstitch_partition::Entity.table_name();
    let changes = Migrator::migration_table_name().to_string();
    for role in [WORKER, UNDO, REPAIR, OPERATOR, VIEWER] {
        for table in [journal, provenance, projection, changes.as_str()] {
            grant(role, "SELECT", table, None);
        }
    }
    for role in [WORKER, REPAIR] {
        grant(role, "INSERT", provenance, None);
    }
    // Its wishes are events.
    grant(OPERATOR, "INSERT", journal, None);
    for role in [WORKER, UNDO, REPAIR] {
        grant(role, "INSERT", journal, None);
        grant(role, "INSERT", projection, None);
        grant(role, "UPDATE", projection, None);
    }
    rights
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// The units that insert.
fn inserted(plan: &[Box<dyn Unit>]) -> impl Iterator<Item = &Definition> {
    plan.iter()
        .map(|unit| unit.definition())
        .filter(|definition| definition.destination.write == Write::Insert)
}

/// The application's tables that the schema adds a column to.
pub(crate) fn changed_tables(plan: &[Box<dyn Unit>]) -> Vec<String> {
    let mut tables: Vec<String> = plan
        .iter()
        .map(|unit| &unit.definition().destination)
        .filter(|destination| destination.write != Write::Insert)
        .map(|destination| destination.table.clone())
        .collect();
    tables.sort();
    tables.dedup();
    tables
}

impl Right<'_> {
    fn row(&self) -> String {
        let columns = match &self.columns {
            Some(columns) => {
                let columns: Vec<_> = columns.iter().map(|column| text(column)).collect();
                format!("ARRAY[{}]", columns.join(", "))
            }
            None => "NULL".into(),
        };
        format!(
            "('{}', '{}', {}, {columns})",
            self.role,
            self.privilege,
            literal(&self.table)
        )
    }
}

/// A table's name, quoted as an identifier, as a literal.
fn literal(table: &str) -> String {
    text(&quote(table))
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

const HEAD: &str = "\
-- Backstitch's roles, with the least rights that the plan needs. To be executed by an administrator of the database
-- (a superuser, or a role that may create roles and owns the tables): once before `cli schema up`, which is the
-- owner's, and once more after it, for the tables that it makes. Safe to repeat; it takes back what is not listed.
--
--   backstitch_owner     cli schema up, cli schema down
--   backstitch_worker    worker run; what notes evidence: validate --deep, --record, plan approve, checklist tick, signoff, …
--   backstitch_undo      cli rollback of whole units
--   backstitch_repair    cli repair, cli quarantine replay, cli redo, cli rollback of a part, and cli rollback of all these
--   backstitch_operator  cli run pause, resume, cancel, set; cli status, cli journal: it sees no table of the application
--   backstitch_viewer    every other command of cli that only looks
--
-- The roles may log in and have no password: give them one (psql: \\password), or let the server know them otherwise.

DO $backstitch$
DECLARE
  wanted TEXT;
  found RECORD;
  columns TEXT;
BEGIN
";

const ROLES: &str = "
  FOREACH wanted IN ARRAY ARRAY['backstitch_owner', 'backstitch_worker', 'backstitch_undo',
      'backstitch_repair', 'backstitch_operator', 'backstitch_viewer'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', wanted);
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), wanted);
  END LOOP;
  EXECUTE format('GRANT CREATE ON SCHEMA %I TO backstitch_owner', current_schema());
";

/// PostgreSQL lets nobody but a table's owner add a column to it.
const OWNERS: &str = "
  -- A column is added to this table, which only the role that owns it may do, and its members.
  FOR found IN SELECT o.rolname AS name, o.rolsuper AS super FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
      WHERE c.oid = to_regclass({table}) LOOP
    IF found.super THEN
      RAISE WARNING '% belongs to the superuser %: give it to the role of the application, or apply the schema as %',
        {table}, found.name, found.name;
    ELSIF NOT pg_has_role('backstitch_owner', found.name, 'USAGE') THEN
      EXECUTE format('GRANT %I TO backstitch_owner', found.name);
    END IF;
  END LOOP;
";

const REVOKE: &str = "
  FOREACH wanted IN ARRAY ARRAY[
      {tables}
    ] LOOP
    IF to_regclass(wanted) IS NOT NULL THEN
      EXECUTE format('REVOKE ALL ON %s FROM backstitch_worker, backstitch_undo, backstitch_repair, backstitch_operator,
        backstitch_viewer', wanted);
    END IF;
  END LOOP;
";

const GRANT: &str = "
  -- Role, right, table, and the columns where it is not all of them.
  FOR found IN SELECT * FROM (VALUES
      {rights}
    ) AS rights (role, privilege, on_table, on_columns) LOOP
    CONTINUE WHEN to_regclass(found.on_table) IS NULL;
    columns := '';
    IF found.on_columns IS NOT NULL THEN
      SELECT string_agg(quote_ident(a.attname), ', ') INTO columns FROM pg_attribute a
        WHERE a.attrelid = to_regclass(found.on_table) AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attname = ANY (found.on_columns);
      CONTINUE WHEN columns IS NULL;
      columns := '(' || columns || ')';
    END IF;
    EXECUTE format('GRANT %s %s ON %s TO %I', found.privilege, columns, found.on_table, found.role);
  END LOOP;
";

const REFERRING: &str = "
  -- Rows that others refer to are kept by a rollback, which therefore looks for those others.
  FOR found IN SELECT c.conrelid::regclass AS child, string_agg(quote_ident(a.attname), ', ') AS names
      FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
      WHERE c.contype = 'f' AND c.confrelid = to_regclass({table}) GROUP BY c.oid, c.conrelid LOOP
    EXECUTE format('GRANT SELECT (%s) ON %s TO backstitch_undo, backstitch_repair, backstitch_viewer', found.names, found.child);
  END LOOP;
";

const TAIL: &str = "
END
$backstitch$;
";

#[cfg(test)]
mod tests {
    use super::{OPERATOR, REPAIR, UNDO, VIEWER, WORKER, sql};
    use crate::units::phase5;

    #[test]
    fn every_role_and_every_table_of_the_plan_is_named() {
        let plan = phase5(Vec::new());
        let sql = sql(&plan);
        for role in ["backstitch_owner", WORKER, UNDO, REPAIR, OPERATOR, VIEWER] {
            assert!(sql.contains(role), "{role}");
        }
        for unit in &plan {
            for table in unit.tables() {
                assert!(sql.contains(&table.name), "{}", table.name);
            }
            assert!(sql.contains(&unit.definition().destination.table));
        }
    }

    #[test]
    fn no_right_changes_the_journal() {
        let sql = sql(&phase5(Vec::new()));
        for table in ["backstitch_journal", "backstitch_journal_rows"] {
            for right in ["UPDATE", "DELETE", "TRUNCATE", "ALL"] {
                assert!(!sql.contains(&format!("'{right}', '\"{table}\"'")));
            }
        }
    }
}

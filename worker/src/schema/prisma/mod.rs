//! The expected schema as Prisma's models, for PostgreSQL: printed, and compared with those of an application's schema file.

mod check;
mod expected;
mod file;

use std::fmt::Write;

use migration::{Migrator, MigratorTrait};

use super::{Difference, Schema};
use crate::backend::Dialect;
use crate::engine::Plan;
use crate::error::Result;

/// What an application's models say and no database knows: data of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// Attributes of fields, as (table, column, attribute): `("Note", "updatedAt", "@updatedAt")`.
    pub attributes: &'static [(&'static str, &'static str, &'static str)],
    /// How foreign keys are called.
    pub relations: &'static [Relation],
}

/// The names of a foreign key's two ends.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    /// The table that refers.
    pub table: &'static str,
    /// The column that refers.
    pub column: &'static str,
    /// The field there.
    pub field: &'static str,
    /// The field at the other end, a list.
    pub back: &'static str,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// Its name.
    name: String,
    /// The table.
    table: String,
    /// Whether it is all of the table; otherwise the application has more of it.
    is_whole: bool,
    /// Its columns.
    fields: Vec<Field>,
    /// Fields that hold other models.
    relations: Vec<Field>,
    /// Its indexes: columns, and the name.
    indexes: Vec<(Vec<String>, String)>,
    /// Block attributes of other kinds.
    others: Vec<String>,
}

/// A field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name.
    name: String,
    /// The column.
    column: String,
    /// Its type, without `?` and `[]`.
    kind: String,
    /// Whether it may be null.
    is_optional: bool,
    /// Whether it is a list.
    is_list: bool,
    /// Its attributes, each as it is written.
    attributes: Vec<String>,
}

/// The models as Prisma formats them, and how Prisma leaves the journal's tables alone.
///
/// # Errors
/// [`crate::error::Error::Usage`]: a statement of a schema change cannot be read.
pub fn print(plan: &Plan, hints: &Hints) -> Result<String> {
    let schema = Schema::expected(Dialect::Postgres)?;
    let mut text = String::from(
        "// What the schema changes make, as Prisma's models. Compare them with your own: `cli schema prisma --check FILE`.\n",
    );
    let models = expected::models(plan, &schema, hints);
    for model in &models {
        let _ = write!(text, "\n{}", written(model));
    }
    let is_own = |name: &&str| !models.iter().any(|model| model.table == **name);
    let made = schema.tables.iter().filter(|table| table.is_made);
    let mut own: Vec<_> = made
        .map(|table| table.name.as_str())
        .filter(is_own)
        .collect();
    let bookkeeping = Migrator::migration_table_name().to_string();
    own.push(&bookkeeping);
    let _ = write!(text, "\n{}", advice(&own));
    Ok(text)
}

/// Compares an application's schema file with the models. Order, spaces and comments do not matter.
///
/// # Errors
/// [`crate::error::Error::Usage`]: the file holds no model, or a quote or bracket without an end.
pub fn check(plan: &Plan, hints: &Hints, text: &str) -> Result<Vec<Difference>> {
    let schema = Schema::expected(Dialect::Postgres)?;
    let expected = expected::models(plan, &schema, hints);
    let found = file::models(text)?;
    Ok(check::differences(&expected, &found))
}

fn written(model: &Model) -> String {
    let all = || model.fields.iter().chain(&model.relations);
    let width = |of: fn(&Field) -> usize| all().map(of).max().unwrap_or(0);
    let (names, kinds) = (
        width(|field| field.name.len()),
        width(|field| field.kind().len()),
    );
    let line = |field: &Field| {
        let line = format!(
            "  {:names$} {:kinds$} {}",
            field.name,
            field.kind(),
            field.attributes.join(" ")
        );
        format!("{}\n", line.trim_end())
    };
    let mut text = format!("model {} {{\n", model.name);
    if !model.is_whole {
        text.push_str("  // ... existing fields ...\n");
    }
    let lines = |fields: &[Field]| fields.iter().map(line).collect::<String>();
    text.push_str(&lines(&model.fields));
    if model.is_whole && !model.relations.is_empty() {
        text.push('\n');
    }
    text.push_str(&lines(&model.relations));
    if !model.indexes.is_empty() {
        text.push('\n');
    }
    for (columns, name) in &model.indexes {
        let columns: Vec<_> = columns.iter().map(|column| sorted(column)).collect();
        let columns = columns.join(", ");
        let map = match *name == file::index_name(&model.table, &model.indexes_columns(name)) {
            true => String::new(),
            false => format!(", map: \"{name}\""),
        };
        let _ = writeln!(text, "  @@index([{columns}]{map})");
    }
    text.push_str("}\n");
    text
}

/// A column of an index as Prisma writes it.
fn sorted(column: &str) -> String {
    match column.strip_suffix(" DESC") {
        Some(column) => format!("{column}(sort: Desc)"),
        None => column.to_owned(),
    }
}

impl Model {
    fn indexes_columns(&self, name: &str) -> Vec<String> {
        let index = self.indexes.iter().find(|(_, other)| other == name);
        index.map_or(Vec::new(), |(columns, _)| columns.clone())
    }
}

impl Field {
    /// Its type as it is written.
    fn kind(&self) -> String {
        let end = match (self.is_list, self.is_optional) {
            (true, _) => "[]",
            (false, true) => "?",
            (false, false) => "",
        };
        format!("{}{end}", self.kind)
    }
}

/// <https://www.prisma.io/docs/orm/prisma-schema/data-model/externally-managed-tables>
fn advice(tables: &[&str]) -> String {
    let external: Vec<_> = tables
        .iter()
        .map(|table| format!("//     \"public.{table}\",\n"))
        .collect();
    format!(
        "// The tables of Backstitch's own need no model. `prisma migrate deploy` leaves them alone; `prisma migrate dev` takes\n\
         // them for drift, and `prisma db push` and `prisma migrate diff` would drop them, unless prisma.config.ts names\n\
         // them as external:\n\
         //   experimental: {{ externalTables: true }},\n\
         //   tables: {{ external: [\n{}//   ] }},\n",
        external.concat()
    )
}

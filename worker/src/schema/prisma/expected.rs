//! The models that a schema and a plan's hints make.

use super::super::{Column, ForeignKey, Schema, Table};
use super::{Field, Hints, Model};
use crate::engine::Plan;

/// The models of a plan's destinations, in the order in which the schema makes them; last what is added to tables of the
/// application's.
pub(super) fn models(plan: &Plan, schema: &Schema, hints: &Hints) -> Vec<Model> {
    let destinations = plan.iter().map(|unit| &unit.definition().destination.table);
    let destinations: Vec<_> = destinations.collect();
    let tables = schema.tables.iter();
    let tables = tables.filter(|table| destinations.contains(&&table.name));
    let mut models: Vec<_> = tables.map(|table| model(table, hints)).collect();
    let referring: Vec<_> = models.iter().map(|model| model.table.clone()).collect();
    for name in referring {
        let keys = schema
            .table(&name)
            .map_or(&[][..], |table| &table.foreign_keys);
        for key in keys {
            let other = models.iter_mut().find(|model| model.table == key.table);
            let other = match other {
                Some(other) => other,
                None => {
                    models.push(Model {
                        name: key.table.clone(),
                        table: key.table.clone(),
                        ..Model::default()
                    });
                    let last = models.len() - 1;
                    &mut models[last]
                }
            };
            let (_, back) = names(&name, key, hints);
            other.relations.push(Field {
                column: back.clone(),
                name: back,
                kind: name.clone(),
                is_list: true,
                ..Field::default()
            });
        }
    }
    models.sort_by_key(|model| !model.is_whole);
    models
}

fn model(table: &Table, hints: &Hints) -> Model {
    let indexes = table.indexes.iter();
    let keys = table.foreign_keys.iter();
    Model {
        name: table.name.clone(),
        table: table.name.clone(),
        is_whole: table.is_made,
        fields: table
            .columns
            .iter()
            .map(|column| field(table, column, hints))
            .collect(),
        relations: keys.map(|key| relation(table, key, hints)).collect(),
        indexes: indexes
            .map(|index| (index.columns.clone(), index.name.clone()))
            .collect(),
        others: Vec::new(),
    }
}

fn field(table: &Table, column: &Column, hints: &Hints) -> Field {
    let (kind, native) = scalar(&column.kind);
    let mut attributes = Vec::new();
    if table.primary_key == [column.name.as_str()] {
        attributes.push("@id".to_owned());
    }
    if column.is_identity {
        attributes.push("@default(autoincrement())".into());
    }
    attributes.extend(column.default.as_deref().map(default));
    attributes.extend(native);
    let hints = hints.attributes.iter();
    let hints = hints.filter(|(of, name, _)| *of == table.name && *name == column.name);
    attributes.extend(hints.map(|(_, _, attribute)| (*attribute).to_owned()));
    Field {
        name: column.name.clone(),
        column: column.name.clone(),
        kind,
        is_optional: !column.not_null,
        is_list: false,
        attributes,
    }
}

/// Prisma's type for a column's, and the attribute that it needs beside it.
/// <https://www.prisma.io/docs/orm/reference/prisma-schema-reference#model-field-scalar-types>
fn scalar(kind: &str) -> (String, Option<String>) {
    let plain = match kind {
        "text" => "String",
        "integer" => "Int",
        "bigint" => "BigInt",
        "double precision" => "Float",
        "boolean" => "Boolean",
        "jsonb" => "Json",
        "bytea" => "Bytes",
        "timestamp(3) without time zone" => "DateTime",
        _ => "",
    };
    if !plain.is_empty() {
        return (plain.into(), None);
    }
    match kind.strip_prefix("numeric") {
        Some(precision) => ("Decimal".into(), Some(format!("@db.Decimal{precision}"))),
        None => (format!("Unsupported(\"{kind}\")"), None),
    }
}

fn default(expression: &str) -> String {
    let is_number = expression.parse::<f64>().is_ok();
    let text = expression
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    match (text, expression) {
        (Some(text), _) => format!("@default(\"{}\")", text.replace("''", "'")),
        (None, "CURRENT_TIMESTAMP" | "now()") => "@default(now())".into(),
        (None, "true" | "false") => format!("@default({expression})"),
        (None, _) if is_number => format!("@default({expression})"),
        (None, _) => format!("@default(dbgenerated(\"{expression}\"))"),
    }
}

fn relation(table: &Table, key: &ForeignKey, hints: &Hints) -> Field {
    let (name, _) = names(&table.name, key, hints);
    let is_optional = key
        .columns
        .iter()
        .all(|name| table.column(name).is_some_and(|column| !column.not_null));
    let mut arguments = vec![
        format!("fields: [{}]", key.columns.join(", ")),
        format!("references: [{}]", key.to.join(", ")),
    ];
    for (when, action, usual) in [
        ("onDelete", &key.on_delete, on_delete(is_optional)),
        ("onUpdate", &key.on_update, "Cascade"),
    ] {
        let action = action_name(action);
        if action != usual {
            arguments.push(format!("{when}: {action}"));
        }
    }
    Field {
        column: name.clone(),
        name,
        kind: key.table.clone(),
        is_optional,
        is_list: false,
        attributes: vec![format!("@relation({})", arguments.join(", "))],
    }
}

/// What a deletion does where nothing is said.
pub(super) fn on_delete(is_optional: bool) -> &'static str {
    match is_optional {
        true => "SetNull",
        false => "Restrict",
    }
}

fn action_name(action: &str) -> &'static str {
    match action {
        "CASCADE" => "Cascade",
        "RESTRICT" => "Restrict",
        "SET NULL" => "SetNull",
        "SET DEFAULT" => "SetDefault",
        _ => "NoAction",
    }
}

/// What the two ends of a foreign key are called: as the hints say, or after the tables.
fn names(table: &str, key: &ForeignKey, hints: &Hints) -> (String, String) {
    let small = |name: &str| {
        let mut letters = name.chars();
        let first = letters.next().map(|first| first.to_lowercase().to_string());
        format!("{}{}", first.unwrap_or_default(), letters.as_str())
    };
    let mut relations = hints.relations.iter();
    let hint = relations.find(|hint| hint.table == table && key.columns == [hint.column]);
    match hint {
        Some(hint) => (hint.field.to_owned(), hint.back.to_owned()),
        None => (small(&key.table), small(table)),
    }
}

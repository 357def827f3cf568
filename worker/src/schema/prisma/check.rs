//! Where an application's models differ from the expected ones.

use std::collections::BTreeSet;

use super::super::Difference;
use super::expected::on_delete;
use super::file::{arguments, column, inside, list};
use super::{Field, Model};

/// What differs. Models that nothing is expected of are passed over.
pub(super) fn differences(expected: &[Model], found: &[Model]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for model in expected {
        match found.iter().find(|other| other.table == model.table) {
            None => differences.push(difference(
                &format!("model {}", model.name),
                "a model",
                "none",
                "take it over from `cli schema prisma`",
            )),
            Some(other) => compare(&mut differences, model, other),
        }
    }
    differences
}

fn compare(differences: &mut Vec<Difference>, expected: &Model, found: &Model) {
    let fields = |model: &Model| -> Vec<Field> {
        model
            .fields
            .iter()
            .chain(&model.relations)
            .cloned()
            .collect()
    };
    let (wanted, there) = (fields(expected), fields(found));
    for field in &wanted {
        let what = format!("{}.{}", expected.name, field.name);
        match there.iter().find(|other| other.column == field.column) {
            None => differences.push(difference(
                &what,
                &shown(field),
                "no such field",
                "take it over from `cli schema prisma`",
            )),
            Some(other) if !is_same(expected, field, found, other) => differences.push(difference(
                &what,
                &shown(field),
                &shown(other),
                "make it say the same",
            )),
            Some(_) => {}
        }
    }
    if !expected.is_whole {
        return;
    }
    for field in &found.fields {
        if !wanted.iter().any(|other| other.column == field.column) {
            differences.push(difference(
                &format!("{}.{}", expected.name, field.name),
                "no such field",
                &shown(field),
                "the table has no such column, and a client that asks for it fails: take it out, or add the column first",
            ));
        }
    }
    let name =
        |index: &(Vec<String>, String)| format!("@@index([{}]) as {}", index.0.join(", "), index.1);
    for index in expected
        .indexes
        .iter()
        .filter(|index| !found.indexes.contains(index))
    {
        let same = found.indexes.iter().find(|other| other.0 == index.0);
        differences.push(difference(
            &expected.name,
            &name(index),
            &same.map_or("none".to_owned(), name),
            "take it over from `cli schema prisma`",
        ));
    }
    for index in &found.indexes {
        if !expected.indexes.iter().any(|other| other.0 == index.0) {
            let remedy =
                "the table has no such index: take it out, or leave it to a migration of your own";
            differences.push(difference(
                &expected.name,
                "no such index",
                &name(index),
                remedy,
            ));
        }
    }
    for other in &found.others {
        differences.push(difference(
            &expected.name,
            "no such attribute",
            other,
            "the table has nothing of it: take it out, or leave it to a migration of your own",
        ));
    }
}

fn difference(what: &str, expected: &str, found: &str, remedy: &str) -> Difference {
    Difference {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn shown(field: &Field) -> String {
    let shown = format!("{} {}", field.kind(), field.attributes.join(" "));
    shown.trim_end().to_owned()
}

fn is_same(ours: &Model, expected: &Field, theirs: &Model, found: &Field) -> bool {
    expected.kind() == found.kind() && normal(ours, expected) == normal(theirs, found)
}

/// A field's attributes without what Prisma takes for granted, in no order.
fn normal(model: &Model, field: &Field) -> BTreeSet<String> {
    let attributes = field.attributes.iter();
    attributes
        .filter(|attribute| !is_usual(&field.kind, attribute))
        .filter_map(|attribute| match inside(attribute, "@relation") {
            Some(inside) => relation(model, field, inside),
            None => Some(attribute.split_whitespace().collect()),
        })
        .collect()
}

/// The native type that a type stands for on PostgreSQL anyway.
/// <https://www.prisma.io/docs/orm/reference/prisma-schema-reference#model-field-scalar-types>
fn is_usual(kind: &str, attribute: &str) -> bool {
    let usual = match kind {
        "String" => "@db.Text",
        "Int" => "@db.Integer",
        "BigInt" => "@db.BigInt",
        "Float" => "@db.DoublePrecision",
        "Boolean" => "@db.Boolean",
        "DateTime" => "@db.Timestamp(3)",
        "Json" => "@db.JsonB",
        "Bytes" => "@db.ByteA",
        _ => return false,
    };
    attribute == usual
}

/// A relation's arguments; none where the end that refers says all.
fn relation(model: &Model, field: &Field, inside: &str) -> Option<String> {
    if field.is_list {
        return None;
    }
    let mut said: Vec<String> = Vec::new();
    for argument in arguments(inside) {
        let Some((name, value)) = argument.split_once(':') else {
            continue;
        };
        let value = value.trim();
        let is_usual = match name.trim() {
            "onDelete" => value == on_delete(field.is_optional),
            "onUpdate" => value == "Cascade",
            "name" => true,
            // The key's name where it is the usual one.
            "map" => {
                value.trim_matches('"')
                    == format!(
                        "{}_{}_fkey",
                        model.table,
                        field_columns(model, inside).join("_")
                    )
            }
            _ => false,
        };
        if is_usual {
            continue;
        }
        said.push(match name.trim() {
            "fields" => format!("fields:{}", field_columns(model, inside).join(",")),
            name => format!("{name}:{}", value.split_whitespace().collect::<String>()),
        });
    }
    said.sort();
    Some(format!("@relation({})", said.join(";")))
}

/// The columns of a relation's own fields.
fn field_columns(model: &Model, inside: &str) -> Vec<String> {
    let fields = arguments(inside).into_iter().find_map(|argument| {
        let (name, value) = argument.split_once(':')?;
        (name.trim() == "fields").then(|| list(value))
    });
    let fields = fields.unwrap_or_default();
    fields.iter().map(|field| column(model, field)).collect()
}

//! Reads the models of a Prisma schema file: enough of its language to compare models, and nothing of what else it holds.
//! <https://www.prisma.io/docs/orm/reference/prisma-schema-reference>

use super::{Field, Model};
use crate::error::{Error, Result};

/// The models of a file.
///
/// # Errors
/// [`Error::Usage`]: it holds none, or a quote or bracket without an end.
pub(super) fn models(text: &str) -> Result<Vec<Model>> {
    let lines = lines(text)?;
    let mut models: Vec<Model> = Vec::new();
    let mut block: Option<(Model, Vec<String>)> = None;
    let mut is_inside_another = false;
    for line in &lines {
        let words: Vec<_> = line.split_whitespace().collect();
        match (&mut block, words.as_slice()) {
            (Some((model, others)), ["}"]) => {
                finish(model, others);
                models.push(std::mem::take(model));
                block = None;
            }
            (Some((_, others)), [first, ..]) if first.starts_with("@@") => {
                others.push(line.clone())
            }
            (Some((model, _)), [_, _, ..]) => model.fields.push(field(line)),
            (None, ["model", name, "{"]) if !is_inside_another => {
                let model = Model {
                    name: (*name).to_owned(),
                    table: (*name).to_owned(),
                    is_whole: true,
                    ..Model::default()
                };
                block = Some((model, Vec::new()));
            }
            (None, [.., "{"]) => is_inside_another = true,
            (None, ["}"]) => is_inside_another = false,
            _ => {}
        }
    }
    if block.is_some() {
        return Err(Error::Usage("the schema file ends within a model".into()));
    }
    if models.is_empty() {
        return Err(Error::Usage(
            "the schema file holds no model: name the application's schema.prisma".into(),
        ));
    }
    let tables: Vec<_> = models
        .iter()
        .map(|model| (model.name.clone(), model.table.clone()))
        .collect();
    for model in &mut models {
        separate(model, &tables);
    }
    Ok(models)
}

/// Its lines without comments, and each list of arguments on one.
fn lines(text: &str) -> Result<Vec<String>> {
    let mut lines = vec![String::new()];
    let mut depth = 0_usize;
    for line in text.lines() {
        let mut is_quoted = false;
        let mut letters = line.chars().peekable();
        let mut last = ' ';
        while let Some(letter) = letters.next() {
            match letter {
                '"' if last != '\\' => is_quoted = !is_quoted,
                '/' if !is_quoted && letters.peek() == Some(&'/') => break,
                '(' | '[' if !is_quoted => depth += 1,
                ')' | ']' if !is_quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            if let Some(line) = lines.last_mut() {
                line.push(letter);
            }
            last = letter;
        }
        if is_quoted {
            let shown: String = line.trim().chars().take(60).collect();
            return Err(Error::Usage(format!(
                "a quote in the schema file has no end: {shown}"
            )));
        }
        match depth {
            0 => lines.push(String::new()),
            _ => lines
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|line| line.push(' ')),
        }
    }
    if depth > 0 {
        return Err(Error::Usage(
            "a bracket in the schema file has no end".into(),
        ));
    }
    // A brace right behind a name, or a model on one line, is rare and means the same.
    let spaced = lines
        .iter()
        .map(|line| match line.trim().strip_suffix('{') {
            Some(before) => format!("{before} {{"),
            None => line.trim().to_owned(),
        });
    Ok(spaced.filter(|line| !line.is_empty()).collect())
}

fn field(line: &str) -> Field {
    let mut parts = line.splitn(2, char::is_whitespace);
    let name = parts.next().unwrap_or_default().to_owned();
    let rest = parts.next().unwrap_or_default().trim();
    let end = rest.find(|letter: char| letter.is_whitespace() || letter == '@');
    // `Unsupported("a b")` holds spaces.
    let end = match rest.starts_with("Unsupported(") {
        true => rest.find(')').map(|place| place + 1),
        false => end,
    };
    let (kind, attributes) = rest.split_at(end.unwrap_or(rest.len()));
    let attributes = attributes_of(attributes);
    let column = argument(&attributes, "@map").unwrap_or_else(|| name.clone());
    Field {
        name,
        column,
        kind: kind.trim_end_matches(['?', '[', ']']).to_owned(),
        is_optional: kind.ends_with('?'),
        is_list: kind.ends_with("[]"),
        attributes: attributes
            .into_iter()
            .filter(|attribute| !attribute.starts_with("@map("))
            .collect(),
    }
}

/// The attributes that stand one behind the other.
fn attributes_of(text: &str) -> Vec<String> {
    let mut attributes: Vec<String> = Vec::new();
    let (mut depth, mut is_quoted) = (0_usize, false);
    for letter in text.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth = depth.saturating_sub(1),
            '@' if !is_quoted && depth == 0 => attributes.push(String::new()),
            _ => {}
        }
        if let Some(attribute) = attributes.last_mut() {
            attribute.push(letter);
        }
    }
    attributes
        .iter()
        .map(|attribute| attribute.trim().to_owned())
        .collect()
}

/// The text that an attribute such as `@map("name")` holds.
fn argument(attributes: &[String], name: &str) -> Option<String> {
    let mut attributes = attributes.iter();
    let inside = attributes.find_map(|attribute| inside(attribute, name))?;
    let value = inside.strip_prefix("name:").unwrap_or(inside);
    Some(value.trim().trim_matches('"').to_owned())
}

/// What stands in an attribute's brackets.
pub(super) fn inside<'a>(attribute: &'a str, name: &str) -> Option<&'a str> {
    let rest = attribute.strip_prefix(name)?.trim_start();
    rest.strip_prefix('(')?.trim_end().strip_suffix(')')
}

/// Arguments between commas that stand in no bracket and no quotes.
pub(super) fn arguments(inside: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut is_quoted) = (0_usize, false);
    for letter in inside.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '(' | '[' if !is_quoted => depth += 1,
            ')' | ']' if !is_quoted => depth = depth.saturating_sub(1),
            ',' if !is_quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(argument) = arguments.last_mut() {
            argument.push(letter);
        }
    }
    let trimmed = arguments.iter().map(|argument| argument.trim().to_owned());
    trimmed.filter(|argument| !argument.is_empty()).collect()
}

/// Names in square brackets.
pub(super) fn list(text: &str) -> Vec<String> {
    let inside = text.trim().trim_start_matches('[').trim_end_matches(']');
    arguments(inside)
}

/// Reads the block attributes, now that all fields are known.
fn finish(model: &mut Model, attributes: &[String]) {
    if let Some(table) = argument(attributes, "@@map") {
        model.table = table;
    }
    for attribute in attributes {
        let Some(inside) = inside(attribute, "@@index") else {
            if !attribute.starts_with("@@map") && !attribute.starts_with("@@schema") {
                model.others.push(attribute.clone());
            }
            continue;
        };
        let (mut columns, mut name) = (Vec::new(), None);
        for argument in arguments(inside) {
            let fields = argument.strip_prefix("fields:").unwrap_or(&argument).trim();
            if fields.starts_with('[') {
                columns = list(fields)
                    .iter()
                    .map(|field| indexed(model, field))
                    .collect();
            } else if let Some(map) = argument.strip_prefix("map:") {
                name = Some(map.trim().trim_matches('"').to_owned());
            }
        }
        let name = name.unwrap_or_else(|| index_name(&model.table, &columns));
        model.indexes.push((columns, name));
    }
}

/// A column of an index, such as `createdAt(sort: Desc)`.
fn indexed(model: &Model, field: &str) -> String {
    let (name, how) = field.split_once('(').unwrap_or((field, ""));
    let column = column(model, name.trim());
    match how.replace(' ', "").contains("sort:Desc") {
        true => format!("{column} DESC"),
        false => column,
    }
}

/// The column of a field.
pub(super) fn column(model: &Model, field: &str) -> String {
    let found = model.fields.iter().find(|other| other.name == field);
    found.map_or(field, |found| &found.column).to_owned()
}

/// The name that Prisma gives to an index.
pub(super) fn index_name(table: &str, columns: &[String]) -> String {
    let columns = columns
        .iter()
        .map(|column| column.trim_end_matches(" DESC"));
    format!("{table}_{}_idx", columns.collect::<Vec<_>>().join("_"))
}

/// Tells columns from relations, whose type becomes the other model's table.
fn separate(model: &mut Model, tables: &[(String, String)]) {
    let fields = std::mem::take(&mut model.fields);
    for mut field in fields {
        match tables.iter().find(|(name, _)| *name == field.kind) {
            Some((_, table)) => {
                field.kind.clone_from(table);
                model.relations.push(field);
            }
            None => model.fields.push(field),
        }
    }
}

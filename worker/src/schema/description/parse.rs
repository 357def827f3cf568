//! What a statement adds to a schema. Knows the statements that make schemas additively, and refuses all others, so that
//! nothing is passed over.

use super::reader::{Reader, Result};
use super::tokens::Token;
use super::{Column, ForeignKey, Index, Schema, Table, Unique};
use crate::backend::Dialect;

/// Words that a type has after its first; any other is no part of it.
const OF_TYPES: [&str; 6] = ["PRECISION", "VARYING", "WITH", "WITHOUT", "TIME", "ZONE"];

/// Adds what a statement makes.
pub(super) fn statement(
    dialect: Dialect,
    tokens: &[(Token<'_>, &str)],
    schema: &mut Schema,
) -> Result<()> {
    let mut reader = Reader { dialect, tokens };
    match reader.word()?.to_uppercase().as_str() {
        "CREATE" => create(&mut reader, schema)?,
        "ALTER" => alter(&mut reader, schema)?,
        other => return Err(format!("{other} is not known")),
    }
    match reader.tokens.first() {
        None => Ok(()),
        Some((_, text)) => Err(format!("{text} is not known there")),
    }
}

fn create(reader: &mut Reader<'_, '_>, schema: &mut Schema) -> Result<()> {
    let is_unique = reader.takes(&["UNIQUE"]);
    match reader.word()?.to_uppercase().as_str() {
        "TABLE" if !is_unique => create_table(reader, schema),
        "INDEX" => create_index(reader, schema, is_unique),
        "FUNCTION" if !is_unique => {
            schema.functions.push(reader.name()?);
            reader.tokens = &[];
            Ok(())
        }
        "TRIGGER" if !is_unique => {
            let name = reader.name()?;
            while !reader.takes(&["ON"]) {
                reader.next()?;
            }
            schema.triggers.push((reader.name()?, name));
            reader.tokens = &[];
            Ok(())
        }
        other => Err(format!("CREATE {other} is not known")),
    }
}

fn create_table(reader: &mut Reader<'_, '_>, schema: &mut Schema) -> Result<()> {
    reader.takes(&["IF", "NOT", "EXISTS"]);
    let mut table = Table {
        name: reader.name()?,
        is_made: true,
        ..Table::default()
    };
    reader.sign('(')?;
    loop {
        match reader.tokens.first() {
            Some((Token::Name(_), _)) => column(reader, &mut table)?,
            _ => constraint(reader, &mut table)?,
        }
        if !reader.takes_sign(',') {
            break;
        }
    }
    reader.sign(')')?;
    // How it is stored is none of a reader's business.
    if reader.takes(&["WITH"]) {
        reader.in_parentheses()?;
    }
    if reader.dialect == Dialect::Postgres {
        let key = table.primary_key.clone();
        let columns = table.columns.iter_mut();
        for column in columns.filter(|column| key.contains(&column.name)) {
            column.not_null = true;
        }
    }
    schema.tables.push(table);
    Ok(())
}

/// A column, with the constraints that stand beside it.
fn column(reader: &mut Reader<'_, '_>, table: &mut Table) -> Result<()> {
    let name = reader.name()?;
    let mut column = Column {
        kind: kind(reader)?,
        name: name.clone(),
        not_null: false,
        default: None,
        is_identity: false,
    };
    loop {
        if reader.takes(&["NOT", "NULL"]) {
            column.not_null = true;
        } else if reader.takes(&["NULL"]) {
            column.not_null = false;
        } else if reader.takes(&["PRIMARY", "KEY"]) {
            table.primary_key = vec![name.clone()];
        } else if reader.takes(&["UNIQUE"]) {
            table.uniques.push(Unique {
                name: None,
                columns: vec![name.clone()],
            });
        } else if reader.takes(&["DEFAULT"]) {
            column.default = Some(default(reader)?);
        } else if reader.takes(&["AUTOINCREMENT"]) {
            column.is_identity = true;
        } else if reader.takes(&["GENERATED", "ALWAYS", "AS", "IDENTITY"]) {
            column.is_identity = true;
            column.not_null = true;
        } else if reader.takes(&["COLLATE"]) {
            // Queries that need an order name it themselves.
            reader.next()?;
        } else if reader.takes(&["REFERENCES"]) {
            let key = references(reader, None, vec![name.clone()])?;
            table.foreign_keys.push(key);
        } else {
            break;
        }
    }
    table.columns.push(column);
    Ok(())
}

/// A constraint that stands by itself.
fn constraint(reader: &mut Reader<'_, '_>, table: &mut Table) -> Result<()> {
    let name = match reader.takes(&["CONSTRAINT"]) {
        true => Some(reader.name()?),
        false => None,
    };
    if reader.takes(&["PRIMARY", "KEY"]) {
        table.primary_key = reader.names()?;
    } else if reader.takes(&["UNIQUE"]) {
        let columns = reader.names()?;
        table.uniques.push(Unique { name, columns });
    } else if reader.takes(&["FOREIGN", "KEY"]) {
        let columns = reader.names()?;
        if !reader.takes(&["REFERENCES"]) {
            return Err("REFERENCES is missing".into());
        }
        table.foreign_keys.push(references(reader, name, columns)?);
    } else {
        return Err("the constraint is not known".into());
    }
    Ok(())
}

fn references(
    reader: &mut Reader<'_, '_>,
    name: Option<String>,
    columns: Vec<String>,
) -> Result<ForeignKey> {
    let mut key = ForeignKey {
        name,
        columns,
        table: reader.name()?,
        to: reader.names()?,
        on_delete: "NO ACTION".into(),
        on_update: "NO ACTION".into(),
    };
    loop {
        if reader.takes(&["ON", "DELETE"]) {
            key.on_delete = action(reader)?;
        } else if reader.takes(&["ON", "UPDATE"]) {
            key.on_update = action(reader)?;
        } else {
            return Ok(key);
        }
    }
}

fn action(reader: &mut Reader<'_, '_>) -> Result<String> {
    let actions: [&[&str]; 5] = [
        &["CASCADE"],
        &["RESTRICT"],
        &["NO", "ACTION"],
        &["SET", "NULL"],
        &["SET", "DEFAULT"],
    ];
    let action = actions.into_iter().find(|words| reader.takes(words));
    action
        .map(|words| words.join(" "))
        .ok_or_else(|| "the action is not known".into())
}

/// A type, as the database names it.
fn kind(reader: &mut Reader<'_, '_>) -> Result<String> {
    let mut words = vec![reader.word()?.to_lowercase()];
    while let Some((Token::Word(word), _)) = reader.tokens.first()
        && OF_TYPES.contains(&word.to_uppercase().as_str())
    {
        words.push(reader.word()?.to_lowercase());
    }
    let modifier = match reader.tokens.first() {
        Some((Token::Sign('('), _)) => reader.in_parentheses()?.replace(' ', ""),
        _ => String::new(),
    };
    let word = words.join(" ");
    if reader.dialect == Dialect::Sqlite {
        return Ok(format!("{word}{modifier}"));
    }
    let (word, end) = match word.as_str() {
        "timestamp" => ("timestamp", " without time zone"),
        "timestamptz" => ("timestamp", " with time zone"),
        "decimal" => ("numeric", ""),
        "int" => ("integer", ""),
        "varchar" => ("character varying", ""),
        other => (other, ""),
    };
    Ok(format!("{word}{modifier}{end}"))
}

/// A default: one word or text, or an expression in parentheses.
fn default(reader: &mut Reader<'_, '_>) -> Result<String> {
    if let Some((Token::Sign('('), _)) = reader.tokens.first() {
        let expression = reader.in_parentheses()?;
        return Ok(expression[1..expression.len() - 1].trim().to_owned());
    }
    let sign = if reader.takes_sign('-') { "-" } else { "" };
    match reader.next()? {
        (Token::Word(text) | Token::Text(text), _) => Ok(format!("{sign}{text}")),
        (_, text) => Err(format!("{text} is no default")),
    }
}

fn create_index(reader: &mut Reader<'_, '_>, schema: &mut Schema, is_unique: bool) -> Result<()> {
    reader.takes(&["IF", "NOT", "EXISTS"]);
    let name = reader.name()?;
    if !reader.takes(&["ON"]) {
        return Err("ON is missing".into());
    }
    let table = reader.name()?;
    reader.sign('(')?;
    let mut columns = Vec::new();
    loop {
        let mut column = reader.name()?;
        if reader.takes(&["DESC"]) {
            column.push_str(" DESC");
        } else {
            reader.takes(&["ASC"]);
        }
        columns.push(column);
        if !reader.takes_sign(',') {
            break;
        }
    }
    reader.sign(')')?;
    let predicate = match reader.takes(&["WHERE"]) {
        true => Some(reader.rest()),
        false => None,
    };
    schema.table_mut(&table).indexes.push(Index {
        name,
        columns,
        is_unique,
        predicate,
    });
    Ok(())
}

fn alter(reader: &mut Reader<'_, '_>, schema: &mut Schema) -> Result<()> {
    if !reader.takes(&["TABLE"]) {
        return Err("only tables are altered".into());
    }
    let table = reader.name()?;
    if reader.takes(&["ENABLE", "ALWAYS", "TRIGGER"]) {
        let name = reader.name()?;
        // How it fires is looked at with what it does.
        let is_known = schema.triggers.contains(&(table, name));
        return is_known
            .then_some(())
            .ok_or_else(|| "the trigger is not known".into());
    }
    if !reader.takes(&["ADD", "COLUMN"]) {
        return Err("only columns are added".into());
    }
    reader.takes(&["IF", "NOT", "EXISTS"]);
    column(reader, schema.table_mut(&table))
}

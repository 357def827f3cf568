//! The locks that a schema change takes on PostgreSQL, told from its statements. SQLite has one lock: whoever changes the
//! schema is the only writer until the end of the transaction.
//!
//! <https://www.postgresql.org/docs/15/explicit-locking.html#LOCKING-TABLES>

use std::collections::BTreeSet;

use serde::Serialize;

/// How strong a lock on a table is, the weakest first. Each conflicts with itself, but for [`Mode::Share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Others read and write meanwhile; no vacuum, no other change of the schema.
    ShareUpdateExclusive,
    /// Others read meanwhile, and wait to write.
    Share,
    /// The same, for one at a time.
    ShareRowExclusive,
    /// Others wait, also to read.
    AccessExclusive,
}

/// What a statement does while it has its lock, which says how long it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The table is made in the same transaction: nobody else sees it, and it is empty.
    New,
    /// A change of the catalog alone: an instant, however large the table is.
    Catalog,
    /// It reads the whole table.
    Scan,
    /// It writes the whole table anew.
    Rewrite,
}

/// A lock on a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// The table.
    pub table: String,
    /// How strong.
    pub mode: Mode,
    /// What is done under it.
    pub work: Work,
}

impl Mode {
    /// Its name, as PostgreSQL's documentation has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Who waits behind it.
    #[must_use]
    pub fn blocks(self) -> &'static str {
        match self {
            Self::ShareUpdateExclusive => "nobody who reads or writes waits",
            Self::Share | Self::ShareRowExclusive => "who writes waits",
            Self::AccessExclusive => "who reads or writes waits",
        }
    }
}

impl Work {
    /// For how long, in words.
    #[must_use]
    pub fn lasts(self) -> &'static str {
        match self {
            Self::New => "the table is new: nobody else sees it",
            Self::Catalog => "a change of the catalog alone, however large the table is",
            Self::Scan => "as long as it takes to read the table",
            Self::Rewrite => "as long as it takes to write the table anew",
        }
    }
}

/// The locks that the statements of one transaction take, for each statement in order; none where what the statement does
/// is not known here. `there`: the tables that exist before it.
#[must_use]
pub fn of_transaction(statements: &[&str], there: &BTreeSet<String>) -> Vec<Option<Vec<Lock>>> {
    let mut made = BTreeSet::new();
    let mut all = Vec::with_capacity(statements.len());
    for statement in statements {
        let mut locks = lock(statement);
        for lock in locks.iter_mut().flatten() {
            if lock.work == Work::New && !there.contains(&lock.table) {
                made.insert(lock.table.clone());
            } else if made.contains(&lock.table) {
                lock.work = Work::New;
            }
        }
        // CREATE TABLE IF NOT EXISTS locks nothing where the table is there.
        if let Some(locks) = &mut locks
            && (locks.iter()).any(|lock| lock.work == Work::New && there.contains(&lock.table))
        {
            locks.clear();
        }
        all.push(locks);
    }
    all
}

/// The locks that a statement takes on tables until its transaction ends; none where what it does is not known here.
#[must_use]
pub fn lock(statement: &str) -> Option<Vec<Lock>> {
    let tokens = tokens(statement);
    let words: Vec<_> = tokens.iter().map(Token::word).collect();
    match words.as_slice() {
        ["CREATE", "TABLE", ..] => create_table(&tokens[2..]),
        ["CREATE", "INDEX", ..] => create_index(&tokens[2..]),
        ["CREATE", "UNIQUE", "INDEX", ..] => create_index(&tokens[3..]),
        ["CREATE", "TRIGGER", ..] => {
            let on = words.iter().position(|word| *word == "ON")?;
            let table = name(&tokens[on + 1..])?;
            Some(vec![held(table, Mode::ShareRowExclusive, Work::Catalog)])
        }
        ["CREATE", "FUNCTION", ..] | ["CREATE", "OR", "REPLACE", "FUNCTION", ..] => {
            Some(Vec::new())
        }
        ["ALTER", "TABLE", ..] => alter_table(&tokens[2..]),
        ["DROP", "TABLE", ..] => {
            let table = name(without(&tokens[2..], &["IF", "EXISTS"]))?;
            Some(vec![held(table, Mode::AccessExclusive, Work::Catalog)])
        }
        ["DROP", "FUNCTION", ..] => Some(Vec::new()),
        _ => None,
    }
}

/// The new table, and each that a foreign key of it refers to: that key's triggers are added there.
fn create_table(tokens: &[Token]) -> Option<Vec<Lock>> {
    let tokens = without(tokens, &["IF", "NOT", "EXISTS"]);
    let table = name(tokens)?;
    let mut locks = vec![held(table.clone(), Mode::AccessExclusive, Work::New)];
    for parent in parents(tokens)? {
        if parent != table && locks.iter().all(|lock| lock.table != parent) {
            locks.push(held(parent, Mode::ShareRowExclusive, Work::Catalog));
        }
    }
    Some(locks)
}

/// The tables that REFERENCES names.
fn parents(tokens: &[Token]) -> Option<Vec<String>> {
    let refers = |(place, token): (usize, &Token)| (token.word() == "REFERENCES").then_some(place);
    let places = tokens.iter().enumerate().filter_map(refers);
    places.map(|place| name(&tokens[place + 1..])).collect()
}

fn create_index(tokens: &[Token]) -> Option<Vec<Lock>> {
    let on = tokens.iter().position(|token| token.word() == "ON")?;
    let table = name(without(&tokens[on + 1..], &["ONLY"]))?;
    let mode = match tokens[0].word() {
        "CONCURRENTLY" => Mode::ShareUpdateExclusive,
        _ => Mode::Share,
    };
    Some(vec![held(table, mode, Work::Scan)])
}

/// Of several actions the strongest lock and the longest work count.
fn alter_table(tokens: &[Token]) -> Option<Vec<Lock>> {
    let tokens = without(without(tokens, &["IF", "EXISTS"]), &["ONLY"]);
    let table = name(tokens)?;
    let actions = actions(&tokens[name_length(tokens)..]);
    let mut locks = vec![held(table, Mode::ShareUpdateExclusive, Work::Catalog)];
    for action in actions {
        let (mode, work) = action_lock(action);
        locks[0].mode = locks[0].mode.max(mode);
        locks[0].work = locks[0].work.max(work);
        for parent in parents(action)? {
            locks.push(held(parent, Mode::ShareRowExclusive, Work::Catalog));
        }
    }
    Some(locks)
}

fn action_lock(action: &[Token]) -> (Mode, Work) {
    let words: Vec<_> = action.iter().map(Token::word).collect();
    let has = |word: &str| words.contains(&word);
    match words.as_slice() {
        ["ENABLE" | "DISABLE", .., "TRIGGER", _] => (Mode::ShareRowExclusive, Work::Catalog),
        ["VALIDATE", ..] => (Mode::ShareUpdateExclusive, Work::Scan),
        ["ADD", "CONSTRAINT", ..] | ["ADD", "FOREIGN" | "CHECK" | "UNIQUE" | "PRIMARY", ..] => {
            let mode = match has("FOREIGN") {
                true => Mode::ShareRowExclusive,
                false => Mode::AccessExclusive,
            };
            let is_unchecked = words.ends_with(&["NOT", "VALID"]);
            (
                mode,
                if is_unchecked {
                    Work::Catalog
                } else {
                    Work::Scan
                },
            )
        }
        ["ADD", ..] => (Mode::AccessExclusive, added_column(&words)),
        ["ALTER", ..] if has("TYPE") => (Mode::AccessExclusive, Work::Rewrite),
        ["ALTER", .., "SET", "NOT", "NULL"] => (Mode::AccessExclusive, Work::Scan),
        _ => (Mode::AccessExclusive, Work::Catalog),
    }
}

/// A default that is no plain value may have to be computed for each row that is there.
fn added_column(words: &[&str]) -> Work {
    let has = |word: &str| words.contains(&word);
    let default = words.iter().position(|word| *word == "DEFAULT");
    let is_computed = default.is_some_and(|place| words[place..].contains(&"("));
    if is_computed || has("STORED") || words.iter().any(|word| word.ends_with("SERIAL")) {
        Work::Rewrite
    } else if has("CHECK") || has("UNIQUE") || has("PRIMARY") {
        Work::Scan
    } else {
        Work::Catalog
    }
}

fn held(table: String, mode: Mode, work: Work) -> Lock {
    Lock { table, mode, work }
}

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A keyword or a name without quotes, in capitals, or a single sign.
    Word(String),
    /// A name in quotes.
    Quoted(String),
    /// A text: nothing of it is looked at.
    Text,
}

impl Token {
    fn word(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Quoted(_) | Self::Text => "",
        }
    }
}

fn tokens(statement: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = statement.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' => quoted(rest, '"').map_or((Token::Text, rest.len()), |(name, length)| {
                (Token::Quoted(name), length)
            }),
            '\'' => {
                let length = quoted(rest, '\'').map_or(rest.len(), |(_, length)| length);
                (Token::Text, length)
            }
            '$' => (Token::Text, dollars(rest)),
            _ if first.is_alphanumeric() || first == '_' => {
                let is_part = |sign: char| sign.is_alphanumeric() || "_$".contains(sign);
                let end = rest.find(|sign| !is_part(sign)).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_uppercase()), end)
            }
            _ => (Token::Word(first.to_string()), first.len_utf8()),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// What stands in quotes at the beginning, where a doubled one stands for itself, and how long it is with them.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inside = String::new();
    let mut signs = text.char_indices().skip(1).peekable();
    while let Some((place, sign)) = signs.next() {
        if sign != quote {
            inside.push(sign);
        } else if signs.next_if(|(_, next)| *next == quote).is_some() {
            inside.push(quote);
        } else {
            return Some((inside, place + sign.len_utf8()));
        }
    }
    None
}

/// How long a text between dollar signs is, such as a function's body.
fn dollars(text: &str) -> usize {
    let Some(tag) = text[1..].find('$').map(|end| &text[..end + 2]) else {
        return text.len();
    };
    let end = text[tag.len()..].find(tag);
    end.map_or(text.len(), |end| end + 2 * tag.len())
}

/// The tokens without these words ahead of them.
fn without<'a>(tokens: &'a [Token], words: &[&str]) -> &'a [Token] {
    let is_ahead = tokens.len() >= words.len()
        && (tokens.iter().zip(words)).all(|(token, word)| token.word() == *word);
    &tokens[if is_ahead { words.len() } else { 0 }..]
}

/// The name of the table that stands ahead, without its schema.
fn name(tokens: &[Token]) -> Option<String> {
    match &tokens.get(name_length(tokens).checked_sub(1)?)? {
        Token::Word(word) => Some(word.to_lowercase()),
        Token::Quoted(name) => Some(name.clone()),
        Token::Text => None,
    }
}

/// How many tokens the name that stands ahead takes.
fn name_length(tokens: &[Token]) -> usize {
    match tokens {
        [_, dot, _, ..] if dot.word() == "." => 3,
        [_, ..] => 1,
        [] => 0,
    }
}

/// The actions of an ALTER TABLE, between commas that stand in no brackets.
fn actions(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_i32;
    let split = tokens.split(|token| {
        match token.word() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        depth == 0 && token.word() == ","
    });
    split.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Mode, Work, lock, of_transaction};

    fn told(statement: &str) -> Option<Vec<(String, Mode, Work)>> {
        let locks = lock(statement)?.into_iter();
        Some(
            locks
                .map(|lock| (lock.table, lock.mode, lock.work))
                .collect(),
        )
    }

    #[test]
    fn a_lock_follows_from_the_kind_of_statement() {
        use Mode::{AccessExclusive, Share, ShareRowExclusive, ShareUpdateExclusive};
        use Work::{Catalog, New, Rewrite, Scan};
        for (statement, locks) in [
            (
                "CREATE TABLE \"A\" (\"id\" TEXT)",
                vec![("A", AccessExclusive, New)],
            ),
            (
                "create table if not exists a.b (p text references \"P\" (id), q text references \"P\"(id))",
                vec![
                    ("b", AccessExclusive, New),
                    ("P", ShareRowExclusive, Catalog),
                ],
            ),
            (
                "CREATE UNIQUE INDEX i ON \"A\" (x)",
                vec![("A", Share, Scan)],
            ),
            (
                "CREATE INDEX CONCURRENTLY i ON A (x)",
                vec![("a", ShareUpdateExclusive, Scan)],
            ),
            (
                "ALTER TABLE \"A\" ADD COLUMN IF NOT EXISTS \"x\" TEXT",
                vec![("A", AccessExclusive, Catalog)],
            ),
            (
                "ALTER TABLE ONLY s.\"A\" ADD x NUMERIC(3, 2) DEFAULT 0, ALTER y SET NOT NULL",
                vec![("A", AccessExclusive, Scan)],
            ),
            (
                "ALTER TABLE \"A\" ADD COLUMN x UUID DEFAULT gen_random_uuid()",
                vec![("A", AccessExclusive, Rewrite)],
            ),
            (
                "ALTER TABLE a ALTER COLUMN x TYPE BIGINT",
                vec![("a", AccessExclusive, Rewrite)],
            ),
            (
                "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES \"P\"(id) NOT VALID",
                vec![
                    ("a", ShareRowExclusive, Catalog),
                    ("P", ShareRowExclusive, Catalog),
                ],
            ),
            (
                "ALTER TABLE a VALIDATE CONSTRAINT f",
                vec![("a", ShareUpdateExclusive, Scan)],
            ),
            (
                "ALTER TABLE a ADD CHECK (x > 0)",
                vec![("a", AccessExclusive, Scan)],
            ),
            (
                "ALTER TABLE \"a\" ENABLE ALWAYS TRIGGER \"t\"",
                vec![("a", ShareRowExclusive, Catalog)],
            ),
            (
                "CREATE TRIGGER t BEFORE UPDATE ON \"a\" FOR EACH ROW EXECUTE FUNCTION f()",
                vec![("a", ShareRowExclusive, Catalog)],
            ),
            (
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ON \"a\" ' END $$",
                vec![],
            ),
            (
                "DROP TABLE IF EXISTS \"A\"",
                vec![("A", AccessExclusive, Catalog)],
            ),
        ] {
            let wanted = locks.into_iter();
            let wanted = wanted.map(|(table, mode, work)| (table.to_owned(), mode, work));
            assert_eq!(told(statement), Some(wanted.collect()), "{statement}");
        }
        for unknown in [
            "",
            "VACUUM a",
            "CREATE TABLE",
            "CREATE INDEX i",
            "ALTER TABLE",
            "'",
        ] {
            assert_eq!(told(unknown), None, "{unknown}");
        }
    }

    /// All that is applied is known, and nothing of it reads or rewrites a table that was there.
    #[test]
    fn every_schema_change_is_brief() {
        let changes = migration::sql();
        let statements: Vec<_> = changes
            .iter()
            .flat_map(|change| change.statements(false))
            .collect();
        let there = BTreeSet::from(["Campaign".to_owned()]);
        let locks = of_transaction(&statements, &there);
        assert_eq!(locks.len(), statements.len());
        for (statement, locks) in statements.iter().zip(&locks) {
            let locks = locks.as_ref().expect("a known statement");
            let is_brief = |work: Work| matches!(work, Work::New | Work::Catalog);
            assert!(locks.iter().all(|lock| is_brief(lock.work)), "{statement}");
        }
        // Where a table is there already, an index of it reads it.
        let there = BTreeSet::from(["A".to_owned()]);
        let again = [
            "CREATE TABLE IF NOT EXISTS \"A\" (x INT)",
            "CREATE INDEX i ON \"A\" (x)",
        ];
        let locks = of_transaction(&again, &there);
        assert_eq!(locks[0].as_deref(), Some([].as_slice()));
        assert_eq!(locks[1].as_ref().expect("known")[0].work, Work::Scan);
    }
}

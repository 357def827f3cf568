//! `AgentFeedback`: the window's feedback, one to one.

use super::sources::{Feedback, Sources};
use super::{Bad, Question, is_sound};
use crate::compare::Row;
use crate::source::Value;

pub(super) fn expect(sources: &Sources, question: &Question) -> (Vec<Row>, Bad) {
    let (mut rows, mut bad) = (Vec::new(), Bad::default());
    for entry in sources
        .feedback
        .iter()
        .filter(|entry| question.holds(entry.created))
    {
        if entry
            .rating
            .is_some_and(|rating| !(1..=5).contains(&rating))
        {
            bad.certain
                .push(format!("{}: rated {:?}", entry.id, entry.rating));
        } else if !texts(entry)
            .into_iter()
            .flatten()
            .all(|text| is_sound(text))
        {
            bad.certain
                .push(format!("{}: a text is too long or holds NUL", entry.id));
        } else {
            rows.push(row(entry));
        }
    }
    (rows, bad)
}

fn texts(entry: &Feedback) -> [Option<&String>; 6] {
    [
        Some(&entry.agent_type),
        Some(&entry.task),
        Some(&entry.source),
        entry.comment.as_ref(),
        entry.action.as_ref(),
        Some(&entry.author),
    ]
}

fn row(entry: &Feedback) -> Row {
    let maybe = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    vec![
        Value::Text(entry.agent_type.clone()),
        Value::Text(entry.task.clone()),
        Value::Text(entry.source.clone()),
        entry.rating.map_or(Value::Null, Value::Int),
        maybe(&entry.comment),
        maybe(&entry.action),
        Value::Moment(entry.created),
        Value::Text(entry.author.clone()),
    ]
}

//! Users' feedback, with ratings on, beside and off the scale.

use super::Maker;
use crate::source::{Table, Value};

impl Maker {
    /// The feedback entries.
    pub(super) fn make_feedback(&mut self) -> Table {
        let rows = (0..self.profile.feedback).map(|_| self.entry()).collect();
        Table {
            name: "UserFeedback",
            columns: &[
                "id",
                "agentType",
                "taskId",
                "source",
                "rating",
                "comment",
                "actionTaken",
                "createdAt",
                "createdBy",
            ],
            rows,
        }
    }

    fn entry(&mut self) -> Vec<Value> {
        let (id, task) = (self.id(), self.id());
        let created = self.created();
        let bad = self.is_bad();
        let (nul, large) = (self.takes_nul(), self.profile.large);
        let mut comment = if self.random.chance(0.3) {
            Value::Null
        } else {
            Value::Text(self.text())
        };
        let action = if self.random.chance(0.5) {
            Value::Null
        } else {
            Value::Text(self.text())
        };
        let author = self.text();
        let random = &mut self.random;
        let mut rating = match random.index(6) {
            0 => Value::Null,
            number => Value::Int(i64::try_from(number).unwrap_or(1)),
        };
        if bad {
            match random.index(4) {
                0 if nul => comment = Value::Text("cut \0 here".to_owned()),
                1 if large => comment = Value::Text("c".repeat(1_300_000)),
                _ => rating = Value::Int(random.pick(&[0, 6, -1, 2_147_483_647])),
            }
        }
        vec![
            Value::Text(id),
            Value::Text(
                random
                    .pick(&["Strategy", "Copy", "Visual", "Video", "Видео"])
                    .to_owned(),
            ),
            Value::Text(task),
            Value::Text(random.pick(&["human", "system", "automated"]).to_owned()),
            rating,
            comment,
            action,
            Value::Moment(created),
            Value::Text(author),
        ]
    }
}

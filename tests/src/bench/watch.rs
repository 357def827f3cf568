//! Looking at the server again and again while something runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::database::Database;

/// A query that is repeated until it is told to stop.
#[derive(Debug)]
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Result<Looks>>,
}

/// What a watch saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    /// How often it looked.
    pub(crate) times: u32,
    /// All rows of all looks: a name and a number.
    pub(crate) rows: Vec<(String, f64)>,
}

impl Looks {
    /// The greatest number of any row; 0 of none.
    pub(crate) fn greatest(&self) -> f64 {
        self.rows
            .iter()
            .fold(0.0, |most, (_, number)| number.max(most))
    }

    /// For each name the mean of its number over all looks, the greatest first.
    pub(crate) fn means(&self) -> Vec<(String, f64)> {
        let mut sums = std::collections::BTreeMap::<&str, f64>::new();
        for (name, number) in &self.rows {
            *sums.entry(name).or_default() += number;
        }
        let times = f64::from(self.times.max(1));
        let means = sums.iter();
        let mut means: Vec<_> = means
            .map(|(name, sum)| ((*name).to_owned(), sum / times))
            .collect();
        means.sort_by(|one, other| other.1.total_cmp(&one.1));
        means
    }
}

impl Watch {
    /// Begins; the query gives a text and a double.
    pub(crate) async fn begin(at: &Database, sql: String, every: Duration) -> Result<Self> {
        let session = at.another().await?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            let mut looks = Looks::default();
            while !told.load(Ordering::Relaxed) {
                for row in session.query(&sql).await? {
                    let seen = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                    looks.rows.push(seen);
                }
                looks.times += 1;
                tokio::time::sleep(every).await;
            }
            session.close().await?;
            Ok(looks)
        });
        Ok(Self { is_over, task })
    }

    /// Ends, and tells what it saw.
    pub(crate) async fn end(self) -> Result<Looks> {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

#[cfg(test)]
mod tests {
    use super::Looks;

    #[test]
    fn means_are_over_all_looks() {
        let looks = Looks {
            times: 4,
            rows: vec![("a".into(), 1.0), ("b".into(), 6.0), ("a".into(), 1.0)],
        };
        assert_eq!(looks.means(), [("b".into(), 1.5), ("a".into(), 0.5)]);
        assert!((looks.greatest() - 6.0).abs() < 1e-9);
    }
}

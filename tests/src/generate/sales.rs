//! Deals of all kinds and stages, and snapshots that replace computed values or stand beside them.

use super::Maker;
use crate::database::Backend;
use crate::moment::{Moment, civil, day_of};
use crate::source::{Table, Value};

const KINDS: [&str; 6] = ["new", "new", "expansion", "churn", "churn", "renewal"];
const STAGES: [&str; 8] = [
    "ClosedWon",
    "ClosedWon",
    "ClosedWon",
    "ClosedLost",
    "MQL",
    "Demo",
    "Commit",
    "closedwon",
];
const METRICS: [&str; 6] = [
    "arr_run_rate",
    "pipeline_velocity",
    "win_rate",
    "content_ctr",
    "nps",
    "ARR_RUN_RATE",
];
const PERIODS: [&str; 7] = ["7d", "14d", "30d", "qtd", "ytd", "90d", "monthly"];

impl Maker {
    /// Deals and snapshots.
    pub(super) fn make_sales(&mut self) -> [Table; 2] {
        let mut deals: Vec<Vec<Value>> = (0..self.profile.deals).map(|_| self.deal()).collect();
        deals.extend(self.overflowing_deals());
        let mut snapshots = Vec::new();
        for number in 0..self.profile.snapshots {
            let earlier = if number > 0 && self.random.chance(0.15) {
                snapshots.last().cloned()
            } else {
                None
            };
            let row = self.snapshot(number, earlier);
            snapshots.push(row);
        }
        [
            Table {
                name: "Deal",
                columns: &[
                    "id", "tenantId", "kind", "stage", "acv", "openedAt", "closedAt",
                ],
                rows: deals,
            },
            Table {
                name: "KpiSnapshot",
                columns: &[
                    "id",
                    "tenantId",
                    "metricName",
                    "metricValue",
                    "period",
                    "department",
                    "metadata",
                    "capturedAt",
                ],
                rows: snapshots,
            },
        ]
    }

    fn deal(&mut self) -> Vec<Value> {
        let closed = self.happened();
        let bad = self.is_bad();
        let random = &mut self.random;
        let mut value = match random.index(10) {
            0 => 0.0,
            1 => 0.01,
            2 => -1200.0,
            3 => 1.0e12,
            4 => 0.1 + 0.2,
            _ => f64::from(u32::try_from(random.between(1, 25_000_000)).unwrap_or(1)) / 100.0,
        };
        if bad {
            value = match self.profile.backend {
                Backend::Postgres => random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
                Backend::Sqlite => random.pick(&[f64::INFINITY, f64::NEG_INFINITY]),
            };
        }
        let (kind, stage) = (random.pick(&KINDS), random.pick(&STAGES));
        let closed_at = if random.chance(0.15) {
            Value::Null
        } else {
            Value::Moment(closed)
        };
        // A tenant without any campaign has its own indicators too.
        let tenant = if random.chance(0.1) {
            "deals only".to_owned()
        } else {
            self.tenant()
        };
        self.deal_row(tenant, kind, stage, value, closed_at)
    }

    /// Deals that no sum can hold. They are made only early enough in a year for every run rate that
    /// contains one to be infinite, in whatever order it is computed.
    fn overflowing_deals(&mut self) -> Vec<Vec<Value>> {
        let as_of = self.profile.as_of;
        let (year, _, _) = civil(as_of.day());
        if self.profile.bad < 0.05
            || as_of.day() - day_of(year, 1, 1) > 250
            || self.random.chance(0.5)
        {
            return Vec::new();
        }
        let closed = Value::Moment(Moment::start_of(as_of.day() - 3));
        vec![self.deal_row("overflow".to_owned(), "new", "ClosedWon", 1.79e308, closed)]
    }

    fn deal_row(
        &mut self,
        tenant: String,
        kind: &str,
        stage: &str,
        value: f64,
        closed: Value,
    ) -> Vec<Value> {
        vec![
            Value::Text(self.id()),
            Value::Text(tenant),
            Value::Text(kind.to_owned()),
            Value::Text(stage.to_owned()),
            Value::Double(value),
            Value::Moment(self.profile.since()),
            closed,
        ]
    }

    /// A snapshot; one in seven is another for the same place as the one before it, often captured at once with it.
    fn snapshot(&mut self, number: usize, earlier: Option<Vec<Value>>) -> Vec<Value> {
        let captured = self.happened();
        // A tenant that no other table knows has its places too.
        let tenant = match self.random.index(12) {
            0 => "snapshots only".to_owned(),
            _ => self.tenant(),
        };
        let id = Value::Text(self.id());
        let (bad, nul) = (self.is_bad(), self.takes_nul());
        let large = self.profile.large && number < 6;
        let random = &mut self.random;
        let department = match random.index(6) {
            0 | 1 => Value::Null,
            2 | 3 => Value::Text("executive".to_owned()),
            4 => Value::Text("sales".to_owned()),
            _ => Value::Text("Executive".to_owned()),
        };
        let metadata = match random.index(5) {
            0 => Value::Null,
            1 => Value::Json("null".to_owned()),
            2 => Value::Json("{\"source\": \"report\", \"rows\": 9007199254740993}".to_owned()),
            3 => Value::Json("[1.50, {\"é\": null}]".to_owned()),
            _ => Value::Json("{}".to_owned()),
        };
        let value = random.pick(&[0.0, -3.5, 1.0e15, 0.123_456_789_012_345_68, 42.0, 1.0e-6]);
        let mut row = vec![
            id.clone(),
            Value::Text(tenant),
            Value::Text(random.pick(&METRICS).to_owned()),
            Value::Double(value),
            Value::Text(random.pick(&PERIODS).to_owned()),
            department,
            metadata,
            Value::Moment(captured),
        ];
        if let Some(earlier) = earlier {
            let mut again = earlier;
            again[0] = id;
            again[3] = row[3].clone();
            again[6] = row[6].clone();
            if let (true, Value::Moment(at)) = (random.chance(0.5), &again[7]) {
                let start = Moment::start_of(at.day());
                again[7] = Value::Moment(Moment(random.between(start.0, at.0)));
            }
            row = again;
        }
        if bad && nul {
            match random.index(5) {
                0 => row[2] = Value::Text("n\0ps".to_owned()),
                1 => row[4] = Value::Text("7d\0".to_owned()),
                2 => row[5] = Value::Text("\0".to_owned()),
                3 => row[6] = Value::Json("{\"a\": \"\\u0000\"}".to_owned()),
                _ => row[6] = Value::Json("{\"a\": ".to_owned()),
            }
        } else if bad && large {
            row[[2, 4, 5][random.index(3)]] = Value::Text("m".repeat(1_300_000));
        }
        row
    }
}

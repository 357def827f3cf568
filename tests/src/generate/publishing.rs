//! Assets and publish jobs, whose counts are missing, zero, enormous or negative.

use super::Maker;
use crate::source::{Table, Value};

impl Maker {
    /// Assets and their publish jobs.
    pub(super) fn make_publishing(&mut self) -> [Table; 2] {
        let (mut assets, mut jobs) = (Vec::new(), Vec::new());
        for campaign in self.campaigns.clone() {
            let enormous = self.random.chance(0.03);
            for _ in 0..self.random.index(4) {
                let asset = self.id();
                assets.push(vec![
                    Value::Text(asset.clone()),
                    Value::Text(campaign.clone()),
                    Value::Text("image".to_owned()),
                    Value::Moment(self.created()),
                ]);
                for _ in 0..self.random.index(4) {
                    jobs.push(self.publish_job(&asset, enormous));
                }
            }
        }
        [
            Table {
                name: "Asset",
                columns: &["id", "campaignId", "type", "createdAt"],
                rows: assets,
            },
            Table {
                name: "PublishJob",
                columns: &[
                    "id",
                    "assetId",
                    "platform",
                    "status",
                    "impressions",
                    "clicks",
                    "conversions",
                    "postedAt",
                    "createdAt",
                ],
                rows: jobs,
            },
        ]
    }

    fn publish_job(&mut self, asset: &str, enormous: bool) -> Vec<Value> {
        let id = self.id();
        let bad = self.is_bad();
        let happened = self.happened();
        let posted = self.random.chance(0.7);
        let random = &mut self.random;
        let mut counts = match random.index(8) {
            0 => [Value::Null, Value::Null, Value::Null],
            1 => [Value::Int(0), Value::Int(0), Value::Int(0)],
            2 => [Value::Int(0), Value::Int(random.between(1, 9)), Value::Null],
            3 => [
                Value::Int(random.between(1, 900)),
                Value::Null,
                Value::Int(random.between(0, 5)),
            ],
            _ => [
                Value::Int(random.between(1, 100_000)),
                Value::Int(random.between(0, 4000)),
                Value::Int(random.between(0, 200)),
            ],
        };
        if enormous {
            counts[0] = Value::Int(2_147_483_647);
        }
        if bad {
            counts[random.index(3)] = Value::Int(random.pick(&[-1, -100_000, -2_147_483_648]));
        }
        let [impressions, clicks, conversions] = counts;
        let (posted_at, created) = if posted {
            (Value::Moment(happened), self.profile.since())
        } else {
            (Value::Null, happened)
        };
        vec![
            Value::Text(id),
            Value::Text(asset.to_owned()),
            Value::Text(self.text()),
            Value::Text(self.random.pick(&["posted", "queued", "failed"]).to_owned()),
            impressions,
            clicks,
            conversions,
            posted_at,
            Value::Moment(created),
        ]
    }
}

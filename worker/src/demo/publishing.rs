//! Assets of a campaign, and the jobs that published them.

use sea_orm::DbErr;

use crate::backend::Transaction;

use super::Size;
use super::campaigns::{Campaign, DAY, Flaw};
use super::insert::{Cell, Writer};
use super::random::{Random, Stream};
use super::tables::{ASSET, PUBLISH_JOB};
use super::words::PLATFORMS;

/// Hands over a campaign's assets.
pub(super) async fn write_assets(
    tx: &Transaction,
    to: &mut Writer,
    size: &Size,
    campaign: &Campaign,
) -> Result<(), DbErr> {
    for (at, id) in (0..).zip(&campaign.assets) {
        let mut random = Random::new(size.seed, Stream::Asset, &[campaign.index, at]);
        let kind = *random.pick(&["post", "email", "image", "video", "landing_page"]);
        let created = campaign.created + random.below(DAY);
        to.push(
            tx,
            ASSET,
            vec![
                Cell::text(id),
                Cell::text(&campaign.id),
                Cell::text(kind),
                Cell::time(created),
            ],
        )
        .await?;
    }
    Ok(())
}

/// Hands over `jobs` publish jobs, each for one of the campaign's assets.
pub(super) async fn write_jobs(
    tx: &Transaction,
    to: &mut Writer,
    size: &Size,
    campaign: &Campaign,
    jobs: u64,
) -> Result<(), DbErr> {
    for number in 0..jobs {
        let mut random = Random::new(size.seed, Stream::PublishJob, &[campaign.index, number]);
        let (id, asset, platform) = (
            random.id(),
            random.pick(&campaign.assets),
            *random.pick(&PLATFORMS),
        );
        let created = campaign.created + DAY + random.below(campaign.life - DAY);
        let faulty = campaign.flaw == Some(Flaw::NegativeClicks) && number == 0;
        let posted = random.percent(88) || faulty;
        let status = if posted {
            "posted"
        } else {
            *random.pick(&["queued", "failed", "scheduled"])
        };
        let impressions = random.int(150, 40_000);
        let clicks = impressions / random.int(18, 120);
        let conversions = clicks / random.int(12, 90);
        // Some channels report no conversions, some jobs no time of posting.
        let counts = [
            posted.then_some(impressions),
            posted.then_some(if faulty { -clicks } else { clicks }),
            (posted && random.percent(92)).then_some(conversions),
        ];
        let posted_at = (posted && random.percent(94))
            .then(|| (created + random.below(DAY)).min(size.as_of.timestamp_millis()));
        let mut row = vec![
            Cell::text(id),
            Cell::text(asset),
            Cell::text(platform),
            Cell::text(status),
        ];
        row.extend(counts.map(Cell::Int));
        row.extend([Cell::Time(posted_at), Cell::time(created)]);
        to.push(tx, PUBLISH_JOB, row).await?;
    }
    Ok(())
}

//! Room: on the disk for rows and log, and whoever keeps the log from being removed.

use std::path::Path;

use super::{Finding, Machine};
use crate::backend::Database;
use crate::backend::health::{Archiver, Slot, WalRoom, here};
use crate::error::{Doing, Result};
use crate::forecast::Need;
use crate::size::show;

/// What should be free beside what is needed: a disk that is full to the last byte stops the application as well.
const SPARE: f64 = 1.25;

/// A replica that is further behind is worth a word.
const BEHIND: i64 = 64 << 20;

pub(super) async fn look(
    database: &Database,
    need: Option<Need>,
    machine: Machine,
) -> Result<Vec<Finding>> {
    if let Some(file) = database.file().await? {
        let need = need.map(|need| need.rows);
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new("."));
        return Ok(vec![disk(
            need,
            (machine.free)(folder),
            &folder.display().to_string(),
        )]);
    }
    let mut findings = Vec::new();
    let all = need.map(|need| need.rows + need.wal);
    let place = match database.storage().await? {
        Some(storage) => here(database, storage).await?,
        None => None,
    };
    let free = place
        .as_deref()
        .and_then(|place| (machine.free)(Path::new(place)));
    let place = place.unwrap_or_else(|| "the server's own disk".into());
    findings.push(disk(all, free, &place));
    let slots = database.slots().await?;
    if let Some(room) = database.wal_room().await? {
        findings.push(log(&room, need.map(|need| need.wal)));
        findings.push(of_slots(&slots, &room));
    }
    if let Some(archiver) = database.archiver().await? {
        findings.push(archiving(&archiver));
    }
    findings.push(replicas(database).await?);
    Ok(findings)
}

/// `free`: none where nobody can tell.
fn disk(need: Option<i64>, free: Option<u64>, place: &str) -> Finding {
    const ID: &str = "disk";
    let Some(need) = need else {
        return Finding::warning(
            ID,
            "what a run needs could not be estimated",
            "mend what stands in the way of the estimate first",
        );
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "an estimate, far below 2^53"
    )]
    let should = (need as f64 * SPARE) as i64;
    let free = free.map(|free| i64::try_from(free).unwrap_or(i64::MAX));
    match free {
        None => Finding::warning(
            ID,
            format!(
                "the run needs about {} for rows and log; PostgreSQL does not tell how much of its disk is free",
                show(need)
            ),
            format!(
                "see that at least {} are free where the server keeps its data and its log (on it: `df -h`, or your \
                 provider's console)",
                show(should)
            ),
        ),
        Some(free) if free < should => Finding::stop(
            ID,
            format!(
                "{} free at {place}, the run needs about {}",
                show(free),
                show(need)
            ),
            format!("make room: at least {} should be free", show(should)),
        ),
        Some(free) => Finding::ok(
            ID,
            format!(
                "{} free at {place}, the run needs about {}",
                show(free),
                show(need)
            ),
        ),
    }
}

fn log(room: &WalRoom, need: Option<i64>) -> Finding {
    let found = format!(
        "max_wal_size {}, wal_keep_size {}, max_slot_wal_keep_size {}{}",
        show(room.max_wal_size),
        show(room.wal_keep_size),
        match room.max_slot_wal_keep_size {
            ..0 => "unlimited".to_owned(),
            bytes => show(bytes),
        },
        need.map_or(String::new(), |need| format!(
            "; the run writes about {}",
            show(need)
        ))
    );
    match need {
        Some(need) if need > 4 * room.max_wal_size => Finding::warning(
            "wal",
            found,
            "the run forces checkpoint after checkpoint: raise max_wal_size for it, or expect it to be slower",
        ),
        _ => Finding::ok("wal", found),
    }
}

/// A slot that nobody takes from keeps all log from where it stands until the disk is full.
fn of_slots(slots: &[Slot], room: &WalRoom) -> Finding {
    const ID: &str = "replication-slots";
    let advice = "bring its owner back, or drop it: SELECT pg_drop_replication_slot('<name>')";
    let kept = |slot: &Slot| slot.retained.unwrap_or(0);
    let named = |slot: &Slot| format!("slot {} keeps {}", slot.name, show(kept(slot)));
    let status = |slot: &Slot| slot.status.clone().unwrap_or_default();
    if let Some(lost) = slots.iter().find(|slot| status(slot) == "lost") {
        return Finding::warning(
            ID,
            format!("slot {} has lost what it should keep", lost.name),
            "its owner must begin anew: see whether it is still wanted, then drop it",
        );
    }
    let mut idle: Vec<_> = slots.iter().filter(|slot| !slot.is_active).collect();
    idle.sort_by_key(|slot| -kept(slot));
    let Some(worst) = idle.first() else {
        return Finding::ok(
            ID,
            match slots {
                [] => "there is none".to_owned(),
                slots => {
                    let named: Vec<_> = slots.iter().map(named).collect();
                    format!("{}, all in use", named.join(", "))
                }
            },
        );
    };
    let found = format!("{}, and nobody takes from it", named(worst));
    match kept(worst) > room.max_wal_size {
        true => Finding::stop(ID, found, advice),
        false => Finding::warning(ID, found, advice),
    }
}

fn archiving(archiver: &Archiver) -> Finding {
    match (archiver.is_on, archiver.is_failing) {
        (false, _) => Finding::ok("archiver", "the log is not archived"),
        (true, false) => Finding::ok("archiver", "the last file of the log was archived"),
        (true, true) => Finding::stop(
            "archiver",
            format!(
                "archiving the log fails, {} times so far: it is kept until it succeeds",
                archiver.failed
            ),
            "mend archive_command first; the server's log says why it fails",
        ),
    }
}

async fn replicas(database: &Database) -> Result<Finding> {
    const ID: &str = "replicas";
    let replication = database.replication(&[]).await;
    let replication = replication.doing("looking at how far replicas are behind")?;
    let waits = database.server().await?.map(|server| server.synchronous);
    let waits = waits.filter(|names| !names.is_empty());
    let hidden = replication.hidden;
    Ok(match (replication.slowest, waits) {
        (None, Some(names)) if hidden == 0 => Finding::stop(
            ID,
            format!("commits wait for the standby {names}, and none is connected"),
            "bring it back, or empty synchronous_standby_names",
        ),
        _ if hidden > 0 => Finding::warning(
            ID,
            format!("{hidden} are connected, and the role may not see how far they are behind"),
            "GRANT pg_read_all_stats to the role that runs: it holds while a replica is late (--max-replica-lag)",
        ),
        (None, _) => Finding::ok(ID, "none is connected"),
        (Some((name, replayed)), _) => {
            let behind = (replication.end - replayed).max(0);
            let found = format!("the slowest, {name}, is {} behind", show(behind));
            match behind > BEHIND {
                true => Finding::warning(
                    ID,
                    found,
                    "let it catch up; a run holds while it is late (--max-replica-lag)",
                ),
                false => Finding::ok(ID, found),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Slot, WalRoom, disk, of_slots};
    use crate::preflight::Verdict;

    #[test]
    fn a_disk_should_keep_something_to_spare() {
        for (need, free, verdict) in [
            (Some(1_000), Some(1_250), Verdict::Ok),
            (Some(1_000), Some(1_249), Verdict::Stop),
            (Some(1_000), None, Verdict::Warning),
            (None, Some(1_000), Verdict::Warning),
        ] {
            assert_eq!(
                disk(need, free, "/data").verdict,
                verdict,
                "{need:?} {free:?}"
            );
        }
    }

    #[test]
    fn a_slot_that_nobody_takes_from_is_seen() {
        let room = WalRoom {
            max_wal_size: 100,
            wal_keep_size: 0,
            max_slot_wal_keep_size: -1,
        };
        let slot = |is_active, retained, status: &str| Slot {
            name: "s".into(),
            is_active,
            status: Some(status.into()),
            retained: Some(retained),
        };
        for (slots, verdict) in [
            (vec![], Verdict::Ok),
            (vec![slot(true, 1_000, "extended")], Verdict::Ok),
            (vec![slot(false, 100, "reserved")], Verdict::Warning),
            (
                vec![slot(true, 1, "reserved"), slot(false, 101, "extended")],
                Verdict::Stop,
            ),
            (vec![slot(false, 101, "lost")], Verdict::Warning),
        ] {
            assert_eq!(of_slots(&slots, &room).verdict, verdict, "{slots:?}");
        }
    }
}

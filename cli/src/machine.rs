//! What only this machine can tell: its clock, its disks, this process's rights to a file.

use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{Access, access, statvfs};
use worker::preflight::Machine;

/// This machine. Its clock is compared with the database's, and tells no time anywhere else.
pub(crate) const MACHINE: Machine = Machine {
    now: || {
        let since = UNIX_EPOCH.elapsed().unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    },
    free: |path| free(path),
    may_write: |path| access(path, Access::WRITE_OK).is_ok(),
};

/// What somebody who is not root may still fill.
fn free(path: &Path) -> Option<u64> {
    let disk = statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

//! Temporary folders that never outlive the test process, and the watchdog that sees to it.
//!
//! A destructor does not run when a process is killed, and statics are never dropped. So a small shell holds the
//! reading end of a pipe whose writing end lives in the test process: when that process ends, in whatever way, the
//! read returns, and the shell stops every PostgreSQL server, pooler and Prometheus below the folder and removes the folder.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// SIGQUIT is PostgreSQL's immediate shutdown, and needs no user to be switched to.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
read -r _
for file in "$1"/*/data/postmaster.pid; do
  [ -f "$file" ] || continue
  read -r pid < "$file"
  kill -QUIT "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || kill -KILL "$pid" 2>/dev/null
    sleep 0.05
  done
done
for file in "$1"/*/pooler.pid "$1"/*/prometheus.pid; do
  [ -f "$file" ] || continue
  read -r pid < "$file"
  kill -KILL "$pid" 2>/dev/null
done
rm -rf "$1"
"#;

struct Root {
    path: PathBuf,
    /// Closed by the system when this process ends, which is the watchdog's signal.
    _leash: ChildStdin,
}

static ROOT: OnceLock<Result<Root, String>> = OnceLock::new();
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Makes a new, empty folder that is gone once the test process is.
pub fn folder(label: &str) -> Result<PathBuf> {
    let root = match ROOT.get_or_init(|| make_root().map_err(|error| format!("{error:#}"))) {
        Ok(root) => &root.path,
        Err(error) => anyhow::bail!("{error}"),
    };
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = root.join(format!("{label}-{number}"));
    std::fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
    Ok(path)
}

fn make_root() -> Result<Root> {
    let path = base().join(format!("backstitch-tests-{}", std::process::id()));
    if path.exists() {
        std::fs::remove_dir_all(&path)
            .with_context(|| format!("remove the leftover {}", path.display()))?;
    }
    std::fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
    let mut watchdog = Command::new("sh")
        .args(["-c", WATCHDOG, "backstitch-watchdog"])
        .arg(&path)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the watchdog that cleans up after the tests")?;
    let leash = watchdog.stdin.take().context("hold the watchdog's leash")?;
    Ok(Root {
        path,
        _leash: leash,
    })
}

/// The system's temporary folder, or `/tmp` where another user could not enter the former.
fn base() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let usual = std::env::temp_dir();
    let open_to_all = |path: &Path| {
        path.ancestors().all(|part| {
            std::fs::metadata(part).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
        })
    };
    if usual.is_absolute() && open_to_all(&usual) {
        usual
    } else {
        PathBuf::from("/tmp")
    }
}

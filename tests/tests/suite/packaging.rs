//! What a package has beside the programs: completions, manual pages, files for containers and service managers.

use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::process::{self, Running};
use tests::scenario::Scenario;
use tests::scratch;

const PROGRAMS: [&str; 2] = ["worker", "cli"];

/// Far beyond what anything takes: nothing is timed here.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a program prints, without any database.
async fn printed(program: &str, arguments: &[&str]) -> Result<String> {
    let run = process::program(program, "")?.without_url().args(arguments);
    Ok(run.expect(0).await?.stdout)
}

#[tokio::test]
async fn every_shell_has_completions() -> Result<()> {
    for program in PROGRAMS {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = printed(program, &["completions", shell]).await?;
            for command in commands(program).await? {
                let last = command.last().context("a name")?;
                ensure!(script.contains(last), "{shell} knows no {command:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn bash_completes() -> Result<()> {
    let folder = scratch::folder("completions")?;
    for (program, words, completed) in [
        ("cli", &["jour"][..], "journal"),
        ("cli", &["journal", "veri"], "verify"),
        ("cli", &["rollback", "--dry"], "--dry-run"),
        ("worker", &["ru"], "run"),
        ("worker", &["run", "--log-f"], "--log-format"),
        ("worker", &["run", "--log-format", "js"], "json"),
    ] {
        let script = folder.join(format!("{program}.bash"));
        fs::write(&script, printed(program, &["completions", "bash"]).await?)?;
        let sound = Command::new("bash").arg("-n").arg(&script).status()?;
        ensure!(
            sound.success(),
            "bash does not read the script of {program}"
        );
        let before = words.iter().rev().nth(1).copied().unwrap_or(program);
        let ask = format!(
            "source '{}'; COMP_WORDS=({program} {}); COMP_CWORD={}; _{program} {program} '{}' '{before}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words.len(),
            words.last().context("a word")?,
        );
        let answer = Command::new("bash").args(["--norc", "-c", &ask]).output()?;
        let answer = String::from_utf8(answer.stdout)?;
        ensure!(
            answer.lines().eq([completed]),
            "{program} {words:?} is completed to {answer:?}"
        );
    }
    Ok(())
}

/// All commands of a program, by their words, as its `--help` lists them.
async fn commands(program: &str) -> Result<Vec<Vec<String>>> {
    let mut found = Vec::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(command) = waiting.pop() {
        let arguments: Vec<_> = command
            .iter()
            .map(String::as_str)
            .chain(["--help"])
            .collect();
        let help = printed(program, &arguments).await?;
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            let name = line
                .strip_prefix("  ")
                .filter(|line| !line.starts_with(' '));
            let name = name.and_then(|line| line.split(' ').next());
            if let Some(name) = name.filter(|name| *name != "help") {
                let within = [command.clone(), vec![name.to_owned()]].concat();
                found.push(within.clone());
                waiting.push(within);
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn every_command_has_a_page() -> Result<()> {
    for (program, least) in [("worker", 3), ("cli", 40)] {
        let folder = scratch::folder("man")?.join("man1");
        let to = folder.to_string_lossy().into_owned();
        printed(program, &["man", "--to", &to]).await?;
        let mut expected = BTreeSet::from([format!("{program}.1")]);
        let commands = commands(program).await?;
        ensure!(commands.len() >= least, "{commands:?}");
        for command in &commands {
            let file = format!("{program}-{}.1", command.join("-"));
            let page = fs::read_to_string(folder.join(&file)).context(file.clone())?;
            let page = page.replace("\\-", "-");
            let name = format!("{program}-{}", command.join("-"));
            for part in [".TH ", &name, ".SH SYNOPSIS", ".SH OPTIONS"] {
                ensure!(page.contains(part), "{part} is missing in {file}");
            }
            expected.insert(file);
        }
        let found: Result<BTreeSet<_>, std::io::Error> = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect();
        ensure!(found? == expected, "pages of other commands");
        let own = fs::read_to_string(folder.join(format!("{program}.1")))?;
        ensure!(
            printed(program, &["man"]).await? == own,
            "the page of {program}"
        );
    }
    Ok(())
}

/// A service manager that listens.
struct Manager {
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn listen(address: &SocketAddr) -> Result<Self> {
        let socket = UnixDatagram::bind_addr(address)?;
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let words = heard.clone();
        std::thread::spawn(move || {
            let mut text = [0; 4096];
            while let Ok(length) = socket.recv(&mut text) {
                let text = String::from_utf8_lossy(&text[..length]).into_owned();
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                words.extend(text.lines().map(str::to_owned));
            }
        });
        Ok(Self { heard })
    }

    fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, word: &str) -> usize {
        self.heard()
            .iter()
            .filter(|heard| heard.starts_with(word))
            .count()
    }

    async fn wait_for(&self, running: &mut Running, word: &str, count: usize) -> Result<()> {
        let began = Instant::now();
        while self.count(word) < count {
            ensure!(
                running.is_alive()? && began.elapsed() < PATIENCE,
                "{word} was not heard {count} times: {:?}",
                self.heard()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_is_told() -> Result<()> {
    let folder = scratch::folder("notify")?;
    let path = folder.join("socket");
    let name = format!("backstitch-{}", folder.display());
    for (named, address) in [
        (
            path.display().to_string(),
            SocketAddr::from_pathname(&path)?,
        ),
        (format!("@{name}"), SocketAddr::from_abstract_name(&name)?),
    ] {
        let manager = Manager::listen(&address)?;
        let scenario = Scenario::load_with_schema(&Profile::busy(Backend::Sqlite, 1_301)).await?;
        let mut running = scenario
            .run_without_migrating()?
            .env("NOTIFY_SOCKET", &named)
            .env("WATCHDOG_USEC", "1000000")
            .args(["--batch-rows", "20", "--pace", "200/s"])
            .spawn()?;
        manager.wait_for(&mut running, "WATCHDOG=1", 2).await?;
        manager
            .wait_for(&mut running, "STATUS=intelligence_event: ", 1)
            .await?;
        // It looks around while it holds as well.
        scenario
            .cli(&["run", "pause", "--by", "Mia"])?
            .expect(0)
            .await?;
        manager
            .wait_for(&mut running, "STATUS=intelligence_event: ", 2)
            .await?;
        let fed = manager.count("WATCHDOG=1");
        manager
            .wait_for(&mut running, "WATCHDOG=1", fed + 8)
            .await?;
        let heard = manager.heard();
        ensure!(
            heard.iter().any(|word| word.contains("holding for ")),
            "{heard:?}"
        );
        ensure!(
            heard[0] == "READY=1" && manager.count("READY=1") == 1,
            "{heard:?}"
        );
        ensure!(manager.count("STOPPING=1") == 0, "{heard:?}");
        running.signal("TERM")?;
        running.wait().await?.expect(143)?;
        let heard = manager.heard();
        ensure!(heard.contains(&"STOPPING=1".to_owned()), "{heard:?}");
    }
    Ok(())
}

/// A run that cannot be opened was never ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refuses_was_never_ready() -> Result<()> {
    let path = scratch::folder("notify")?.join("socket");
    let manager = Manager::listen(&SocketAddr::from_pathname(&path)?)?;
    let scenario = Scenario::load(&Profile::small(Backend::Sqlite, 1_302)).await?;
    let run = scenario
        .run_without_migrating()?
        .env("NOTIFY_SOCKET", &path);
    run.expect(4).await?;
    // A run that ends well says that it ends; by then all of before was heard.
    scenario
        .run()?
        .env("NOTIFY_SOCKET", &path)
        .expect(0)
        .await?;
    while manager.count("STOPPING=1") < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensure!(manager.count("READY=1") == 1, "{:?}", manager.heard());
    // One that cannot be told changes nothing.
    let gone = scratch::folder("notify")?.join("gone");
    scenario
        .run()?
        .env("NOTIFY_SOCKET", &gone)
        .expect(0)
        .await?;
    Ok(())
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn deployed(file: &str) -> Result<String> {
    let path = top().join("worker/deploy").join(file);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The options among these words.
fn options(text: &str) -> Vec<String> {
    let words = text.split(|is: char| is.is_whitespace() || is == '=' || is == ',');
    let options = words.filter(|word| word.starts_with("--") && word.len() > 2);
    options.map(str::to_owned).collect()
}

/// The exit codes that stand where `after` ends.
fn codes(text: &str, after: &str) -> Result<BTreeSet<u32>> {
    let (_, rest) = text.split_once(after).with_context(|| after.to_owned())?;
    let line = rest.lines().next().unwrap_or_default();
    let words = line.split(|is: char| !is.is_ascii_digit());
    Ok(words.filter_map(|word| word.parse().ok()).collect())
}

/// What each file says is among what the program knows.
#[tokio::test]
async fn deployments_speak_of_this_program() -> Result<()> {
    let (job, unit) = (deployed("job.yaml")?, deployed("backstitch.service")?);
    let help = printed("worker", &["run", "--help"]).await?;
    let arguments = job.split_once("args:").context("args")?.1;
    let arguments = arguments.split_once("ports:").context("ports")?.0;
    let started = unit.lines().find(|line| line.starts_with("ExecStart="));
    let started = started.context("ExecStart")?;
    let named = [options(arguments), options(started)].concat();
    ensure!(named.len() >= 4, "{named:?}");
    for option in named {
        ensure!(
            help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
            "`worker run` takes no {option}"
        );
    }
    // What a person must look at: wrong usage, too many bad rows, refused.
    let finally = BTreeSet::from([2, 3, 4]);
    ensure!(
        codes(&unit, "\nRestartPreventExitStatus=")? == finally,
        "{unit}"
    );
    ensure!(
        codes(&job, "action: FailJob\n        onExitCodes:")? == finally,
        "{job}"
    );
    let saved = BTreeSet::from([130, 143]);
    ensure!(codes(&unit, "\nSuccessExitStatus=")? == saved, "{unit}");
    let ignored = "status: \"True\" }]\n      # Interrupted, progress saved.\n      - action: Ignore\n        onExitCodes:";
    ensure!(codes(&job, ignored)? == saved, "{job}");
    ensure!(
        codes(&job, "action: Count\n        onExitCodes:")? == BTreeSet::from([1, 5]),
        "{job}"
    );
    for code in ["2 ", "3 ", "4 ", "5 ", "130 ", "143 "] {
        ensure!(help.contains(code), "the program knows no exit code {code}");
    }
    Ok(())
}

#[test]
fn the_image_has_no_secret_and_no_root() -> Result<()> {
    let file = deployed("Dockerfile")?;
    let lines: Vec<_> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let from: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    ensure!(from.len() == 2, "two stages: {from:?}");
    for base in &from {
        let image = base.split(' ').next().unwrap_or_default();
        let tag = image.rsplit_once(':').context("a tag")?.1;
        ensure!(
            tag != "latest" && image.contains(|is: char| is.is_ascii_digit()),
            "{base} is not pinned"
        );
    }
    let user = lines
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("USER "));
    ensure!(
        user.and_then(|user| user.split(':').next())
            .is_some_and(|user| user.parse::<u32>().is_ok_and(|id| id > 0)),
        "{user:?}"
    );
    for never in ["ENV ", "ARG ", "DATABASE_URL", "PASSWORD", "ADD "] {
        ensure!(
            !lines.iter().any(|line| line.contains(never)),
            "{never} has no place in it"
        );
    }
    // What it copies is there, and is not kept from it.
    let kept = deployed("Dockerfile.dockerignore")?;
    let copied = lines.iter().filter_map(|line| line.strip_prefix("COPY "));
    for copied in copied.filter(|copied| !copied.starts_with("--from")) {
        let words: Vec<_> = copied.split(' ').collect();
        for source in &words[..words.len() - 1] {
            ensure!(top().join(source).exists(), "{source} is not there");
            ensure!(
                kept.lines().any(|line| line == format!("!{source}")),
                "{source} is ignored"
            );
        }
    }
    Ok(())
}

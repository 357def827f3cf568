//! All sources of a file's targets: opened once, with their secrets, and asked all at once for each sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::database::{self, Counters, Statistic};
use super::http::Authorities;
use super::prometheus::Client;
use super::slo::{Credential, Secret, Server, Slo, Source, Target};
use super::{Measured, Trouble, probe};
use crate::backend::Database;
use crate::core::event::GateSampled;
use crate::error::{Error, Result};

/// What the targets are measured with.
pub struct Sources {
    targets: Vec<Target>,
    prometheus: Option<Arc<Client>>,
    authorities: BTreeMap<PathBuf, Authorities>,
    database: Option<Database>,
    /// The database's counters at the look before.
    before: Option<Counters>,
}

impl Sources {
    /// Whether a file's targets ask the database.
    #[must_use]
    pub fn need_database(slo: &Slo) -> bool {
        let mut targets = slo.targets.iter();
        targets.any(|target| matches!(target.source, Source::Database(_)))
    }

    /// Reads what the sources need beside the file. `variable` gives a variable of the environment.
    ///
    /// # Errors
    /// [`Error::Usage`]: a secret or a certificate is not where the file says.
    pub fn open(
        slo: &Slo,
        every: Duration,
        database: Option<&Database>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut authorities = BTreeMap::new();
        let probes = slo
            .targets
            .iter()
            .filter_map(|target| match &target.source {
                Source::Probe(probe) => probe.ca.as_ref(),
                _ => None,
            });
        let server = slo
            .prometheus
            .iter()
            .filter_map(|server| server.ca.as_ref());
        for path in probes.chain(server) {
            let pem = read(slo, path, "certificates")?;
            let found = Authorities::parse(&pem)
                .map_err(|why| Error::Usage(format!("{}: {why}", path.display())))?;
            authorities.insert(path.clone(), found);
        }
        let client = |server: &Server| -> Result<Arc<Client>> {
            let credential = server.credential.as_ref();
            let authorization = credential
                .map(|credential| authorization(slo, credential, &variable))
                .transpose()?;
            let authorities = server.ca.as_ref().and_then(|path| authorities.get(path));
            Ok(Arc::new(Client::new(
                server.clone(),
                authorization,
                authorities.cloned(),
                server.max_age.unwrap_or(2 * every),
            )))
        };
        Ok(Self {
            targets: slo.targets.clone(),
            prometheus: slo.prometheus.as_ref().map(client).transpose()?,
            authorities,
            database: database.cloned(),
            before: None,
        })
    }

    /// Looks whether the sources can be asked at all, and where the database's counters begin. Requests of our own are not
    /// tried: whether they are answered is what is measured.
    ///
    /// # Errors
    /// [`Error::Usage`]: a query, a right or a setting is wrong. [`Error::Transient`]: a server does not answer.
    pub async fn begin(&mut self, patience: Duration) -> Result<()> {
        let is_asked = |target: &Target| !matches!(target.source, Source::Probe(_));
        let measured = self.ask(patience, is_asked).await;
        for (target, measured) in self.targets.iter().zip(measured) {
            let said = |why: &str| format!("target {}: {why}", target.name);
            match measured {
                Some(Err(Trouble::Configuration(why))) => return Err(Error::Usage(said(&why))),
                Some(Err(Trouble::Unreachable(why))) => {
                    return Err(Error::Transient(said(&why)));
                }
                // Nothing was counted before this look, and a series may begin later.
                Some(Err(Trouble::Gap(_)) | Ok(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Measures every target, within a time; what takes longer is a gap.
    pub async fn sample(&mut self, tick: u64, patience: Duration) -> GateSampled {
        let measured = self.ask(patience, |_| true).await;
        let mut sample = GateSampled {
            tick,
            values: BTreeMap::new(),
            gaps: BTreeMap::new(),
        };
        for (target, measured) in self.targets.iter().zip(measured) {
            let value = match measured {
                Some(Ok(value)) => Some(value),
                Some(Err(trouble)) => {
                    let why = trouble.why().to_owned();
                    sample.gaps.insert(target.name.clone(), why);
                    None
                }
                None => None,
            };
            sample.values.insert(target.name.clone(), value);
        }
        sample
    }

    /// Asks those targets' sources, all at once.
    async fn ask(
        &mut self,
        patience: Duration,
        is_asked: impl Fn(&Target) -> bool,
    ) -> Vec<Option<Measured>> {
        let deadline = Instant::now() + patience;
        let mut asked = Vec::new();
        for target in self.targets.iter().filter(|target| is_asked(target)) {
            asked.push(self.start(target, deadline));
        }
        let counters = self.look(patience).await;
        let mut measured = Vec::new();
        let mut asked = asked.into_iter();
        for target in &self.targets {
            if !is_asked(target) {
                measured.push(None);
                continue;
            }
            let answer = match (&target.source, asked.next().flatten()) {
                (Source::Database(statistic), _) => match &counters {
                    Ok(after) => database::between(*statistic, self.before.as_ref(), after),
                    Err(trouble) => Err(trouble.clone()),
                },
                (_, Some(answer)) => within(deadline, answer).await,
                (_, None) => Err(Trouble::Gap("it was not asked".into())),
            };
            measured.push(Some(answer));
        }
        if let Ok(after) = counters {
            self.before = Some(after);
        }
        measured
    }

    /// Asks a target's source on a thread of its own: it blocks, and the program must be able to end meanwhile.
    fn start(&self, target: &Target, deadline: Instant) -> Option<oneshot::Receiver<Measured>> {
        let (sender, receiver) = oneshot::channel();
        let ask: Box<dyn FnOnce() -> Measured + Send> = match &target.source {
            Source::Database(_) => return None,
            Source::Prometheus { query, unit } => {
                let client = Arc::clone(self.prometheus.as_ref()?);
                let (query, unit) = (query.clone(), *unit);
                Box::new(move || {
                    let value = client.sample(&query, deadline)?;
                    Ok(unit.map_or(value, |unit| unit.base(value)))
                })
            }
            Source::Probe(probe) => {
                let authorities = probe
                    .ca
                    .as_ref()
                    .and_then(|path| self.authorities.get(path));
                let (probe, authorities) = (probe.clone(), authorities.cloned());
                Box::new(move || probe::sample(&probe, authorities.as_ref(), deadline))
            }
        };
        let work = move || {
            // Nobody may be waiting for it any more.
            let _ = sender.send(ask());
        };
        let thread = std::thread::Builder::new().name("gate".into());
        thread.spawn(work).ok()?;
        Some(receiver)
    }

    /// Looks at the database's counters where a target asks for them, in a task that is never dropped midway.
    async fn look(&self, patience: Duration) -> Result<Counters, Trouble> {
        let mut targets = self.targets.iter();
        let asks = |statistic| {
            let mut targets = self.targets.iter();
            targets.any(|target| target.source == Source::Database(statistic))
        };
        if !targets.any(|target| matches!(target.source, Source::Database(_))) {
            return Err(Trouble::Gap("no target asks the database".into()));
        }
        let Some(database) = self.database.clone() else {
            return Err(Trouble::Configuration("there is no database to ask".into()));
        };
        let statements = asks(Statistic::MeanQueryTime);
        let task = tokio::spawn(async move { database::look(&database, statements).await });
        match tokio::time::timeout(patience, task).await {
            Ok(Ok(looked)) => looked,
            Ok(Err(_)) => Err(Trouble::Gap(
                "the look at the database's statistics failed".into(),
            )),
            Err(_) => Err(late()),
        }
    }
}

async fn within(deadline: Instant, answer: oneshot::Receiver<Measured>) -> Measured {
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(measured)) => measured,
        Ok(Err(_)) => Err(Trouble::Gap("the look at it failed".into())),
        Err(_) => Err(late()),
    }
}

fn late() -> Trouble {
    Trouble::Gap("it took longer than the time between two samples".into())
}

fn read(slo: &Slo, path: &Path, what: &str) -> Result<Vec<u8>> {
    let path = slo.folder.join(path);
    std::fs::read(&path).map_err(|error| {
        Error::Usage(format!(
            "cannot read the {what} that the file of targets names, {}: {error}",
            path.display()
        ))
    })
}

/// The value of the header `Authorization`.
fn authorization(
    slo: &Slo,
    credential: &Credential,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String> {
    let secret = |secret: &Secret| -> Result<String> {
        let (text, place) = match secret {
            Secret::File(path) => {
                let bytes = read(slo, path, "secret")?;
                let text = String::from_utf8(bytes).unwrap_or_default();
                (text, path.display().to_string())
            }
            Secret::Variable(name) => (
                variable(name).unwrap_or_default(),
                format!("the variable {name}"),
            ),
        };
        let text = text.trim();
        match text.is_empty() || text.contains(|character: char| character.is_control()) {
            true => Err(Error::Usage(format!(
                "{place} should hold the secret for Prometheus as its only line"
            ))),
            false => Ok(text.to_owned()),
        }
    };
    match credential {
        Credential::Token(token) => Ok(format!("Bearer {}", secret(token)?)),
        Credential::Password(user, password) => {
            let both = format!("{user}:{}", secret(password)?);
            Ok(format!("Basic {}", base64(both.as_bytes())))
        }
    }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_usize, |word, place| {
            word << 8 | usize::from(chunk.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            text.push(match place <= chunk.len() {
                true => char::from(DIGITS[word >> (18 - 6 * place) & 63]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_the_rfc_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("user:pass?>", "dXNlcjpwYXNzPz4="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn secrets_come_from_where_the_file_says() {
        let text = |line: &str| {
            format!(
                "[environment.a]\nfor = \"2h\"\n[prometheus]\nurl = \"http://x/\"\n{line}\n[[target]]\nname = \"a\"\n\
                 source = \"prometheus\"\nquery = \"up\"\nbelow = \"1 s\"\n"
            )
        };
        let open = |line: &str| {
            let slo = Slo::parse(&text(line)).expect("sound");
            let variable = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
            Sources::open(&slo, Duration::from_secs(1), None, variable)
        };
        assert!(open("token_env = \"TOKEN\"").is_ok());
        for line in [
            "token_env = \"NONE\"",
            "token_file = \"/nowhere\"",
            "ca = \"/nowhere\"",
        ] {
            let error = open(line).err().expect("refused");
            assert!(matches!(error, Error::Usage(_)), "{error}");
        }
    }
}

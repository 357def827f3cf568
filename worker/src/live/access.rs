//! Who may look: which name of ours a request calls, and whether it brings the token. Pure.

use std::net::IpAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::credentials;
use crate::error::{Error, Result};

/// The least characters of a token: fewer could be tried out.
const LEAST: usize = 16;

/// Who may look.
#[derive(Debug)]
pub(super) struct Access {
    bound: IpAddr,
    names: Vec<String>,
    /// The hash of the token: two of them are compared in a time that tells nothing.
    token: Option<blake3::Hash>,
}

impl Access {
    /// Who may look at what listens at this address.
    ///
    /// # Errors
    /// [`Error::Usage`]: others than this machine could look without a token; the token's file cannot be read; a name that is
    /// none.
    pub(super) fn new(bound: IpAddr, token_file: Option<&Path>, names: &[String]) -> Result<Self> {
        let token = match token_file {
            Some(path) => Some(token(path)?),
            None if bound.is_loopback() => None,
            None => {
                return Err(Error::Usage(format!(
                    "{bound} can be reached from other machines, and what is shown there is nobody else's: give \
                     --status-token-file FILE with a secret of {LEAST} characters or more (openssl rand -hex 32), or \
                     listen at 127.0.0.1"
                )));
            }
        };
        for name in names {
            let is_name = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            if !is_name {
                return Err(Error::Usage(format!(
                    "--status-host takes a host's name such as worker-0.example.com, without a port, not {name:?}"
                )));
            }
        }
        Ok(Self {
            bound,
            names: names.to_vec(),
            token,
        })
    }

    /// Whether a request means us by this `Host`: a page of somebody else's, whose name was made to point here, does not.
    pub(super) fn knows(&self, host: &str) -> bool {
        let name = name(host);
        let is_near = self.bound.is_loopback() || self.bound.is_unspecified();
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if self.bound.is_unspecified() => !address.is_unspecified(),
            Ok(address) if self.bound.is_loopback() => address.is_loopback(),
            Ok(address) => address == self.bound,
            Err(_) => {
                (is_near && name.eq_ignore_ascii_case("localhost"))
                    || self
                        .names
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }

    /// Whether a request may look: by `Bearer TOKEN`, or as a browser asks for it, by `Basic` with the token for a password and
    /// any name.
    pub(super) fn allows(&self, authorization: Option<&str>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let Some((scheme, given)) = authorization.and_then(|given| given.split_once(' ')) else {
            return false;
        };
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return blake3::hash(given.as_bytes()) == *token;
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let decoded = STANDARD.decode(given).unwrap_or_default();
        let password = decoded
            .iter()
            .position(|byte| *byte == b':')
            .map(|colon| &decoded[colon + 1..]);
        password.is_some_and(|password| blake3::hash(password) == *token)
    }
}

fn token(path: &Path) -> Result<blake3::Hash> {
    let token = credentials::line(
        path,
        "the token",
        "such as what openssl rand -hex 32 prints",
    )?;
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    match token.len() >= LEAST && is_plain {
        true => Ok(blake3::hash(token.as_bytes())),
        false => Err(Error::Usage(format!(
            "the token in {} should have {LEAST} characters or more, without spaces: openssl rand -hex 32 makes one",
            path.display()
        ))),
    }
}

/// The name in a `Host`, without the port: `localhost:9464`, `[::1]:9464`.
fn name(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(bound: &str, names: &[&str]) -> Access {
        Access {
            bound: bound.parse().expect("an address"),
            names: names.iter().map(ToString::to_string).collect(),
            token: Some(blake3::hash(b"0123456789abcdef")),
        }
    }

    #[test]
    fn names_are_ours_or_not() {
        for (bound, host, knows) in [
            ("127.0.0.1", "127.0.0.1:9464", true),
            ("127.0.0.1", "localhost:8080", true),
            ("127.0.0.1", "LOCALHOST", true),
            ("127.0.0.1", "[::1]:9464", true),
            ("127.0.0.1", "evil.example", false),
            ("127.0.0.1", "localhost.evil.example:9464", false),
            ("127.0.0.1", "10.0.0.7:9464", false),
            ("127.0.0.1", "127.0.0.1.evil.example", false),
            ("127.0.0.1", "", false),
            ("10.0.0.7", "10.0.0.7:9464", true),
            ("10.0.0.7", "localhost:9464", false),
            ("0.0.0.0", "10.0.0.9:9464", true),
            ("0.0.0.0", "evil.example:9464", false),
            ("::", "[fd00::7]:9464", true),
            ("127.0.0.1", "worker-0.example.com:9464", true),
            ("127.0.0.1", "Worker-0.Example.com", true),
        ] {
            let access = access(bound, &["worker-0.example.com"]);
            assert_eq!(access.knows(host), knows, "{host} at {bound}");
        }
    }

    #[test]
    fn a_token_is_brought_in_two_ways() {
        let access = access("0.0.0.0", &[]);
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (given, allows) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer ", false),
            ("Bearer", false),
            (&basic("me:0123456789abcdef"), true),
            (&basic(":0123456789abcdef"), true),
            (&basic("0123456789abcdef"), false),
            (&basic("0123456789abcdef:"), false),
            ("Basic ???", false),
            ("Digest 0123456789abcdef", false),
        ] {
            assert_eq!(access.allows(Some(given)), allows, "{given}");
        }
        assert!(!access.allows(None));
    }

    #[test]
    fn others_need_a_token() {
        for (bound, is_refused) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", true),
            ("10.1.2.3", true),
            ("::", true),
        ] {
            let access = Access::new(bound.parse().expect("an address"), None, &[]);
            assert_eq!(access.is_err(), is_refused, "{bound}");
        }
    }
}

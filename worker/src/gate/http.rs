//! HTTP as the gate's sources need it: no redirect is followed, no proxy of the environment's is taken, every request has
//! its time, and what is said about a failure holds neither address nor answer.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use crate::gate::Trouble;

/// Certificates of authorities to trust in place of the public ones.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<Vec<Certificate<'static>>>);

impl Authorities {
    /// Reads them from PEM.
    ///
    /// # Errors
    /// There is none in it.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let mut found = Vec::new();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => found.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(format!("it is no PEM: {error}")),
            }
        }
        match found.is_empty() {
            true => Err("it holds no certificate in PEM".into()),
            false => Ok(Self(Arc::new(found))),
        }
    }
}

/// A client for one sample: connections are kept among its requests, and not to the next sample.
#[must_use]
pub fn agent(authorities: Option<&Authorities>) -> Agent {
    let roots = match authorities {
        Some(Authorities(certificates)) => RootCerts::Specific(Arc::clone(certificates)),
        None => RootCerts::WebPki,
    };
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("backstitch/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .new_agent()
}

/// Why there was no answer.
#[must_use]
pub fn trouble(error: &Error, timeout: Duration) -> Trouble {
    match error {
        Error::Timeout(_) => Trouble::Unreachable(format!(
            "no answer within {}",
            humantime::format_duration(timeout)
        )),
        Error::Io(error) => Trouble::Unreachable(format!("no connection: {error}")),
        Error::HostNotFound => Trouble::Unreachable("the host's name is not known".into()),
        Error::ConnectionFailed => Trouble::Unreachable("no connection".into()),
        Error::BodyExceedsLimit(bytes) => {
            Trouble::Gap(format!("the answer is larger than {bytes} bytes"))
        }
        // Such as a certificate that is not trusted.
        Error::Rustls(error) => Trouble::Unreachable(format!("no connection by TLS: {error}")),
        other => Trouble::Gap(format!("the answer cannot be read: {other}")),
    }
}

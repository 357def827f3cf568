//! What a database URL names, told without its user, password and parameters: the only form of it that is ever shown.

use url::Url;

use crate::error::{Error, Result};

/// The host, port and database, or the file, that a URL names.
///
/// # Errors
/// [`Error::Usage`]: it cannot be read. The error holds nothing of it, as any part may be a misplaced password.
pub(super) fn target(url: &str) -> Result<String> {
    if let Some(file) = url.strip_prefix("sqlite:") {
        let file = file.trim_start_matches("//");
        return Ok(file.split('?').next().unwrap_or_default().to_owned());
    }
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !is_postgres {
        return Err(Error::Usage(
            "the database URL must begin with postgres:// or sqlite://; for instance \
             postgres://user@host/database or sqlite://backstitch.db?mode=rwc"
                .into(),
        ));
    }
    let parsed = Url::parse(url).ok().filter(|parsed| {
        // A password that is not encoded makes another part of the URL hold what follows it.
        let misplaced = [parsed.path(), parsed.query().unwrap_or_default()];
        parsed.fragment().is_none() && !misplaced.iter().any(|part| part.contains('@'))
    });
    match parsed {
        Some(parsed) => {
            let host = parsed.host_str().unwrap_or("the local server");
            let port = parsed.port().map(|port| format!(":{port}"));
            Ok(format!("{host}{}{}", port.unwrap_or_default(), parsed.path()))
        }
        None => Err(Error::Usage(
            "the database URL cannot be read; write it like postgres://user@host:5432/database, and percent-encode \
             the characters / ? # @ : % in a password, or better put it into PGPASSWORD or ~/.pgpass"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::target;
    use crate::fuzz::{bounded, nearly};

    #[test]
    fn nothing_of_a_password_is_told() {
        for url in [
            "postgres://app:CANARY@127.0.0.1:5432/x?sslmode=disable",
            "postgres://app:CANARY#y@127.0.0.1:5432/x",
            "postgres://app:CANARY?y@127.0.0.1:5432/x",
            "postgres://app:CANARY/y@127.0.0.1:5432/x",
            "postgres://app:1?CANARY@127.0.0.1:5432/x",
            "postgres://app:1/CANARY@127.0.0.1:5432/x",
            "postgres://app:CANARY@127.0.0.1:notaport/x",
            "postgres://app:CANARY@:x",
            "postgres://CANARY:?X@h/x",
            "postgres:app:CANARY@/x",
            "mysql://app:CANARY@h/x",
            "CANARY",
        ] {
            let told = match target(url) {
                Ok(target) => target,
                Err(error) => error.to_string(),
            };
            assert!(!told.contains("CANARY"), "{url}: {told}");
        }
    }

    #[test]
    fn what_is_named_is_told() {
        for (url, told) in [
            (
                "postgres://app:x@db.example.com:5433/app?sslmode=disable",
                "db.example.com:5433/app",
            ),
            ("postgresql://db/app", "db/app"),
            ("sqlite://a/b.db?mode=rwc", "a/b.db"),
            ("sqlite:b.db", "b.db"),
        ] {
            assert_eq!(target(url).expect("a good URL"), told);
        }
    }
    fn urls() -> Vec<String> {
        let urls = [
            "postgres://app:CANARY@127.0.0.1:5432/x?sslmode=disable&host=/run",
            "postgresql://app:CANARY@[::1]:5432/x",
            "postgres://app:CANARY@db.example.com,db2.example.com/x",
            "postgres://%61pp:CANARY@%2Frun%2Fpostgresql/x",
            "sqlite://a/b.db?mode=rwc",
        ];
        urls.map(Into::into).into()
    }

    proptest! {
        /// What is nearly a URL: no panic, and a password is not told as long as it stands ahead of an @, wherever that is.
        #[test]
        fn no_url_panics_or_tells_its_password(bytes in nearly(urls())) {
            let url = String::from_utf8_lossy(&bytes);
            let told = match bounded(url.len(), 16, || target(&url)) {
                Ok(target) => target,
                Err(error) => error.to_string(),
            };
            let [all, ahead] = ["CANARY", "CANARY@"].map(|part| url.matches(part).count());
            if url.starts_with("postgres") && all == ahead {
                prop_assert!(!told.contains("CANARY"), "{url}: {told}");
            }
        }
    }
}

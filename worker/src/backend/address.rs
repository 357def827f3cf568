//! A database's address as more than its URL: what PostgreSQL's own programs are given of it, and those of databases
//! beside it. It holds the password where the URL does, and shows nothing of it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use super::{Dialect, postgres, target};
use crate::error::{Error, Result};

/// A database's address.
#[derive(Clone)]
pub struct Address {
    url: String,
    /// What may be shown.
    target: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Address")
            .field(&self.target)
            .finish()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.target)
    }
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::Usage`]: it is none of ours.
    pub fn parse(url: &str) -> Result<Self> {
        let target = target::target(url)?;
        let address = Self {
            url: url.to_owned(),
            target,
        };
        if address.dialect() == Dialect::Postgres {
            postgres::check_parameters(url)?;
            address.options()?;
        }
        Ok(address)
    }

    /// The address of an SQLite file.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let encoded: String = path.as_os_str().as_bytes().iter().map(encoded).collect();
        Self {
            url: format!("sqlite://{encoded}"),
            target: path.display().to_string(),
        }
    }

    /// The whole URL, the password included where it holds one: for connecting, never to be shown.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which of the two databases it is of.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.url.starts_with("sqlite:") {
            true => Dialect::Sqlite,
            false => Dialect::Postgres,
        }
    }

    /// The database's name in its server, or the file's.
    ///
    /// # Errors
    /// [`Error::Usage`]: it cannot be read.
    pub fn name(&self) -> Result<String> {
        if self.dialect() == Dialect::Sqlite {
            let file = self.file()?;
            let name = file.file_name().unwrap_or_default();
            return Ok(name.to_string_lossy().into_owned());
        }
        let options = self.options()?;
        let name = options.get_database().unwrap_or(options.get_username());
        Ok(name.to_owned())
    }

    /// The SQLite file.
    ///
    /// # Errors
    /// [`Error::Usage`]: it names none.
    pub fn file(&self) -> Result<PathBuf> {
        let options = self.url.parse::<SqliteConnectOptions>();
        match options {
            Ok(options) => Ok(options.get_filename().to_path_buf()),
            Err(_) => Err(unreadable()),
        }
    }

    /// The address of another database of the same server.
    ///
    /// # Errors
    /// [`Error::Usage`]: it cannot be read.
    pub fn beside(&self, database: &str) -> Result<Self> {
        let mut url = Url::parse(&self.url).map_err(|_| unreadable())?;
        url.set_path(
            &database
                .bytes()
                .map(|byte| encoded(&byte))
                .collect::<String>(),
        );
        let kept: Vec<(String, String)> = (url.query_pairs().into_owned())
            .filter(|(name, _)| name != "dbname")
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        Self::parse(url.as_str())
    }

    /// The password that the URL holds; the environment's and that of a `.pgpass` are not looked at.
    #[must_use]
    pub fn password(&self) -> Option<String> {
        let url = Url::parse(&self.url).ok()?;
        let parameter = url
            .query_pairs()
            .filter(|(name, _)| name == "password")
            .last();
        let password = match parameter {
            Some((_, password)) => password.into_owned(),
            None => percent_decoded(url.password()?)?,
        };
        Some(password).filter(|password| !password.is_empty())
    }

    /// Every spelling of the password that the URL holds: as it is, as it stands there, and as it is encoded by the book.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let by_the_book = Url::parse(&self.url).ok();
        let by_the_book = by_the_book.and_then(|url| url.password().map(str::to_owned));
        let authority = self.url.split_once("://").map(|(_, rest)| rest);
        let authority = authority.and_then(|rest| rest.split(['/', '?']).next());
        let user = authority.and_then(|authority| authority.rsplit_once('@'));
        let as_it_stands = user.and_then(|(user, _)| user.split_once(':'));
        let as_it_stands = as_it_stands.map(|(_, password)| password.to_owned());
        let all = self.password().into_iter().chain(by_the_book);
        let mut all: Vec<_> = all.chain(as_it_stands).collect();
        all.retain(|secret| !secret.is_empty());
        all
    }

    /// Everything but database and password, as the variables that libpq reads: what the URL says, and what we take for
    /// granted where it says nothing.
    ///
    /// # Errors
    /// [`Error::Usage`]: it cannot be read.
    pub fn variables(&self) -> Result<Vec<(&'static str, OsString)>> {
        let options = self.options()?;
        let host = match options.get_socket() {
            Some(folder) => folder.clone().into_os_string(),
            None => options.get_host().trim_matches(['[', ']']).into(),
        };
        let mode = match options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        let mut variables = vec![
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string().into()),
            ("PGUSER", options.get_username().into()),
            ("PGSSLMODE", mode.into()),
        ];
        if let Some(options) = options.get_options() {
            variables.push(("PGOPTIONS", options.into()));
        }
        let url = Url::parse(&self.url).map_err(|_| unreadable())?;
        for (name, value) in url.query_pairs() {
            let variable = match &*name {
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
                "sslcert" | "ssl-cert" => "PGSSLCERT",
                "sslkey" | "ssl-key" => "PGSSLKEY",
                _ => continue,
            };
            variables.push((variable, value.into_owned().into()));
        }
        Ok(variables)
    }

    fn options(&self) -> Result<PgConnectOptions> {
        self.url.parse().map_err(|_| unreadable())
    }
}

fn unreadable() -> Error {
    Error::Usage("the database URL cannot be read; check its spelling".into())
}

/// A byte of a path in a URL.
fn encoded(byte: &u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    }
}

/// None: it is no text.
fn percent_decoded(text: &str) -> Option<String> {
    // A query's decoder, which takes a plus for a space, so that one is encoded first.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.next().map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(url: &str, name: &str) -> Option<String> {
        let variables = Address::parse(url)
            .expect("a URL")
            .variables()
            .expect("read");
        let found = variables.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    }

    #[test]
    fn what_the_url_says_is_carried_over() {
        let url =
            "postgres://app%2Fx:s%40c@[::1]:5433/da%20ta?sslmode=verify-full&sslrootcert=%2Fca.crt";
        for (name, value) in [
            ("PGHOST", "::1"),
            ("PGPORT", "5433"),
            ("PGUSER", "app/x"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/ca.crt"),
        ] {
            assert_eq!(variable(url, name).as_deref(), Some(value), "{name}");
        }
        let address = Address::parse(url).expect("a URL");
        assert_eq!(address.name().expect("a name"), "da ta");
        assert_eq!(address.password().as_deref(), Some("s@c"));
        let socket = "postgres://app@localhost/x?host=/run/other";
        assert_eq!(variable(socket, "PGHOST").as_deref(), Some("/run/other"));
    }

    #[test]
    fn passwords_are_read_as_the_driver_reads_them() {
        for (url, password) in [
            ("postgres://u@h/d", None),
            ("postgres://u:a+b%25%26c@h/d", Some("a+b%&c")),
            ("postgres://u:x@h/d?password=y%2Bz", Some("y+z")),
        ] {
            let address = Address::parse(url).expect("a URL");
            assert_eq!(address.password().as_deref(), password, "{url}");
            assert!(!format!("{address:?} {address}").contains('@'));
        }
    }

    #[test]
    fn a_database_beside_it_differs_in_its_name_alone() {
        let address =
            Address::parse("postgres://u:p@h:5433/d?sslmode=require&dbname=e").expect("a URL");
        assert_eq!(address.name().expect("a name"), "e");
        let beside = address.beside("A b/\"?%").expect("another");
        assert_eq!(beside.name().expect("a name"), "A b/\"?%");
        assert_eq!(beside.password().as_deref(), Some("p"));
        assert!(beside.url().contains("sslmode=require"));
    }

    #[test]
    fn files_of_any_name() {
        let path = Path::new("/tmp/a b?c%20#d.db");
        assert_eq!(Address::of_file(path).file().expect("a file"), path);
    }
}

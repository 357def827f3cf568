//! The part of the file that is about the Prometheus server.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::file::Result;
use super::values::Span;
use super::{Credential, Secret, Server};

/// How long an answer may take where the file says nothing.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prometheus {
    url: Spanned<String>,
    timeout: Option<Span>,
    max_age: Option<Span>,
    ca: Option<PathBuf>,
    token_file: Option<Spanned<PathBuf>>,
    token_env: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    password_env: Option<Spanned<String>>,
}

/// What is said of a server.
pub(super) fn read(file: Prometheus) -> Result<Server> {
    let url = address(&file.url)?;
    let secret = |path: Option<Spanned<PathBuf>>, variable: Option<Spanned<String>>| match (
        path, variable,
    ) {
        (Some(_), Some(variable)) => Err((
            variable.span().start,
            "a secret is in a file or in the environment: name one of them".to_owned(),
        )),
        (Some(path), None) => Ok(Some((path.span().start, Secret::File(path.into_inner())))),
        (None, Some(variable)) => {
            let at = variable.span().start;
            Ok(Some((at, Secret::Variable(variable.into_inner()))))
        }
        (None, None) => Ok(None),
    };
    let token = secret(file.token_file, file.token_env)?;
    let password = secret(file.password_file, file.password_env)?;
    let credential = match (token, file.user, password) {
        (None, None, None) => None,
        (Some((_, token)), None, None) => Some(Credential::Token(token)),
        (None, Some(user), Some((_, password))) => {
            Some(Credential::Password(user.into_inner(), password))
        }
        (Some((at, _)), _, _) => {
            return Err((at, "a token and a user exclude each other".into()));
        }
        (None, Some(user), None) => {
            return Err((
                user.span().start,
                "the user has neither password_file nor password_env".into(),
            ));
        }
        (None, None, Some((at, _))) => return Err((at, "the password has no user".into())),
    };
    Ok(Server {
        url,
        max_age: file.max_age.map(|age| age.0),
        timeout: file.timeout.map_or(TIMEOUT, |timeout| timeout.0),
        credential,
        ca: file.ca,
    })
}

/// An address without a secret in it.
pub(super) fn address(text: &Spanned<String>) -> Result<Url> {
    let wrong = |why: &str| Err((text.span().start, why.to_owned()));
    let Ok(url) = Url::parse(text.get_ref()) else {
        return wrong("this is no URL, like \"https://host:9090/\"");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return wrong("this is no URL of http or https, like \"https://host:9090/\"");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "the URL holds a user or a password, which do not belong into this file: a server's go into user and \
             password_file",
        );
    }
    Ok(url)
}

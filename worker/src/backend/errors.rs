//! What an error of the database means: whether to try again, whom to blame, and how to say it without a value.

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::{DbErr, RuntimeErr, sqlx};

use super::{postgres, sqlite};
use crate::error::Error;

/// Whether trying the whole transaction again may help.
#[must_use]
pub fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(inner) | DbErr::Exec(inner) | DbErr::Query(inner) => match inner {
            RuntimeErr::SqlxError(error) => match error.as_ref() {
                sqlx::Error::Io(error) => !is_untrusted(error),
                sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(database) => {
                    let code = database.code().unwrap_or_default();
                    postgres::is_transient(&code) || sqlite::is_transient(&code)
                }
                _ => false,
            },
            RuntimeErr::Internal(_) => false,
        },
        _ => false,
    }
}

/// Whether TLS refused the other side, which trying again does not change.
fn is_untrusted(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData
}

/// Whether the connection was given up because it would not have been encrypted, or not to the right server.
fn is_insecure(error: &DbErr) -> bool {
    match driver(error) {
        Some(sqlx::Error::Tls(_)) => true,
        Some(sqlx::Error::Io(error)) => is_untrusted(error),
        _ => false,
    }
}

/// Whether the server ended a statement because it took, or waited for a lock, too long: fewer rows may help.
#[must_use]
pub fn is_timeout(error: &DbErr) -> bool {
    matches!(
        code(error).as_deref(),
        Some(postgres::QUERY_CANCELED | postgres::LOCK_NOT_AVAILABLE)
    )
}

/// The code under which the database refused a row for what is in it; none where the error is of another kind.
#[must_use]
pub fn refuses_row(error: &DbErr) -> Option<String> {
    code(error).filter(|code| postgres::refuses_row(code) || sqlite::refuses_row(code))
}

/// Whether a unique constraint refused a row.
#[must_use]
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

/// The database's own message, without the statement, its values, or a row's content (PostgreSQL's DETAIL).
#[must_use]
pub fn describe(error: &DbErr) -> String {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => match error.as_ref() {
            sqlx::Error::Database(database) => match database.code() {
                Some(code) if is_raised(database.as_ref()) => {
                    format!("a function of the database's own raised an error ({code})")
                }
                Some(code) if postgres::quotes_values(&code) || sqlite::quotes_values(&code) => {
                    format!("the database refuses a value ({code})")
                }
                Some(code) => format!("{} ({code})", database.message()),
                None => database.message().to_owned(),
            },
            sqlx::Error::Io(io) => reason(io),
            other => other.to_string(),
        },
        // SeaORM puts the whole URL into some of these.
        DbErr::Conn(RuntimeErr::Internal(_)) => "the connection could not be set up".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a function of the application's raised it: its text is whatever they wrote, and may quote a row.
fn is_raised(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| {
        error
            .r#where()
            .is_some_and(|place| place.contains("function"))
    })
}

/// The operating system's reason in plain words, without its number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::ConnectionReset => "the connection was reset".into(),
        _ => error.to_string(),
    }
}

/// Whether another connection holds SQLite's lock.
pub(super) fn is_locked(error: &DbErr) -> bool {
    code(error).is_some_and(|code| sqlite::is_locked(&code))
}

/// The database's code for an error: `SQLSTATE` on PostgreSQL, the extended result code on SQLite.
#[must_use]
pub fn code(error: &DbErr) -> Option<String> {
    error_of(error)?.code().map(std::borrow::Cow::into_owned)
}

/// What the database itself has answered.
fn error_of(error: &DbErr) -> Option<&dyn DatabaseError> {
    match driver(error)? {
        sqlx::Error::Database(database) => Some(database.as_ref()),
        _ => None,
    }
}

/// What the driver has said.
fn driver(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error.as_ref()),
        _ => None,
    }
}

/// What to do about an error whose cause is the configuration: a right that is missing, a file that cannot be written.
#[must_use]
pub fn hint(error: &DbErr) -> Option<&'static str> {
    let code = code(error).filter(|_| !error_of(error).is_some_and(is_raised))?;
    postgres::hint(&code).or_else(|| sqlite::hint(&code))
}

/// Why a connection could not be made, and what to do.
pub(super) fn refused(target: &str, error: &DbErr) -> Error {
    let said = match code(error) {
        // A setting of the URL is quoted, whatever somebody has put there by mistake.
        Some(code) if postgres::quotes_settings(&code) => {
            format!("the server refuses a setting of the URL ({code})")
        }
        _ => describe(error),
    };
    if let Some(hint) = hint(error) {
        return Error::Usage(format!("cannot open the database {target}: {said}; {hint}"));
    }
    if is_insecure(error) {
        return Error::Usage(format!(
            "no secure connection to {target}: {said}; check sslmode and sslrootcert in the URL (or PGSSLMODE and \
             PGSSLROOTCERT), and that the server's certificate is for this host and from that authority"
        ));
    }
    if is_transient(error) {
        return Error::Transient(format!(
            "cannot reach the database {target}: {said}; check that it is up and not held by another process, then \
             try again"
        ));
    }
    Error::Usage(format!(
        "cannot open the database {target}: {said}; check the database URL"
    ))
}

//! Answers as text and as JSON. Pure: data in, text out; no I/O, no clock, no database.

pub(crate) mod backup;
pub(crate) mod certificate;
pub(crate) mod checklist;
pub(crate) mod compat;
pub(crate) mod control;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod event;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod part;
pub(crate) mod phase;
pub(crate) mod plan;
pub(crate) mod preflight;
pub(crate) mod quarantine;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod rollback;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod smoke;
pub(crate) mod status;
pub(crate) mod text;
pub(crate) mod validation;
pub(crate) mod why;

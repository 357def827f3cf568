//! The SQL of the benchmark: sources, and for each unit the one statement that one would write instead.

pub(crate) mod instead;
pub(crate) mod kpi;
pub(crate) mod source;
pub(crate) mod sqlite;

/// The instant that all runs stand for.
pub(crate) const AS_OF: &str = "2025-11-04";

/// The first instant of their window of 90 days.
pub(crate) const SINCE: &str = "2025-08-06";

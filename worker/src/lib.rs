//! Backstitch's engine: an event-sourced, resumable backfill worker.
//!
//! Where to start reading: [`core`] is the pure heart (events, state, plan); [`engine`] drives a plan's units;
//! [`unit`] is what somebody implements to bring a plan of their own, and [`units`] is the built-in one; [`undo`]
//! takes a run back; [`audit`] checks the journal, [`validate`] the destinations. The library never prints, exits or
//! reads the environment; what both programs begin with does ([`program`]).

pub mod approval;
pub mod audit;
pub mod backend;
pub mod backup;
pub mod blame;
pub mod certificate;
pub mod chain;
pub mod compat;
pub mod control;
pub mod core;
pub mod credentials;
pub mod decisions;
pub mod demo;
pub mod diff;
pub mod engine;
pub mod error;
pub mod examined;
pub mod fault;
pub mod forecast;
pub mod gate;
pub mod heads;
pub mod held;
pub mod inputs;
pub mod journal;
pub mod live;
pub mod pace;
pub mod page;
pub mod picture;
pub mod preflight;
pub mod program;
pub mod projection;
pub mod provenance;
pub mod repair;
pub mod report;
pub mod retry;
pub mod roles;
pub mod runbook;
pub mod runs;
pub mod schema;
pub mod shutdown;
pub mod signals;
pub mod size;
pub mod smoke;
pub mod source;
pub mod status;
pub mod time;
pub mod undo;
pub mod unit;
pub mod units;
pub mod validate;
pub mod why;
pub mod write;

mod bare;
#[cfg(test)]
mod fuzz;
mod identity;
mod proof;
mod silence;
mod standing;

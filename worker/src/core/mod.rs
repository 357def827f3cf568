//! The pure heart: events, the state that they fold into, and the plan. No I/O, no async, no clock, no ORM.

pub mod event;
pub mod plan;
pub mod replay;
pub mod state;

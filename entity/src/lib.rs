//! The tables that Backstitch reads and writes, one file each; no logic.
#![expect(
    missing_docs,
    reason = "the columns' meaning is the application's; the derived items say what they are"
)]

// Phase 4.5: the sources.
pub mod agent_task;
pub mod asset;
pub mod campaign;
pub mod deal;
pub mod kpi_snapshot;
pub mod publish_job;
pub mod user_feedback;

// Phase 5: the destinations.
pub mod agent_feedback;
pub mod intelligence_event;
pub mod kpi_history;
pub mod prompt_performance;

// The journal.
pub mod backstitch_journal;
pub mod backstitch_journal_rows;
pub mod backstitch_partition;

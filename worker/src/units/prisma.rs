//! What the application's Prisma schema says about Phase 5's tables and no database knows.

use crate::schema::prisma::{Hints, Relation};

/// The hints.
pub(super) const HINTS: Hints = Hints {
    attributes: &[
        ("IntelligenceEvent", "id", "@default(cuid())"),
        ("PromptPerformance", "id", "@default(cuid())"),
        ("PromptPerformance", "promptText", "@db.Text"),
        ("PromptPerformance", "updatedAt", "@updatedAt"),
        ("KPIHistory", "id", "@default(cuid())"),
        ("AgentFeedback", "id", "@default(cuid())"),
        ("AgentFeedback", "comment", "@db.Text"),
        ("Campaign", "prompt", "@db.Text"),
    ],
    relations: &[Relation {
        table: "PromptPerformance",
        column: "campaignId",
        field: "campaign",
        back: "promptPerformance",
    }],
};

//! The built-in plan on paper: the checklists of Phase 5's migration plan, day by day, and who signs it off.

use crate::runbook::checklist::{Item, Paper, Proof};

const DAY_0: &str = "Pre-migration (day 0)";
const DAY_1: &str = "Migration day 1";
const DAY_2: &str = "Migration day 2";
const DAY_3: &str = "Migration day 3";
const AFTER: &str = "Post-migration (day 4 and later)";

/// Phase 5's checklist and roles.
#[must_use]
pub fn phase5_paper() -> Paper {
    Paper {
        items: &ITEMS,
        roles: &["DevOps Lead", "Database Admin", "QA Lead"],
    }
}

const fn item(
    list: &'static str,
    id: &'static str,
    text: &'static str,
    proof: Proof,
    command: &'static str,
) -> Item {
    Item {
        id,
        list,
        text,
        proof,
        command,
    }
}

const fn person(list: &'static str, id: &'static str, text: &'static str) -> Item {
    item(list, id, text, Proof::Person, "")
}

const ITEMS: [Item; 25] = [
    item(
        DAY_0,
        "backup",
        "Backup production database",
        Proof::Backup,
        "cli backup create",
    ),
    item(
        DAY_0,
        "dump",
        "Export data to a dump file",
        Proof::Dump,
        "cli backup create",
    ),
    item(
        DAY_0,
        "review-sql",
        "Review migration SQL",
        Proof::SqlReviewed,
        "cli schema sql > review.sql; cli schema sql --reviewed-by NAME --digest DIGEST",
    ),
    person(DAY_0, "staging", "Test migration on staging"),
    person(DAY_0, "notify", "Notify team of maintenance window"),
    item(
        DAY_0,
        "rollback-ready",
        "Prepare rollback: restore the backup once, into a scratch database",
        Proof::RestoreRehearsed,
        "cli backup verify --full",
    ),
    item(
        DAY_1,
        "schema",
        "Apply schema migration to production",
        Proof::SchemaApplied,
        "cli schema up",
    ),
    item(
        DAY_1,
        "schema-verified",
        "Verify schema changes",
        Proof::SchemaVerified,
        "cli schema verify --record",
    ),
    item(
        DAY_1,
        "intelligence-event",
        "Run backfill (IntelligenceEvent)",
        Proof::Units(&["intelligence_event"]),
        "worker run --unit intelligence_event",
    ),
    item(
        DAY_1,
        "prompt-performance",
        "Run backfill (Campaign.prompt, PromptPerformance)",
        Proof::Units(&["campaign_prompt", "prompt_performance"]),
        "worker run --unit campaign_prompt --unit prompt_performance",
    ),
    person(DAY_1, "database-watched", "Monitor database performance"),
    item(
        DAY_2,
        "kpi-history",
        "Run backfill (KPIHistory, AgentFeedback)",
        Proof::Units(&["kpi_history", "agent_feedback"]),
        "worker run",
    ),
    item(
        DAY_2,
        "validation",
        "Run validation",
        Proof::Validated,
        "cli validate --record",
    ),
    item(
        DAY_2,
        "integrity",
        "Fix any data integrity issues",
        Proof::ValidatedDeeply,
        "cli validate --deep",
    ),
    person(DAY_2, "deploy-staging", "Deploy Phase 5 code to staging"),
    item(
        DAY_2,
        "smoke-staging",
        "Run smoke tests on staging",
        Proof::Smoke("staging"),
        "cli smoke --environment staging -- COMMAND",
    ),
    person(
        DAY_3,
        "deploy-production",
        "Deploy Phase 5 code to production",
    ),
    item(
        DAY_3,
        "error-rates",
        "Monitor error rates",
        Proof::Gate("production"),
        "cli gate watch --environment production",
    ),
    item(
        DAY_3,
        "performance",
        "Monitor performance metrics",
        Proof::Gate("production"),
        "cli gate watch --environment production",
    ),
    person(DAY_3, "dashboard", "Verify dashboard functionality"),
    person(DAY_3, "issues-documented", "Document any issues"),
    person(
        AFTER,
        "backups-deleted",
        "Delete old backup files (after 7 days)",
    ),
    person(AFTER, "documentation", "Update documentation"),
    person(
        AFTER,
        "training",
        "Train team on new Intelligence Core features",
    ),
    person(AFTER, "next-phase", "Schedule Phase 5.1 kickoff"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::units;

    #[test]
    fn items_have_names_of_their_own_and_units_that_there_are() {
        let mut ids = HashSet::new();
        let plan = units::phase5(Vec::new());
        for item in phase5_paper().items {
            assert!(ids.insert(item.id), "{} twice", item.id);
            if let Proof::Units(units) = item.proof {
                let is_known =
                    |name: &&str| plan.iter().any(|unit| unit.definition().name == **name);
                assert!(units.iter().all(is_known), "{}", item.id);
            }
            assert_eq!(
                item.command.is_empty(),
                item.proof == Proof::Person,
                "{}",
                item.id
            );
        }
    }

    #[test]
    fn roles_are_known_however_they_are_spelled() {
        let paper = phase5_paper();
        assert_eq!(paper.role("qa-lead").expect("a role"), "QA Lead");
        assert_eq!(paper.role(" DevOps lead").expect("a role"), "DevOps Lead");
        assert_eq!(paper.role("CEO").expect_err("none").exit_code(), 2);
        assert_eq!(paper.item("nothing").expect_err("none").exit_code(), 2);
    }
}

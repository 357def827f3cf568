//! The vocabulary of the demo: tenants, people, agents and texts, all of them invented.

use super::random::Random;

/// A customer of the invented application.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) id: &'static str,
    /// Of a hundred campaigns or deals, how many are this tenant's.
    share: i64,
    products: [&'static str; 6],
    audiences: [&'static str; 4],
}

/// The three tenants: a large, a middling and a small one.
pub(super) const TENANTS: [Tenant; 3] = [
    Tenant {
        id: "example-bakery",
        share: 50,
        products: [
            "sourdough subscription",
            "Sunday brunch box",
            "rye starter kit",
            "gluten-free range",
            "office breakfast delivery",
            "baking course",
        ],
        audiences: [
            "young families",
            "home bakers",
            "office managers",
            "café owners",
        ],
    },
    Tenant {
        id: "sample-cycles",
        share: 30,
        products: [
            "folding e-bike",
            "cargo bike rental",
            "winter tyre service",
            "commuter helmet",
            "kids' balance bike",
            "company bike scheme",
        ],
        audiences: [
            "city commuters",
            "parents of toddlers",
            "HR teams",
            "weekend riders",
        ],
    },
    Tenant {
        id: "placeholder-travel",
        share: 20,
        products: [
            "night-train weekend",
            "harbour walking tour",
            "off-season spa stay",
            "team offsite package",
            "island-hopping pass",
            "rail explorer card",
        ],
        audiences: [
            "couples over fifty",
            "students",
            "remote teams",
            "solo travellers",
        ],
    },
];

/// One of the tenants, the large one most often.
pub(super) fn tenant(random: &mut Random) -> &'static Tenant {
    let mut at = random.below(TENANTS.iter().map(|tenant| tenant.share).sum());
    for tenant in &TENANTS {
        if at < tenant.share {
            return tenant;
        }
        at -= tenant.share;
    }
    &TENANTS[0]
}

/// An agent of the invented application, with the model that it uses.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: &'static str,
    pub(super) kind: &'static str,
    pub(super) model: &'static str,
}

/// The agents. `kind` is what feedback calls the agent's type.
pub(super) const AGENTS: [Agent; 8] = [
    Agent {
        id: "strategy-planner",
        kind: "Strategy",
        model: "fable-large-2",
    },
    Agent {
        id: "audience-finder",
        kind: "Strategy",
        model: "fable-mini-2",
    },
    Agent {
        id: "copy-writer",
        kind: "Copy",
        model: "fable-large-2",
    },
    Agent {
        id: "copy-editor",
        kind: "Copy",
        model: "fable-mini-2",
    },
    Agent {
        id: "headline-tester",
        kind: "Copy",
        model: "fable-mini-2",
    },
    Agent {
        id: "visual-designer",
        kind: "Visual",
        model: "easel-1",
    },
    Agent {
        id: "brand-checker",
        kind: "Visual",
        model: "easel-1",
    },
    Agent {
        id: "video-cutter",
        kind: "Video",
        model: "reel-1",
    },
];

/// Why an agent's execution failed.
pub(super) const FAILURES: [&str; 4] = [
    "model timed out",
    "rate limit reached",
    "answer was not valid JSON",
    "brand check rejected the draft",
];

/// Where campaigns are published.
pub(super) const PLATFORMS: [&str; 5] = ["linkedin", "instagram", "facebook", "email", "youtube"];

/// Who gives feedback.
pub(super) const PEOPLE: [&str; 5] = [
    "pat.placeholder",
    "sam.sample",
    "erin.example",
    "tess.testcase",
    "max.mockup",
];

/// What feedback says.
pub(super) const COMMENTS: [&str; 6] = [
    "Good tone, but the call to action comes too late.",
    "Exactly what we needed.",
    "The headline does not fit our brand.",
    "Too long for social media.",
    "Colours are off: please use the autumn palette.",
    "Numbers in the second paragraph look made up.",
];

const SEASONS: [&str; 5] = ["Spring", "Summer", "Autumn", "Winter", "Holiday"];
const GOALS: [&str; 5] = [
    "launch",
    "newsletter push",
    "win-back",
    "referral drive",
    "early-bird offer",
];
const TONES: [&str; 5] = [
    "warm and plain",
    "playful",
    "confident",
    "matter-of-fact",
    "quietly premium",
];
const CALLS: [&str; 4] = [
    "book a slot",
    "try it for a month",
    "reply with a question",
    "share it with a friend",
];

/// A campaign's name.
pub(super) fn campaign_name(random: &mut Random, tenant: &Tenant) -> String {
    let (season, product, goal) = (
        random.pick(&SEASONS),
        random.pick(&tenant.products),
        random.pick(&GOALS),
    );
    format!("{season} {product} – {goal}")
}

/// Whom a campaign addresses.
pub(super) fn audience(random: &mut Random, tenant: &Tenant) -> &'static str {
    random.pick::<&str>(&tenant.audiences)
}

/// A marketing prompt as a user types it; one in ten with stray white space around it.
pub(super) fn prompt(random: &mut Random, tenant: &Tenant, audience: &str) -> String {
    let (product, tone, call) = (
        random.pick(&tenant.products),
        random.pick(&TONES),
        random.pick(&CALLS),
    );
    let goal = random.pick(&GOALS);
    let words = random.int(6, 30) * 10;
    let text = match random.below(4) {
        0 => format!(
            "Write copy for our {product} ({goal}), aimed at {audience}. Tone: {tone}. Up to {words} words; ask readers to {call}."
        ),
        1 => format!(
            "Campaign: {goal}, {product}\nAudience: {audience}\nTone: {tone}\nCall to action: {call}"
        ),
        2 => format!(
            "Give me five posts about our {product} that make {audience} want to {call} — {tone}, no emojis, {words} words each."
        ),
        _ => format!(
            "Retell last year's \"{product}\" story for {audience}, as the {goal}: {tone}, {words} words, ending with \"{call}\"."
        ),
    };
    if random.percent(10) {
        format!("  {text}\n")
    } else {
        text
    }
}

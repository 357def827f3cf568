//! Ids and texts of every shape that people, libraries and languages produce.

use super::Maker;

/// Texts that break quoting, escaping, ordering or counting.
const TEXTS: [&str; 12] = [
    "plain",
    "O'Reilly \"quoted\" \\ back",
    "100 % _ ; -- /* */ $1 ? :name",
    "наследие",
    "naïve café",
    "nai\u{308}ve cafe\u{301}",
    "🚀👩‍👩‍👧 emoji",
    "line\nbreak\ttab\r",
    "",
    "null",
    "\u{feff}bom and \u{200b}zero width",
    "{\"json\": [1, 2]}",
];

impl Maker {
    /// A new id: unique, and of a shape that its neighbours need not share.
    pub(super) fn id(&mut self) -> String {
        self.next_id += 1;
        let n = self.next_id;
        let random = &mut self.random;
        match random.index(14) {
            0 | 1 => format!("c{n:05}{:019x}", random.bits()),
            2 => format!("{:08x}-0000-4000-8000-{n:012x}", random.bits() >> 32),
            3 => format!("{:08X}-0000-4000-8000-{n:012X}", random.bits() >> 32),
            4 => format!("Campaign-{n}-aB"),
            5 => format!("campaign-{n}-Ab"),
            6 => format!("кампания-{n}"),
            7 => format!("é{n}"),
            8 => format!("e\u{301}{n}"),
            9 => format!("🚀{n}"),
            10 => format!("it's \"{n}\" \\ 100% _ ;--"),
            11 => format!(" {n} padded "),
            12 => format!("{n:04}"),
            _ => format!("{}{n}", "ab".repeat(100)),
        }
    }

    /// A text that is odd half of the time.
    pub(super) fn text(&mut self) -> String {
        if self.random.chance(0.5) {
            TEXTS[0].to_owned()
        } else {
            self.random.pick(&TEXTS).to_owned()
        }
    }

    /// One of the tenants.
    pub(super) fn tenant(&mut self) -> String {
        self.random.pick(&self.tenants)
    }
}

//! Which series a PromQL query reads, so that it can be asked how old their newest samples are: a rate over five minutes
//! goes on for as long after its source has fallen silent.
//!
//! Not a parser: it finds names and braces, and leaves out functions, operators, lists of labels and strings. Where it
//! takes something for a selector that is none, Prometheus says so, and nothing passes.

/// Words of the language that are no metric's name where they stand by themselves.
const WORDS: [&str; 17] = [
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "atan2",
    "start",
    "end",
    "inf",
    "nan",
    "smoothed",
];

/// Words before a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// The selectors of a query without ranges and offsets, each once.
#[must_use]
pub fn selectors(query: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' | '`' => string(rest, first),
            // A range, the step of a subquery.
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '{' => {
                let length = braces(rest);
                push(&mut found, rest[..length].to_owned());
                length
            }
            '0'..='9' | '.' => span(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let length = span(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                name(&mut found, rest, length)
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    found
}

/// Takes a name of this length, and what belongs to it; gives the length of both.
fn name(found: &mut Vec<String>, rest: &str, length: usize) -> usize {
    let (name, after) = rest.split_at(length);
    let gap = after.len() - after.trim_start().len();
    let next = after[gap..].chars().next();
    let lower = name.to_ascii_lowercase();
    if LISTS.contains(&lower.as_str()) && next == Some('(') {
        let end = after.find(')').map_or(after.len(), |end| end + 1);
        return length + end;
    }
    if WORDS.contains(&lower.as_str()) || next == Some('(') {
        return length;
    }
    // An aggregation's list may stand before its operand: `sum by (le) (…)`.
    let is_aggregation = LISTS.iter().any(|word| {
        let tail = &after[gap..];
        tail.get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
            && tail[word.len()..].trim_start().starts_with('(')
            && AGGREGATIONS.contains(&lower.as_str())
    });
    if is_aggregation {
        return length;
    }
    let labels = match next {
        Some('{') => gap + braces(&after[gap..]),
        _ => 0,
    };
    push(found, rest[..length + labels].to_owned());
    length + labels
}

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
    "limit_ratio",
];

fn push(found: &mut Vec<String>, selector: String) {
    if !found.contains(&selector) {
        found.push(selector);
    }
}

/// How many bytes ahead are of a kind.
fn span(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|character| !is(character)).unwrap_or(text.len())
}

/// The length of the string that begins here, quotes included.
fn string(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (place, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if quote != '`' => is_escaped = true,
            _ if character == quote => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the braces that begin here, both included.
fn braces(text: &str) -> usize {
    let mut place = 1;
    while let Some(character) = text[place..].chars().next() {
        place += match character {
            '"' | '\'' | '`' => string(&text[place..], character),
            '}' => return place + 1,
            other => other.len_utf8(),
        };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::selectors;

    #[test]
    fn the_series_that_a_query_reads() {
        for (query, expected) in [
            ("up", vec!["up"]),
            (
                "sum(rate(http_requests_total{status=~\"5..\"}[5m])) / sum(rate(http_requests_total[5m]))",
                vec![
                    "http_requests_total{status=~\"5..\"}",
                    "http_requests_total",
                ],
            ),
            (
                "histogram_quantile(0.95, sum by (le, job) (rate(latency_bucket[5m] offset 1m)))",
                vec!["latency_bucket"],
            ),
            (
                "sum(a:b:rate5m) without (instance) / on(job) group_left(team) c{x=\"}\\\"(y)\"} > bool 1e3 or vector(0)",
                vec!["a:b:rate5m", "c{x=\"}\\\"(y)\"}"],
            ),
            ("{__name__='x', job=`y`}", vec!["{__name__='x', job=`y`}"]),
            ("sum {a=\"b\"} # by (c)", vec!["sum {a=\"b\"}"]),
            ("max_over_time(up[1h:1m] @ end()) - Inf", vec!["up"]),
            ("count(up) by (job) + COUNT BY (job) (up)", vec!["up"]),
            ("vector(1) + 5m", vec![]),
            ("\"down\"", vec![]),
            ("", vec![]),
            ("x{a=\"", vec!["x{a=\""]),
            ("ü(ä", vec![]),
        ] {
            assert_eq!(selectors(query), expected, "{query}");
        }
    }
}

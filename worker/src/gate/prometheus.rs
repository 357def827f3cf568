//! A Prometheus server: one number for a query, and how old the newest sample is that the query reads.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::Agent;

use super::http::{self, Authorities};
use super::selector;
use super::slo::Server;
use super::{Measured, Trouble};

/// An answer beyond this is none to a query for one number.
const MOST_BYTES: u64 = 1024 * 1024;

/// How much of the server's own words is kept.
const WORDS: usize = 200;

/// The server, with what it asks for.
#[derive(Clone)]
pub struct Client {
    server: Server,
    /// The value of the header `Authorization`.
    authorization: Option<String>,
    authorities: Option<Authorities>,
    /// How old the newest sample may be.
    max_age: Duration,
}

impl Client {
    /// A client. `authorization` is the value of the header of that name.
    #[must_use]
    pub fn new(
        server: Server,
        authorization: Option<String>,
        authorities: Option<Authorities>,
        max_age: Duration,
    ) -> Self {
        Self {
            server,
            authorization,
            authorities,
            max_age,
        }
    }

    /// Asks a query: blocks until there is an answer, at most until `deadline`.
    ///
    /// # Errors
    /// It gives no number, or other than one; what it reads is too old; the server does not answer, or not well.
    pub fn sample(&self, query: &str, deadline: Instant) -> Measured {
        let agent = http::agent(self.authorities.as_ref());
        let value = self.ask(&agent, query, deadline)?;
        let age = self.ask(&agent, &age_of(query), deadline);
        let age = age.map_err(|trouble| match trouble {
            Trouble::Gap(_) => {
                Trouble::Gap("none of the series that the query reads has a sample now".into())
            }
            other => other,
        })?;
        if age > self.max_age.as_secs_f64() {
            return Err(Trouble::Gap(format!(
                "what the query reads is stale: its newest sample is {age:.0} s old, and may be {}",
                humantime::format_duration(self.max_age)
            )));
        }
        Ok(value)
    }

    fn ask(&self, agent: &Agent, query: &str, deadline: Instant) -> Measured {
        let mut url = self.server.url.clone();
        let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().append_pair("query", query.trim());
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = self.server.timeout.min(left).max(Duration::from_millis(1));
        let mut request = agent
            .get(url.as_str())
            .config()
            .timeout_global(Some(timeout))
            .build();
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let about = |trouble: Trouble| match trouble {
            Trouble::Unreachable(why) => Trouble::Unreachable(format!("Prometheus: {why}")),
            Trouble::Gap(why) => Trouble::Gap(format!("Prometheus: {why}")),
            Trouble::Configuration(why) => Trouble::Configuration(format!("Prometheus: {why}")),
        };
        let told = |error| about(http::trouble(&error, timeout));
        let mut answer = request.call().map_err(told)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MOST_BYTES);
        let body = body.read_to_vec().map_err(told)?;
        read(status, &body).map_err(about)
    }
}

/// The seconds since the newest sample of the series that a query reads, of those that have the oldest one. Series that
/// have none now (an error that never happened) say nothing.
fn age_of(query: &str) -> String {
    let newest = selector::selectors(query)
        .into_iter()
        .enumerate()
        .map(|(place, selector)| {
            format!("label_replace(max(timestamp({selector})), \"of\", \"{place}\", \"\", \"\")")
        });
    let newest: Vec<_> = newest.collect();
    format!("time() - min({})", newest.join(" or "))
}

/// What the server answers. <https://prometheus.io/docs/prometheus/latest/querying/api/>
#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar(Point),
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    /// An ordinary one has this.
    value: Option<Point>,
}

/// When it was computed, and the number as text.
type Point = (f64, String);

fn read(status: u16, body: &[u8]) -> Measured {
    let gap = |why: String| Err(Trouble::Gap(why));
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(_) => {
            return match status {
                401 | 403 => Err(Trouble::Configuration(format!(
                    "it refuses the request (status {status}): see the token or the password in the file of targets"
                ))),
                300..=399 => Err(Trouble::Configuration(format!(
                    "it sends elsewhere (status {status}), which is not followed: give its own URL"
                ))),
                200 => gap("this is no answer of Prometheus".into()),
                404 => Err(Trouble::Configuration(
                    "there is no /api/v1/query at its URL (status 404)".into(),
                )),
                status => gap(format!("it answers with status {status}")),
            };
        }
    };
    if answer.status != "success" {
        let words = shorten(answer.error.as_deref().unwrap_or("it does not say why"));
        return match answer.error_type.as_deref() {
            Some("bad_data") => Err(Trouble::Configuration(format!(
                "it does not understand the query: {words}"
            ))),
            _ => gap(format!("it cannot answer: {words}")),
        };
    }
    if let Some(warning) = answer.warnings.first() {
        return gap(format!("its answer is not whole: {}", shorten(warning)));
    }
    let text = match answer.data {
        Some(Data::Scalar((_, text))) => text,
        Some(Data::Vector(series)) => match &series[..] {
            [] => return gap("the query gives no value".into()),
            [
                Series {
                    value: Some((_, text)),
                },
            ] => text.clone(),
            [_] => {
                return Err(Trouble::Configuration(
                    "the query gives a histogram, and no number".into(),
                ));
            }
            several => {
                return Err(Trouble::Configuration(format!(
                    "the query gives {} series where it must give one: sum them up, or choose one by its labels",
                    several.len()
                )));
            }
        },
        Some(Data::Matrix(_) | Data::String(_)) => {
            return Err(Trouble::Configuration("the query gives no number".into()));
        }
        None => return gap("its answer holds no data".into()),
    };
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(value) if value.is_nan() => {
            gap("the query gives NaN: what it divides by is zero, or there were no requests".into())
        }
        Ok(_) => gap("the query gives an infinite value".into()),
        Err(_) => gap("the query gives no number".into()),
    }
}

/// The beginning of somebody else's words, on one line.
fn shorten(words: &str) -> String {
    let plain = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = plain.chars().filter(|character| !character.is_control());
    plain.take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &str) -> String {
        format!("{{\"status\":\"success\",\"data\":{data}}}")
    }

    fn vector(results: &str) -> String {
        answer(&format!(
            "{{\"resultType\":\"vector\",\"result\":[{results}]}}"
        ))
    }

    #[test]
    fn one_number_is_a_value() {
        let one = vector("{\"metric\":{},\"value\":[1.5,\"0.25\"]}");
        let scalar = answer("{\"resultType\":\"scalar\",\"result\":[1,\"0.25\"]}");
        for body in [one, scalar] {
            let value = read(200, body.as_bytes()).expect("a value");
            assert!((value - 0.25).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn anything_else_is_none() {
        let series = "{\"metric\":{\"a\":\"1\"},\"value\":[1,\"2\"]}";
        let nan = "{\"metric\":{},\"value\":[1,\"NaN\"]}";
        for (status, body, word) in [
            (200, vector(""), "no value"),
            (200, vector(nan), "NaN"),
            (200, vector(&nan.replace("NaN", "+Inf")), "infinite"),
            (200, vector(&format!("{series},{series}")), "2 series"),
            (
                200,
                vector("{\"metric\":{},\"histogram\":[1,{}]}"),
                "histogram",
            ),
            (
                200,
                answer("{\"resultType\":\"matrix\",\"result\":[]}"),
                "no number",
            ),
            (
                200,
                vector(series).replacen('{', "{\"warnings\":[\"remote\\nread\"],", 1),
                "not whole: remote read",
            ),
            (
                400,
                "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}"
                    .into(),
                "understand the query: parse error",
            ),
            (
                503,
                "{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"late\"}".into(),
                "cannot answer: late",
            ),
            (502, "<html>".into(), "status 502"),
            (302, String::new(), "not followed"),
            (401, "no".into(), "token or the password"),
            (200, "<html>".into(), "no answer of Prometheus"),
        ] {
            let trouble = read(status, body.as_bytes()).expect_err(&body);
            assert!(trouble.why().contains(word), "{body}: {trouble:?}");
        }
    }

    #[test]
    fn ages_are_asked_of_all_that_a_query_reads() {
        assert_eq!(
            age_of("rate(a[5m]) / b{c=\"d\"}"),
            "time() - min(label_replace(max(timestamp(a)), \"of\", \"0\", \"\", \"\") or \
             label_replace(max(timestamp(b{c=\"d\"})), \"of\", \"1\", \"\", \"\"))"
        );
    }
}

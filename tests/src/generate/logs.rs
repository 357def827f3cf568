//! Log files as a log drain leaves them: tasks in several wrappings among lines of every other kind.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Maker;
use super::tasks::TaskStyle;
use crate::json::quoted;
use crate::source::LogFile;

/// Lines that are no agent task, broken ones among them.
const OTHERS: [&[u8]; 18] = [
    b"",
    b"   ",
    b"not json at all",
    b"{\"message\": \"GET /api/campaigns 200 in 12ms\", \"source\": \"lambda\"}",
    b"{\"message\": {\"level\": \"info\", \"text\": \"started\"}}",
    b"{\"message\": null}",
    b"{\"message\": 5}",
    b"{}",
    b"null",
    b"42",
    b"\"text\"",
    b"{\"message\": ",
    b"{\"campaignId\": \"x\", \"agentId\": \"only one of the three\"}",
    b"{\"message\": \"{\\\"campaignId\\\": \\\"x\\\"}\"}",
    b"{\"message\": {\"agentId\": \"a\", \"completedAt\": \"2023-01-01T00:00:00Z\", \"success\": true}}",
    b"{\"message\": \"braces { without } any { sense\"}",
    b"\xff\xfe broken \xc3\x28 bytes",
    b"{\"message\": \"half a task {\\\"campaignId\\\": \\\"x\\\", \\\"success\\\": tr\"}",
];

impl Maker {
    /// A plain file and a compressed one.
    pub(super) fn make_logs(&mut self) -> Vec<LogFile> {
        if self.profile.log_lines == 0 {
            return Vec::new();
        }
        let plain = self.log_text();
        let (first, second) = (self.log_text(), self.log_text());
        // Rotated logs are often joined: two compressed members in one file.
        let mut joined = compress(&first);
        joined.extend(compress(&second));
        vec![
            LogFile {
                name: "drain.ndjson".to_owned(),
                bytes: plain,
            },
            LogFile {
                name: "drain.1.ndjson.gz".to_owned(),
                bytes: joined,
            },
        ]
    }

    fn log_text(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..self.profile.log_lines {
            bytes.extend(self.log_line(number));
            bytes.extend(if self.random.chance(0.1) {
                b"\r\n".as_slice()
            } else {
                b"\n"
            });
        }
        // A file need not end in a line feed, and the next member starts on the same line then.
        if self.random.chance(0.3) {
            bytes.pop();
        }
        bytes
    }

    fn log_line(&mut self, number: usize) -> Vec<u8> {
        if self.profile.large && number == 7 {
            return format!("{{\"message\": {}}}", quoted(&"noise ".repeat(500_000))).into_bytes();
        }
        if self.random.chance(0.3) {
            return self.random.pick(&OTHERS).to_vec();
        }
        let unknown = self.is_bad() && self.random.chance(0.3);
        let campaign = if unknown {
            "no-such-campaign".to_owned()
        } else {
            self.random.pick(&self.campaigns)
        };
        let style = TaskStyle {
            named: true,
            nul: true,
            large: self.profile.large,
        };
        let mut task = self.task_object(&campaign, style);
        if unknown && self.random.chance(0.3) {
            let other = self.random.pick(&["4711", "\"c\\u0000\""]);
            task = task.replacen(&quoted(&campaign), other, 1);
        }
        let wrapped = match self.random.index(9) {
            0 => return task.into_bytes(),
            1 | 2 => task,
            3 => quoted(&task),
            5 => format!("{{\"level\": \"in{{fo\", \"tasks\": [1, {{\"deep\": {task}}}]}}"),
            6 => format!("[null, {task}]"),
            7 => quoted(&format!("done: {{\"attempts\": [{{\"task\": {task}}}]}}")),
            4 => quoted(&format!(
                "[agent] attempt {{\"attempt\": 2}} of {{three}} done: {task} in 12ms"
            )),
            _ => quoted(&format!("INFO agent completed {task}")),
        };
        let stamp = self.profile.as_of.0;
        format!("{{\"id\": \"{number}\", \"timestamp\": {stamp}, \"source\": \"lambda\", \"message\": {wrapped}}}")
            .into_bytes()
    }
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing into memory succeeds")
}

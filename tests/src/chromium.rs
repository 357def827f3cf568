//! A real browser without a window, driven through a pipe: what a person would see of a page, and what they would find in the
//! browser's console.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::scratch;

/// How long an answer may take, or what is waited for.
const LIMIT: Duration = Duration::from_secs(120);

/// It speaks on the descriptors 3 and 4, which a shell puts there.
const START: &str = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// Nothing but what is asked for, and nothing of a user's.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A running browser.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    last: u64,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// How wide the window is.
    pub width: u32,
    /// Whether it should be dark.
    pub dark: bool,
    /// Whether scripts run.
    pub scripts: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            width: 1_280,
            dark: false,
            scripts: true,
        }
    }
}

/// A page that is open.
#[derive(Clone, Debug)]
pub struct Tab {
    session: String,
    target: Value,
}

impl Chromium {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let folder = scratch::folder("chromium")?;
        let mut child = Command::new("bash")
            .args(["-c", START, "chromium"])
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .args(FLAGS)
            .env("HOME", &folder)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .spawn()
            .context(
                "start chromium; install the package chromium (Debian: apt-get install chromium)",
            )?;
        let stdin = child.stdin.take().context("a piped standard input")?;
        let mut stdout = BufReader::new(child.stdout.take().context("a piped standard output")?);
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while stdout.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
                bytes.pop();
                let message = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                bytes.clear();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            stdin,
            messages,
            events: VecDeque::new(),
            last: 0,
        })
    }

    /// Opens an empty page.
    pub fn open(&mut self, look: Look) -> Result<Tab> {
        let target = self.call(
            None,
            "Target.createTarget",
            &json!({ "url": "about:blank" }),
        )?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", &attach)?;
        let session = attached["sessionId"]
            .as_str()
            .context("a session")?
            .to_owned();
        let tab = Tab {
            session,
            target: target["targetId"].clone(),
        };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.tell(&tab, &format!("{domain}.enable"), &json!({}))?;
        }
        let size =
            json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.tell(&tab, "Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.tell(&tab, "Emulation.setEmulatedMedia", &media)?;
        let scripts = json!({ "value": !look.scripts });
        self.tell(&tab, "Emulation.setScriptExecutionDisabled", &scripts)?;
        Ok(tab)
    }

    /// Closes a page.
    pub fn close(&mut self, tab: &Tab) -> Result<()> {
        let target = json!({ "targetId": tab.target });
        self.call(None, "Target.closeTarget", &target)?;
        Ok(())
    }

    /// Shows a page before all others, which nobody sees then.
    pub fn front(&mut self, tab: &Tab) -> Result<()> {
        self.tell(tab, "Page.bringToFront", &json!({}))?;
        Ok(())
    }

    /// Goes to an address, and waits until the page is loaded.
    pub fn go(&mut self, tab: &Tab, url: &str) -> Result<()> {
        let seen = self.events.len();
        let went = self.tell(tab, "Page.navigate", &json!({ "url": url }))?;
        ensure!(
            went.get("errorText").is_none(),
            "{url}: {}",
            went["errorText"]
        );
        let began = Instant::now();
        let is_loaded = |event: &Value| {
            event["method"] == "Page.loadEventFired" && event["sessionId"] == *tab.session
        };
        while !self.events.iter().skip(seen).any(is_loaded) {
            ensure!(began.elapsed() < LIMIT, "{url} is not loaded");
            self.listen(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// What an expression gives in the page.
    pub fn eval(&mut self, tab: &Tab, expression: &str) -> Result<Value> {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let given = self.tell(tab, "Runtime.evaluate", &asked)?;
        ensure!(
            given.get("exceptionDetails").is_none(),
            "{expression}: {given}"
        );
        Ok(given["result"]["value"].clone())
    }

    /// Waits until an expression is true in the page.
    pub fn wait(&mut self, tab: &Tab, expression: &str) -> Result<()> {
        let began = Instant::now();
        while self.eval(tab, expression)? != true {
            if began.elapsed() > LIMIT {
                let text = self.eval(tab, "document.body.innerText")?;
                bail!("{expression} does not come true: {text}");
            }
            self.listen(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// The page's HTML as it stands, also where no scripts run.
    pub fn html(&mut self, tab: &Tab) -> Result<String> {
        let document = self.tell(tab, "DOM.getDocument", &json!({}))?;
        let node = json!({ "nodeId": document["root"]["nodeId"] });
        let html = self.tell(tab, "DOM.getOuterHTML", &node)?;
        Ok(html["outerHTML"].as_str().context("HTML")?.to_owned())
    }

    /// Presses a key.
    pub fn press(&mut self, tab: &Tab, key: &str, code: u32) -> Result<()> {
        for kind in ["rawKeyDown", "keyUp"] {
            let pressed =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.tell(tab, "Input.dispatchKeyEvent", &pressed)?;
        }
        Ok(())
    }

    /// What the whole page looks like, as PNG.
    pub fn shoot(&mut self, tab: &Tab, path: &Path) -> Result<()> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.tell(tab, "Page.captureScreenshot", &whole)?;
        let text = shot["data"].as_str().context("a picture")?;
        std::fs::write(path, base64(text)?).with_context(|| path.display().to_string())
    }

    /// What the browser complains of so far: errors and warnings of the console, violations of the policy, exceptions.
    pub fn complaints(&mut self) -> Result<Vec<String>> {
        self.listen(Duration::from_millis(300))?;
        let is_complaint = |event: &&Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => event["params"]["type"] != "log",
            "Log.entryAdded" => event["params"]["entry"]["level"] != "info",
            _ => false,
        };
        Ok(self
            .events
            .iter()
            .filter(is_complaint)
            .map(ToString::to_string)
            .collect())
    }

    /// Every address that the browser asked for so far.
    pub fn requests(&mut self) -> Result<Vec<String>> {
        self.listen(Duration::from_millis(300))?;
        let asked = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        Ok(asked
            .filter_map(|event| event["params"]["request"]["url"].as_str())
            .map(str::to_owned)
            .collect())
    }

    fn tell(&mut self, tab: &Tab, method: &str, params: &Value) -> Result<Value> {
        self.call(Some(&tab.session), method, params)
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<Value> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.stdin
            .write_all(&bytes)
            .context("the browser has ended")?;
        self.stdin.flush()?;
        let began = Instant::now();
        loop {
            ensure!(began.elapsed() < LIMIT, "no answer to {method}");
            let Some(message) = self.next(Duration::from_millis(200))? else {
                continue;
            };
            if message["id"] == self.last {
                ensure!(
                    message.get("error").is_none(),
                    "{method}: {}",
                    message["error"]
                );
                return Ok(message["result"].clone());
            }
            self.events.push_back(message);
        }
    }

    /// Takes what the browser tells in this time.
    fn listen(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if let Some(event) = self.next(left)? {
                self.events.push_back(event);
            }
        }
        Ok(())
    }

    fn next(&self, time: Duration) -> Result<Option<Value>> {
        match self.messages.recv_timeout(time) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the browser has ended"),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let close = [br#"{"id":0,"method":"Browser.close"}"#.as_slice(), &[0]].concat();
        // One that has ended already is closed as well.
        let _ = self
            .stdin
            .write_all(&close)
            .and_then(|()| self.stdin.flush());
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes from their text.
fn base64(text: &str) -> Result<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let place = LETTERS
            .iter()
            .position(|known| *known == letter)
            .context("base64")?;
        held = (held << 6) | u32::try_from(place)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff)?);
        }
    }
    Ok(bytes)
}

//! A Chromium without a window, driven over its DevTools protocol: a WebSocket with JSON, so that it takes no driver.

use crate::websocket::{Heard, WebSocket};
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How long a page may take for what a test waits for, nanoseconds.
const DEADLINE_NS: u64 = 60_000_000_000;

pub(crate) struct Chromium {
    process: Child,
    socket: WebSocket,
    session: String,
    last_id: u64,
    /// What the page's console was told of errors.
    pub(crate) errors: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts one, if it is installed.
    pub(crate) fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--hide-scrollbars", "--remote-debugging-port=0", "--accept-lang=zh-CN"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = log.find(|line| line.starts_with("DevTools listening on ")).expect("Chromium starts");
        // Else a log that nobody reads would hold it up.
        std::thread::spawn(move || log.count());
        let (address, path) = line.split_once("ws://").unwrap().1.split_once('/').unwrap();
        let socket = WebSocket::connect_with(address.parse().unwrap(), &format!("/{path}"), "").unwrap();
        let errors = Vec::new();
        let mut this =
            Self { process, socket, session: String::new(), last_id: 0, errors, _profile: profile };
        let target = this.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        this.session = this.call("Target.attachToTarget", attached)["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            this.call(&format!("{domain}.enable"), json!({}));
        }
        Some(this)
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket.say(&message.to_string());
        loop {
            let Heard::Text(text) = self.socket.hear() else { panic!("Chromium has ended") };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.last_id {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    /// Exceptions and refusals of the page's policy are errors; that the network is down is not.
    fn note(&mut self, event: &Value) {
        let entry = &event["params"]["entry"];
        let bad = entry["level"] == "error" && entry["source"] != "network";
        if event["method"] == "Runtime.exceptionThrown" || bad {
            self.errors.push(event.to_string());
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let wanted = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", wanted);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text of the first element that a selector finds.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let found = self.value(&format!("document.querySelector({selector:?})?.textContent ?? ''"));
        found.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let clock = transport::Clock::start();
        while self.value(expression) != true {
            if clock.now_ns() > DEADLINE_NS {
                let page = self.value("document.body?.innerText ?? ''");
                panic!(
                    "still not true: {expression}; errors {:?}; the page:\n{}",
                    self.errors,
                    page.as_str().unwrap()
                );
            }
        }
    }

    pub(crate) fn click(&mut self, selector: &str) {
        self.value(&format!("document.querySelector({selector:?}).click()"));
    }

    /// Presses keys: characters, `Enter` and `Escape`.
    pub(crate) fn press(&mut self, keys: &[&str]) {
        for key in keys {
            let mut down = json!({"type": "keyDown", "key": key});
            match *key {
                "Escape" => down["windowsVirtualKeyCode"] = json!(27),
                "Enter" => down["windowsVirtualKeyCode"] = json!(13),
                character => down["text"] = json!(character),
            }
            self.call("Input.dispatchKeyEvent", down);
            self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key}));
        }
    }

    pub(crate) fn viewport(&mut self, width: u32, height: u32, phone: bool) {
        let scale = if phone { 2 } else { 1 };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self.call("Emulation.setTouchEmulationEnabled", json!({"enabled": phone}));
    }

    /// Writes what it shows to a PNG file in the target folder.
    pub(crate) fn screenshot(&mut self, name: &str) {
        self.value(
            "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(0))))",
        );
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("board");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if self.process.kill().is_ok() && !std::thread::panicking() {
            self.process.wait().unwrap();
        }
    }
}

//! A headless Chromium, driven as a user would: by chromedriver, over HTTP.
//! Source: w3.org/TR/webdriver2.

use super::program::{Program, Running};
use super::{scratch, skip};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The key under which WebDriver hands out elements (section 12.1, web element identifier).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window.
pub struct Browser {
    port: u16,
    session: String,
    /// Dropped last: it ends the browser.
    _driver: Running,
}

impl Browser {
    /// Starts one; without Chromium the case is skipped.
    pub fn start(name: &str) -> Option<Browser> {
        let binary = skip::command("chromium")?;
        let driver = skip::command("chromedriver")?;
        let driver = Program::new(driver).arg("--port=0").start();
        let before_port = "started successfully on port ";
        driver.wait_for_stdout(before_port);
        let so_far = driver.stdout.text().find(before_port).unwrap_or(0) + before_port.len();
        driver.wait_for_stdout_beyond(so_far, ".");
        let told = driver.stdout.text();
        let port = told[so_far..].split('.').next();
        let port = port.and_then(|port| port.parse().ok());
        let mut browser = Browser {
            port: port.unwrap_or_else(|| panic!("no port in {told:?}")),
            session: String::new(),
            _driver: driver,
        };
        let data = scratch(name);
        let answer = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"binary": binary, "args": [
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--window-size=1280,1400",
                    format!("--user-data-dir={}", data.display()),
                ]},
            }}}),
        );
        let session = answer["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{session}");
        Some(browser)
    }

    /// Opens a file.
    pub fn open(&self, file: &Path) {
        self.post("/url", json!({"url": format!("file://{}", file.display())}));
    }

    /// The text of the first element that the selector finds.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let found = self.run(&format!(
            "return document.querySelector({})?.textContent",
            json!(selector)
        ));
        let found = found.as_str().map(str::to_owned);
        found.unwrap_or_else(|| panic!("no {selector} in the page"))
    }

    /// What a function body returns in the page.
    #[track_caller]
    pub fn run(&self, body: &str) -> Value {
        self.post("/execute/sync", json!({"script": body, "args": []}))
    }

    /// Clicks in the middle of the element that an XPath finds.
    #[track_caller]
    pub fn click(&self, path: &str) {
        let element = self.element(path);
        self.post(&format!("/element/{element}/click"), json!({}));
    }

    /// Types into the element that an XPath finds.
    #[track_caller]
    pub fn type_into(&self, path: &str, text: &str) {
        let element = self.element(path);
        self.post(&format!("/element/{element}/value"), json!({"text": text}));
    }

    #[track_caller]
    fn element(&self, path: &str) -> String {
        let found = self.post("/element", json!({"using": "xpath", "value": path}));
        let element = found[ELEMENT].as_str();
        element.unwrap_or_else(|| panic!("{path}")).to_owned()
    }

    /// Goes back, as the browser's button does.
    pub fn back(&self) {
        self.post("/back", json!({}));
    }

    /// Prefers light or dark: `light`, `dark`.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command = "Emulation.setEmulatedMedia";
        let parameters = json!({"cmd": command, "params": {"features": features}});
        self.post("/goog/cdp/execute", parameters);
    }

    /// What the console has complained of since it was last asked, and whatever else it says.
    pub fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(Value::to_string).collect()
    }

    /// Waits for something to hold in the page.
    #[track_caller]
    pub fn wait_for(&self, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.run(&format!("return Boolean({condition})")) != Value::Bool(true) {
            assert!(Instant::now() < deadline, "never: {condition}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Leaves a picture of the window for whoever wants to look, and returns its name.
    pub fn picture(&self, name: &str) -> String {
        let encoded = self.ask("GET", &format!("{}/screenshot", self.session), &json!({}));
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        let encoded = encoded.as_str().expect("a picture");
        std::fs::write(&picture, base64(encoded)).expect("a picture's file");
        picture.display().to_string()
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), &body)
    }

    /// One request: the value of the answer.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a timeout");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            if method == "GET" { 0 } else { body.len() }
        );
        stream.write_all(head.as_bytes()).expect("a request");
        if method != "GET" {
            stream.write_all(body.as_bytes()).expect("a request");
        }
        let mut answer: Value = serde_json::from_str(&content(stream)).expect("JSON");
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{method} {path} {body}: {value}");
        value
    }
}

/// The body of an HTTP answer.
fn content(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let read = stream.read(&mut piece).expect("an answer");
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(read > 0, "no answer: {text}");
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        if read == 0 || length.is_some_and(|length| body.len() >= length) {
            return body.to_owned();
        }
    }
}

/// Decodes base64 (RFC 4648, section 4).
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(u32::from).collect();
    let groups = digits.chunks(4).flat_map(|group| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | group.get(at).unwrap_or(&0));
        let bytes = bits.to_be_bytes();
        bytes[1..group.len().max(1)].to_vec()
    });
    groups.collect()
}

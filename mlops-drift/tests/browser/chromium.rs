//! A headless Chromium, spoken to in the DevTools protocol over a pipe.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// The longest a browser may take for one answer; far more than it needs, so that a hanging one ends the test.
const PATIENCE: Duration = Duration::from_secs(120);

/// One browser at a time: small machines have memory for one.
static ONE: Mutex<()> = Mutex::new(());

/// A screen and what its owner prefers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) dark: bool,
}

/// A browser that reaches no network, with at most one page open.
pub(super) struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    sent: u64,
    page: Option<(String, String)>,
    /// What the open page has done since it was opened.
    events: Vec<Value>,
    folder: PathBuf,
    _one: MutexGuard<'static, ()>,
}

impl Browser {
    /// The browser that `MLOPS_TEST_CHROMIUM` names; nothing, and a word about it, where it names none.
    pub(super) fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("MLOPS_TEST_CHROMIUM").filter(|program| !program.is_empty())
        else {
            println!("skipped: MLOPS_TEST_CHROMIUM names no browser");
            return None;
        };
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        // The protocol is spoken on the descriptors 3 and 4, which a shell can lay out without unsafe code.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--remote-debugging-pipe",
                "--no-first-run",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .env("HOME", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("log.txt")).unwrap())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let messages = listen(BufReader::new(process.stdout.take().unwrap()));
        Some(Self { process, commands, messages, sent: 0, page: None, events: Vec::new(), folder, _one: one })
    }

    /// Writes a page to a file.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Opens a file in place of what is open, and waits until it is loaded and drawn.
    pub(super) fn open(&mut self, file: &Path, screen: Screen) {
        self.close();
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        self.page = Some((word(&target), word(&attached["sessionId"])));
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        let Screen { width, height, dark } = screen;
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.call("Emulation.setEmulatedMedia", json!({"features": [scheme]}));
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", file.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.receive();
            self.events.push(event);
        }
        let drawn =
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))";
        assert_eq!(self.evaluate(drawn), true);
    }

    fn close(&mut self) {
        if let Some((target, _)) = self.page.take() {
            self.call("Target.closeTarget", json!({"targetId": target}));
        }
    }

    /// What an expression comes to in the open page, waiting for promises.
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let arguments = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", arguments);
        assert!(answer["exceptionDetails"].is_null(), "{answer:#}");
        answer["result"]["value"].clone()
    }

    /// A picture of the whole page as PNG in base64.
    pub(super) fn screenshot(&mut self, width: f64, height: f64) -> String {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let answer =
            self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip}));
        answer["data"].as_str().unwrap().to_owned()
    }

    /// The addresses that the open page has asked for, itself included.
    pub(super) fn requests(&self) -> Vec<String> {
        self.of("Network.requestWillBeSent").map(|params| params["request"]["url"].to_string()).collect()
    }

    /// What the open page has complained about: messages on the console, exceptions, violations of its policy.
    pub(super) fn complaints(&self) -> Vec<String> {
        let messages = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"];
        messages.into_iter().flat_map(|method| self.of(method)).map(Value::to_string).collect()
    }

    fn of<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Value> {
        let session = self.page.as_ref().map(|(_, session)| session.as_str());
        let mine = move |event: &&Value| event["method"] == method && event["sessionId"].as_str() == session;
        self.events.iter().filter(mine).map(|event| &event["params"])
    }

    /// Sends a command to the open page, or to the browser where there is none, and returns its answer.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut command = json!({"id": self.sent, "method": method, "params": params});
        if let Some((_, session)) = self.page.as_ref().filter(|_| !method.starts_with("Target.")) {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap_or_else(|e| panic!("{method}: {e}: {}", self.log()));
        loop {
            let message = self.receive();
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn receive(&self) -> Value {
        self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("the browser: {e}: {}", self.log()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default()
    }
}

/// Messages end with a NUL.
fn listen(mut answers: impl std::io::BufRead + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        while answers.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
            let message = bytes.strip_suffix(&[0]).and_then(|text| serde_json::from_slice(text).ok());
            if message.is_none_or(|message: Value| sender.send(message).is_err()) {
                break;
            }
            bytes.clear();
        }
    });
    receiver
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

//! The official client, in a process of Node.js: told what to do, and telling what happens.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long anything may take. No test waits that long unless it fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The folder with the packages and scripts of the tests.
pub fn js_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
    assert!(
        folder.join("node_modules/socket.io-client").is_dir(),
        "this test needs Node 18 or newer and the packages of edge/tests/js: run `npm ci` in that folder"
    );
    folder
}

/// A client of one namespace.
pub struct Client {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What has been told and nobody has asked for yet.
    told: VecDeque<Value>,
    acks: u64,
    id: String,
}

/// Options that make it use one transport only.
pub fn over(transport: &str) -> Value {
    json!({"transports": [transport]})
}

impl Client {
    /// Starts a client that connects to `url` (a namespace is its path) over WebSocket.
    pub async fn start(url: &str) -> Self {
        Self::start_with(url, over("websocket")).await
    }

    /// Starts a client with these options of the library.
    pub async fn start_with(url: &str, options: Value) -> Self {
        let mut child = Command::new("node")
            .arg(js_folder().join("gateway_client.mjs"))
            .args([url, &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs `node`, which cannot be started: {error}"));
        Self {
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
            told: VecDeque::new(),
            acks: 0,
            id: String::new(),
        }
    }

    /// Tells it to do something.
    pub async fn tell(&mut self, command: Value) {
        let line = format!("{command}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    /// Emits an event.
    pub async fn emit(&mut self, event: &str, args: Value) {
        self.tell(json!({"do": "emit", "event": event, "args": args}))
            .await;
    }

    /// Emits an event and waits for its acknowledgement.
    pub async fn ask(&mut self, event: &str, args: Value) -> Value {
        let ack = self.emit_with_ack(event, args).await;
        self.ack(ack).await
    }

    /// Emits an event and returns the number of its acknowledgement.
    pub async fn emit_with_ack(&mut self, event: &str, args: Value) -> u64 {
        self.acks += 1;
        let command = json!({"do": "emit", "event": event, "args": args, "ack": self.acks});
        self.tell(command).await;
        self.acks
    }

    /// The argument of an acknowledgement.
    pub async fn ack(&mut self, ack: u64) -> Value {
        let mut told = self
            .find(&format!("acknowledgement {ack}"), |told| {
                told["type"] == "ack" && told["ack"] == ack
            })
            .await;
        let args = told["args"].as_array_mut().unwrap();
        assert_eq!(args.len(), 1);
        args.remove(0)
    }

    /// Waits until it is connected; returns what it tells of that.
    pub async fn connected(&mut self) -> Value {
        let told = self.find("a connection", |told| told["type"] == "connect").await;
        self.id = told["id"].as_str().unwrap().to_owned();
        told
    }

    /// Its `id`, as it was told last.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits until it has lost its connection; returns the reason.
    pub async fn disconnected(&mut self) -> String {
        let told = self
            .find("a disconnect", |told| told["type"] == "disconnect")
            .await;
        told["reason"].as_str().unwrap().to_owned()
    }

    /// The next event, whatever was told of other things.
    pub async fn event(&mut self) -> Event {
        let told = self.find("an event", |told| told["type"] == "event").await;
        Event {
            name: told["name"].as_str().unwrap().to_owned(),
            args: told["args"].as_array().unwrap().clone(),
            offset: told["offset"].as_str().map(str::to_owned),
        }
    }

    /// The next event that the edge itself does not tell of a stream.
    pub async fn ordinary(&mut self) -> Event {
        loop {
            let event = self.event().await;
            if !event.name.starts_with("stream:") {
                return event;
            }
        }
    }

    /// Takes events until `stream:caught_up` of this stream; returns those before it.
    pub async fn until_caught_up(&mut self, stream: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            if event.name == "stream:caught_up" && event.args[0]["stream"] == stream {
                return events;
            }
            events.push(event);
        }
    }

    /// Takes what was told for which `wanted` holds, the oldest first; what comes before it stays for others.
    pub async fn find(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.told.iter().position(&wanted) {
            return self.told.remove(at).unwrap();
        }
        let search = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("the client ended before {what}"));
                let told: Value = serde_json::from_str(&line).unwrap();
                if wanted(&told) {
                    return told;
                }
                self.told.push_back(told);
            }
        };
        let found = tokio::time::timeout(DEADLINE, search).await;
        found.unwrap_or_else(|_| panic!("waited too long for {what}; told: {:?}", self.told))
    }

    /// Takes what was told of this type and has been read already.
    pub fn told_already(&mut self, kind: &str) -> Option<Value> {
        let at = self.told.iter().position(|told| told["type"] == kind)?;
        self.told.remove(at)
    }

    /// What was told until now of events, without waiting: an acknowledgement that comes behind them is waited for.
    pub async fn events_so_far(&mut self) -> Vec<Event> {
        // Whatever was sent before the answer has been read before it.
        self.ask("surely-unknown", json!([])).await;
        let mut events = Vec::new();
        while self.told.iter().any(|told| told["type"] == "event") {
            events.push(self.event().await);
        }
        events
    }
}

/// An event as its handlers get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    /// The data, then the meta object.
    pub args: Vec<Value>,
    pub offset: Option<String>,
}

impl Event {
    /// What it says where it is from.
    pub fn meta(&self) -> &Value {
        self.args.last().unwrap()
    }

    /// The data, of an event that has one argument.
    pub fn data(&self) -> &Value {
        assert_eq!(self.args.len(), 2, "{self:?}");
        &self.args[0]
    }
}

//! Official Socket.IO clients, in Node.js.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The options of a client that stays with one transport and comes back soon.
pub fn options(transport: &str) -> Value {
    json!({"transports": [transport], "reconnectionDelay": 50, "reconnectionDelayMax": 100})
}

/// A process with clients, which do what they are told and tell what happens to them; see `socketio_client.mjs`.
pub struct Clients {
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What was told and not asked for yet.
    told: VecDeque<Value>,
    _child: Child,
}

impl Clients {
    pub fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
        assert!(
            folder.join("node_modules/socket.io-client").is_dir(),
            "this test needs Node 18 or newer and the packages of edge/tests/js: run `npm ci` in that folder"
        );
        let mut child = Command::new("node")
            .arg(folder.join("socketio_client.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs Node 18 or newer, which cannot be started: {error}")
            });
        Self {
            orders: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            told: VecDeque::new(),
            _child: child,
        }
    }

    /// Tells a socket what to do.
    pub async fn order(&mut self, socket: &str, order: &str, mut more: Value) {
        more["do"] = json!(order);
        more["socket"] = json!(socket);
        self.orders
            .write_all(format!("{more}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Opens a socket under a name.
    pub async fn open(&mut self, socket: &str, url: &str, options: Value) {
        self.order(socket, "open", json!({"url": url, "options": options}))
            .await;
    }

    /// Opens a socket and waits until it is connected; returns its ID.
    pub async fn connected(&mut self, socket: &str, url: &str, options: Value) -> String {
        self.open(socket, url, options).await;
        let connect = self.hear(socket, "connect").await;
        connect["id"].as_str().unwrap().to_owned()
    }

    pub async fn emit(&mut self, socket: &str, args: Value) {
        self.order(socket, "emit", json!({"args": args})).await;
    }

    /// Emits an event and waits for the arguments of its acknowledgement.
    pub async fn ask(&mut self, socket: &str, args: Value) -> Value {
        self.order(socket, "emit", json!({"args": args, "ack": true}))
            .await;
        self.hear(socket, "ack").await["args"].take()
    }

    /// Waits until a socket tells something of this kind.
    pub async fn hear(&mut self, socket: &str, told: &str) -> Value {
        let is_it = |line: &Value| line["socket"] == socket && line["told"] == told;
        if let Some(at) = self.told.iter().position(is_it) {
            return self.told.remove(at).unwrap();
        }
        loop {
            let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await;
            let line =
                line.unwrap_or_else(|_| panic!("{socket} does not tell {told:?}, but {:?}", self.told));
            let line = line
                .unwrap()
                .unwrap_or_else(|| panic!("the clients have died; told: {:?}", self.told));
            let line = serde_json::from_str(&line).unwrap();
            if is_it(&line) {
                return line;
            }
            self.told.push_back(line);
        }
    }

    /// The arguments of the next event.
    pub async fn event(&mut self, socket: &str) -> Value {
        self.hear(socket, "event").await["args"].take()
    }

    /// How a socket sees itself, behind everything that happened to it before.
    pub async fn state(&mut self, socket: &str) -> Value {
        self.order(socket, "state", json!({})).await;
        self.hear(socket, "state").await
    }

    /// What was told of this kind and not asked for, as far as it has been read.
    pub fn unheard(&self, socket: &str, told: &str) -> Vec<&Value> {
        let lines = self.told.iter();
        lines
            .filter(|line| line["socket"] == socket && line["told"] == told)
            .collect()
    }
}

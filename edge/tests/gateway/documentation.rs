//! Runs every example of packets in `docs/socketio.md` against a real edge.
//!
//! An example is a block marked `packets`: messages that the client sends (`>`) and gets (`<`), binary ones as
//! hexadecimal digits, and things that happen elsewhere (`$`). Its clock stands at the beginning of 2026 and moves on by
//! a second with each thing that happens elsewhere. So the edge must say word for word what is written, except for
//! the two names that it draws at random.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Log, MemoryClock, MemoryConfig, MemoryLog, NewEvent};
use edge::config::Config;
use futures_util::{SinkExt as _, StreamExt as _};
use regex::Regex;
use shared::{Event, Payload, StreamName, Text};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use crate::client::DEADLINE;
use crate::support::TestEdge;

const DOCUMENT: &str = include_str!("../../docs/socketio.md");

/// The time at which an example begins.
const FIRST_MS: u64 = 1_767_225_600_000;
/// The names that stand in the document for those that an edge draws.
const SID: &str = "k3Jx9aQwRtYuIoPasDfG";
const PID: &str = "Zk8wQ1nXh2LrT6bVmC4yDs0E";

/// The lines of each example.
fn examples() -> Vec<Vec<&'static str>> {
    let mut parts = DOCUMENT.split("```");
    parts.next();
    let blocks = parts
        .step_by(2)
        .filter_map(|block| block.strip_prefix("packets\n"));
    blocks.map(|block| block.lines().collect()).collect()
}

struct Stage {
    edge: TestEdge,
    log: Arc<MemoryLog>,
    clock: MemoryClock,
    socket: WebSocketStream<TcpStream>,
    /// What the edge has drawn.
    names: Option<(String, String)>,
}

impl Stage {
    async fn new() -> Self {
        let config = Config::default();
        let clock = MemoryClock::manual(FIRST_MS);
        let log = MemoryLog::new(MemoryConfig {
            clock: clock.clone(),
            ..config.memory_config()
        });
        let edge = TestEdge::start_on(Arc::clone(&log) as Arc<dyn Log>, config).await;
        let socket = connect(&edge).await;
        Self {
            edge,
            log,
            clock,
            socket,
            names: None,
        }
    }

    async fn send(&mut self, message: &str) {
        let message = match binary(message) {
            Some(bytes) => Message::binary(bytes),
            None => Message::text(self.translated(message, true)),
        };
        self.socket.send(message).await.unwrap();
    }

    async fn next(&mut self) -> String {
        let message = tokio::time::timeout(DEADLINE, self.socket.next()).await;
        let message = message
            .expect("a message in time")
            .expect("the socket lives")
            .unwrap();
        match message.as_text() {
            Some(text) => self.translated(text, false),
            None => {
                let digits: Vec<String> = message
                    .as_payload()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("<{}>", digits.join(" "))
            }
        }
    }

    /// Puts the names of the document for those of the edge, or the other way round.
    fn translated(&mut self, text: &str, to_edge: bool) -> String {
        if self.names.is_none() {
            let opened = Regex::new(r#"^40\{"sid":"([\w-]{20})","pid":"([\w-]{24})"\}$"#).unwrap();
            self.names = opened
                .captures(text)
                .map(|names| (names[1].to_owned(), names[2].to_owned()));
        }
        let Some((sid, pid)) = &self.names else {
            return text.to_owned();
        };
        let mut text = text.to_owned();
        for (real, written) in [(sid.as_str(), SID), (pid.as_str(), PID), (&sid[..8], &SID[..8])] {
            text = match to_edge {
                true => text.replace(written, real),
                false => text.replace(real, written),
            };
        }
        text
    }

    /// Does what a `$` line says.
    async fn elsewhere(&mut self, command: &str) {
        let one = Regex::new(r"^weir publish (\S+) (?:'(.*)' --json|(\w+))(?: --event (\S+))?$").unwrap();
        let many = Regex::new(r"^seq (\d+) \| weir publish (\S+)$").unwrap();
        let trim = Regex::new(r"^redis-cli XTRIM weir:\{(.*)\} MAXLEN (\d+)$").unwrap();
        if let Some(parts) = one.captures(command) {
            let json = parts.get(2).map(|json| json.as_str().to_owned());
            let json = json.unwrap_or_else(|| format!("\"{}\"", &parts[3]));
            self.append(&parts[1], json, parts.get(4).map(|name| name.as_str()))
                .await;
        } else if let Some(parts) = many.captures(command) {
            let count: usize = parts[1].parse().unwrap();
            for n in 1..=count {
                self.append(&parts[2], format!("\"{n}\""), None).await;
            }
        } else if let Some(parts) = trim.captures(command) {
            self.log
                .trim(&parts[1].parse().unwrap(), parts[2].parse().unwrap());
        } else if command == "redis-cli SHUTDOWN" {
            // This log has no Redis: what is followed is said to be away, as that engine does.
            let now_ms = self.clock.now_ms();
            let channels = self.log.hub().channels();
            channels.iter().for_each(|channel| channel.lose(now_ms));
        } else if command == "redis-server" {
            self.log
                .hub()
                .channels()
                .iter()
                .for_each(|channel| channel.regain());
        } else if command == "the connection is lost" {
            self.socket = connect(&self.edge).await;
        } else {
            panic!("nobody knows how to {command}");
        }
        self.clock.advance(Duration::from_secs(1));
    }

    async fn append(&self, stream: &str, json: String, name: Option<&str>) {
        let stream: StreamName = stream.parse().unwrap();
        let mut event = Event::new(Payload::Json(json.into()));
        event.name = name.map(Text::from);
        self.log.append(&stream, NewEvent::new(event)).await.unwrap();
    }
}

/// A WebSocket on which Engine.IO has opened its session.
async fn connect(edge: &TestEdge) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let uri = format!("ws://{}/socket.io/?EIO=4&transport=websocket", edge.address);
    let builder = ClientBuilder::new().uri(&uri).unwrap();
    let (mut socket, _) = builder.connect_on(stream).await.unwrap();
    let open = socket.next().await.unwrap().unwrap();
    assert!(open.as_text().unwrap().starts_with("0{\"sid\":"));
    socket
}

fn binary(message: &str) -> Option<Vec<u8>> {
    let digits = message.strip_prefix('<')?.strip_suffix('>')?;
    let byte = |digits| u8::from_str_radix(digits, 16).unwrap();
    Some(digits.split(' ').map(byte).collect())
}

async fn run(example: &[&str]) {
    let mut stage = Stage::new().await;
    for line in example {
        let (mark, rest) = line.split_at(2);
        match mark {
            "$ " => stage.elsewhere(rest).await,
            "> " => stage.send(rest).await,
            "< " => assert_eq!(stage.next().await, rest, "in\n{}", example.join("\n")),
            _ => panic!("{line}"),
        }
    }
    // Nothing more comes.
    stage.send("4299[\"surely-unknown\"]").await;
    let last = stage.next().await;
    assert!(
        last.starts_with("4399["),
        "{last}\nbehind\n{}",
        example.join("\n")
    );
}

#[tokio::test]
async fn every_example_is_what_really_happens() {
    let examples = examples();
    assert!(examples.len() >= 5);
    for example in examples {
        run(&example).await;
    }
}

#[test]
fn the_document_names_every_event() {
    let named: BTreeSet<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `stream:")?.split('`').next())
        .collect();
    let told = [
        "caught_up",
        "cursor",
        "degraded",
        "gap",
        "reset",
        "restored",
        "unverified",
    ];
    assert_eq!(named, told.into_iter().collect());
    for built_in in ["subscribe", "unsubscribe", "publish", "history"] {
        assert!(DOCUMENT.contains(&format!("\n### {built_in}\n")), "{built_in}");
    }
}

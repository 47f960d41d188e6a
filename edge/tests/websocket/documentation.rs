//! Runs every example of `docs/websocket.md` against a real edge, in both encodings.
//!
//! An example is a block marked `frames`: lines that the client sends (`>`) and gets (`<`), things that happen
//! elsewhere (`$`), and remarks (`#`). Its clock stands at the beginning of 2026 and moves on by a second with each
//! thing that happens elsewhere. So the edge must say word for word what is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Log, MemoryClock, MemoryConfig, MemoryLog, NewEvent};
use edge::config::Config;
use regex::Regex;
use serde_json::Value;
use shared::{Event, Payload, StreamName, Text};

use crate::client::{Client, Encoding};
use crate::support::TestEdge;

const DOCUMENT: &str = include_str!("../../docs/websocket.md");

/// The time at which an example begins.
const FIRST_MS: u64 = 1_767_225_600_000;

const CLIENT_FRAMES: [&str; 5] = ["subscribe", "unsubscribe", "publish", "page", "ping"];
const SERVER_FRAMES: [&str; 15] = [
    "subscribed",
    "unsubscribed",
    "published",
    "page",
    "pong",
    "event",
    "caught_up",
    "gap",
    "reset",
    "unverified",
    "cursor",
    "ended",
    "degraded",
    "restored",
    "error",
];

/// The lines of each example.
fn examples() -> Vec<Vec<&'static str>> {
    let mut parts = DOCUMENT.split("```");
    parts.next();
    let blocks = parts
        .step_by(2)
        .filter_map(|block| block.strip_prefix("frames\n"));
    blocks.map(|block| block.lines().collect()).collect()
}

/// Where in the text a frame is wrong can only be said of text.
fn without_place(mut frame: Value) -> Value {
    if let Some(Value::String(message)) = frame.pointer_mut("/error/message") {
        let end = message.find(" at line ").unwrap_or(message.len());
        message.truncate(end);
    }
    frame
}

/// Does what a `$` line says.
async fn elsewhere(log: &MemoryLog, clock: &MemoryClock, command: &str) {
    let one = Regex::new(r"^weir publish (\S+) (?:'(.*)' --json|(\w+))(?: --event (\S+))?$").unwrap();
    let many = Regex::new(r"^seq (\d+) \| weir publish (\S+)$").unwrap();
    let trim = Regex::new(r"^redis-cli XTRIM weir:\{(.*)\} MAXLEN (\d+)$").unwrap();
    if let Some(parts) = one.captures(command) {
        let json = parts.get(2).map(|json| json.as_str().to_owned());
        let json = json.unwrap_or_else(|| format!("\"{}\"", &parts[3]));
        append(log, &parts[1], json, parts.get(4).map(|name| name.as_str())).await;
    } else if let Some(parts) = many.captures(command) {
        let count: usize = parts[1].parse().unwrap();
        for n in 1..=count {
            append(log, &parts[2], format!("\"{n}\""), None).await;
        }
    } else if let Some(parts) = trim.captures(command) {
        log.trim(&parts[1].parse().unwrap(), parts[2].parse().unwrap());
    } else if command == "redis-cli SHUTDOWN" {
        // This log has no Redis: what is followed is said to be away, as that engine does.
        let now_ms = clock.now_ms();
        log.hub()
            .channels()
            .iter()
            .for_each(|channel| channel.lose(now_ms));
    } else if command == "redis-server" {
        log.hub().channels().iter().for_each(|channel| channel.regain());
    } else {
        panic!("nobody knows how to {command}");
    }
}

async fn append(log: &MemoryLog, stream: &str, json: String, name: Option<&str>) {
    let stream: StreamName = stream.parse().unwrap();
    let mut event = Event::new(Payload::Json(json.into()));
    event.name = name.map(Text::from);
    log.append(&stream, NewEvent::new(event)).await.unwrap();
}

async fn run(example: &[&str], encoding: Encoding) {
    let config = Config::default();
    let clock = MemoryClock::manual(FIRST_MS);
    let log = MemoryLog::new(MemoryConfig {
        clock: clock.clone(),
        ..config.memory_config()
    });
    let edge = TestEdge::start_on(Arc::clone(&log) as Arc<dyn Log>, config).await;
    let mut client = Client::open_as(&edge, encoding).await;
    for line in example {
        let (mark, rest) = line.split_at(2);
        match mark {
            "$ " => {
                elsewhere(&log, &clock, rest).await;
                clock.advance(Duration::from_secs(1));
            }
            "> " => client.send(serde_json::from_str(rest).unwrap()).await,
            "< " => {
                let mut real = client.next().await;
                let mut written = serde_json::from_str(rest).unwrap();
                if encoding == Encoding::MessagePack {
                    (real, written) = (without_place(real), without_place(written));
                }
                assert_eq!(real, written, "in\n{}", example.join("\n"));
            }
            "# " => {}
            _ => panic!("{line}"),
        }
    }
    // Nothing more comes.
    client
        .send(serde_json::json!({"type": "ping", "ref": "end"}))
        .await;
    assert_eq!(client.next().await["ref"], "end", "{}", example.join("\n"));
}

#[tokio::test]
async fn every_example_is_what_really_happens() {
    for example in examples() {
        for encoding in Encoding::ALL {
            run(&example, encoding).await;
        }
    }
}

#[test]
fn every_frame_has_an_example_and_no_other_has() {
    let types = |mark: &str| -> BTreeSet<String> {
        let lines = examples()
            .into_iter()
            .flatten()
            .filter_map(|line| line.strip_prefix(mark));
        let kind = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["type"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        lines.map(kind).collect()
    };
    let expected = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(types("> "), expected(&CLIENT_FRAMES));
    assert_eq!(types("< "), expected(&SERVER_FRAMES));
}

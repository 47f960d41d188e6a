//! Slow clients, clients that take nothing, and clients that are gone.

use std::sync::Arc;
use std::time::Duration;

use broker::{From, NewEvent, ReadRequest};
use bytes::Bytes;
use edge::config::Config;
use edge::metrics;
use edge::wire_slots::WireSlot;
use serde_json::json;
use shared::limits::OUTBOX_BYTES_MAX;
use shared::{Entry, Event, Payload, StreamName};
use tokio::io::AsyncReadExt as _;

use crate::client::{Client, soon};
use crate::raw::{Frame, PING, PONG, Raw, TEXT, request};
use crate::support::TestEdge;

fn impatient() -> Config {
    let mut config = Config::default();
    config.ws.ping_interval = Duration::from_millis(100);
    config.ws.pong_timeout = Duration::from_millis(400);
    config
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let edge = TestEdge::start_with(impatient()).await;
    let mut raw = Raw::open(&edge).await;
    assert_eq!(raw.receive().await, Some((PING, Vec::new())));
    assert_eq!(raw.close_code().await, Some(4000));
}

#[tokio::test]
async fn a_client_that_answers_stays() {
    let mut config = impatient();
    config.ws.pong_timeout = Duration::from_millis(1_500);
    let edge = TestEdge::start_with(config).await;
    let mut raw = Raw::open(&edge).await;
    // Longer than a silent one would have had.
    for _ in 0..25 {
        assert_eq!(raw.receive().await, Some((PING, Vec::new())));
        raw.send(&Frame::new(PONG, [])).await;
    }
    assert_eq!(raw.tell(r#"{"type":"ping"}"#).await, r#"{"type":"pong"}"#);
}

#[tokio::test]
async fn a_client_that_never_says_anything_behind_the_handshake_is_closed() {
    let edge = TestEdge::start_with(impatient()).await;
    let mut raw = Raw::open(&edge).await;
    // Half a frame is not an answer for long.
    raw.write(&Frame::new(TEXT, "{}").bytes()[..4]).await;
    assert_eq!(raw.close_code().await, Some(4000));
}

async fn append(edge: &TestEdge, stream: &StreamName, n: usize, bytes: usize) {
    let data = format!("{{\"n\":{n},\"fill\":\"{}\"}}", "x".repeat(bytes));
    let event = Event::new(Payload::Json(data.into()));
    edge.state.log.append(stream, NewEvent::new(event)).await.unwrap();
}

/// How many sockets of this process ended this way.
fn ended(end: &str) -> u64 {
    let line = format!("weir_websockets_closed_total{{end=\"{end}\"}} ");
    let text = metrics::render();
    let count = text.lines().find_map(|other| other.strip_prefix(&line));
    count.map_or(0, |count| count.parse().unwrap())
}

/// How many events of a stream lie encoded in the queue of some socket: their encoding is shared by somebody beside
/// the entry itself.
async fn held(edge: &TestEdge, stream: &StreamName) -> usize {
    let mut held = 0;
    let mut from = From::Start;
    loop {
        let page = edge
            .state
            .log
            .read(stream, &ReadRequest::forward(from, 1_000))
            .await
            .unwrap();
        let waits = |entry: &Arc<Entry>| {
            let encoded = entry.wire(WireSlot::WsJson.index(), |_| Bytes::new());
            !encoded.is_empty() && !encoded.is_unique()
        };
        held += page.entries.iter().filter(|entry| waits(entry)).count();
        if page.tail_reached {
            return held;
        }
        from = From::Cursor(page.cursor);
    }
}

#[tokio::test]
async fn what_a_socket_holds_can_be_seen() {
    let edge = TestEdge::start().await;
    let stream: StreamName = "s".parse().unwrap();
    let mut client = Client::open(&edge).await;
    client.subscribe("s", "now").await;
    append(&edge, &stream, 1, 10).await;
    client.until("event").await;
    let request = ReadRequest::forward(From::Start, 1);
    let page = edge.state.log.read(&stream, &request).await.unwrap();
    let queued = page.entries[0]
        .wire(WireSlot::WsJson.index(), |_| Bytes::new())
        .clone();
    assert_eq!(held(&edge, &stream).await, 1);
    drop(queued);
    assert_eq!(held(&edge, &stream).await, 0);
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off_in_time_holds_little_and_disturbs_nobody() {
    const EVENTS: usize = 1_000;
    const EVENT_BYTES: usize = 64 * 1024;
    let mut config = Config::default();
    config.ws.write_timeout = Duration::from_secs(4);
    let edge = TestEdge::start_with(config).await;
    let stream: StreamName = "s".parse().unwrap();
    let mut stuck = Raw::open(&edge).await;
    stuck
        .send(&Frame::new(TEXT, r#"{"type":"subscribe","stream":"s"}"#))
        .await;
    stuck.receive().await.unwrap();
    let mut other = Client::open(&edge).await;
    other.subscribe("s", "now").await;
    other.expect("caught_up").await;

    for n in 0..EVENTS {
        append(&edge, &stream, n, EVENT_BYTES).await;
        let event = other.expect("event").await;
        assert_eq!(event["data"]["n"], n);
    }
    // Of all that was published meanwhile, the edge holds one batch for it.
    let held = held(&edge, &stream).await;
    assert!(held * EVENT_BYTES <= 2 * OUTBOX_BYTES_MAX, "{held} events");
    soon("the end of a stuck socket", async {
        while ended("stuck") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    other.close().await;
    // Its connection is gone, and what was held is free.
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(1..) = soon("a read", stuck.stream.read(&mut buffer)).await {}
    soon("the memory", async {
        while self::held(&edge, &stream).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_reads_slowly_gets_everything() {
    const EVENTS: usize = 600;
    const EVENT_BYTES: usize = 32 * 1024;
    let mut config = Config::default();
    // The reader is far behind the ring at once.
    config.hub.ring_bytes_max = 256 * 1024;
    let edge = TestEdge::start_with(config).await;
    let stream: StreamName = "s".parse().unwrap();
    let mut slow = Client::open_narrow(&edge).await;
    slow.subscribe("s", "now").await;
    slow.expect("caught_up").await;
    for n in 0..EVENTS {
        append(&edge, &stream, n, EVENT_BYTES).await;
        // One is read for every hundred that are written.
        if n % 100 == 0 {
            assert_eq!(slow.expect("event").await["data"]["n"], n / 100);
        }
    }
    for n in EVENTS / 100..EVENTS {
        assert_eq!(slow.expect("event").await["data"]["n"], n);
    }
    slow.send(json!({"type": "ping"})).await;
    slow.expect("pong").await;
}

#[tokio::test]
async fn a_handshake_that_stops_in_the_middle_is_given_up() {
    let mut config = Config::default();
    config.limits.header_timeout = Duration::from_millis(300);
    let edge = TestEdge::start_with(config).await;
    let mut raw = Raw::connect(&edge).await;
    let whole = request(&[]);
    raw.write(&whole.as_bytes()[..whole.len() - 2]).await;
    let mut answer = Vec::new();
    let _ = soon("the end", raw.stream.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 101"));
}

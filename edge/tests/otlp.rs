//! Spans come to a collector, and tell the way of an event from its publisher to its subscribers.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "cli/weir_process.rs"]
mod weir_process;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use shared::trace::TraceParent;
use tokio::net::TcpListener;
use tokio_websockets::{ClientBuilder, Message};
use weir_process::{Weir, weir};

/// How long a test waits for anything before it fails.
const DEADLINE: Duration = Duration::from_secs(30);
const SERVER: u64 = 2;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;

/// Spans as they came.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Value>>>);

impl Collector {
    /// A collector, and where it listens.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(Self::take))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, url)
    }

    async fn take(State(collector): State<Self>, body: String) -> &'static str {
        let request: Value = serde_json::from_str(&body).unwrap();
        for of_resource in request["resourceSpans"].as_array().unwrap() {
            let resource = &of_resource["resource"];
            assert_eq!(attribute(resource, "service.name"), "weir");
            for of_scope in of_resource["scopeSpans"].as_array().unwrap() {
                let spans = of_scope["spans"].as_array().unwrap();
                collector.0.lock().unwrap().extend(spans.iter().cloned());
            }
        }
        "{}"
    }

    /// The spans of one trace, of one kind.
    fn find(&self, trace: TraceParent, kind: u64) -> Vec<Value> {
        let trace_id = format!("{:032x}", trace.trace_id);
        let spans = self.0.lock().unwrap();
        let of_trace = spans.iter().filter(|span| span["traceId"] == trace_id.as_str());
        of_trace.filter(|span| span["kind"] == kind).cloned().collect()
    }
}

/// The value of an attribute that is a text.
fn attribute<'a>(span: &'a Value, key: &str) -> &'a str {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.unwrap_or_else(|| panic!("{key} in {span}"))["value"]["stringValue"]
        .as_str()
        .unwrap()
}

fn trace(text: &str) -> TraceParent {
    text.parse().unwrap()
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

/// An edge that sends its spans to the collector at `url`, and where it listens.
async fn start(url: &str, protocol: &str) -> (Weir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    let config = format!("[otlp]\nendpoint = \"{url}\"\nprotocol = \"{protocol}\"\n");
    std::fs::write(&file, config).unwrap();
    let config = file.to_str().unwrap();
    let mut edge = weir(["serve", "--listen", "127.0.0.1:0", "--config", config]);
    loop {
        if let Some((_, address)) = edge.notice().await.split_once("listening on http://") {
            let address = address.to_owned();
            return (edge, address);
        }
    }
}

/// Publishes over HTTP, and brings the `traceparent` of the answer.
fn publish(address: &str, traceparent: &str) -> TraceParent {
    let mut socket = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST /v1/streams/log:a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntraceparent: {traceparent}\r\n\
         content-length: 10\r\n\r\n{{\"data\":1}}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let header = answer.lines().find_map(|line| line.strip_prefix("traceparent: "));
    trace(header.unwrap().trim())
}

/// The events of a tail over SSE.
struct Tail(BufReader<TcpStream>);

impl Tail {
    fn open(address: &str) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
            .write_all(
                b"GET /v1/streams/log:a?from=start HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n",
            )
            .unwrap();
        Self(BufReader::new(socket))
    }

    fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the tail has ended");
            let event = line
                .strip_prefix("data: ")
                .and_then(|data| serde_json::from_str(data).ok());
            if let Some(event) = event.filter(|event: &Value| event.get("id").is_some()) {
                return event;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_followed_from_its_publisher_to_its_subscriber() {
    let (collector, url) = Collector::start().await;
    let (edge, address) = start(&url, "json").await;

    // Over HTTP, wanted and not.
    let client = trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let unwanted = trace("00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    let answered = publish(&address, &client.to_string());
    publish(&address, &unwanted.to_string());
    // Over a WebSocket that is itself part of a trace.
    let connection = trace("00-6bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let uri = format!("ws://{address}/v1/ws").parse().unwrap();
    let builder = ClientBuilder::from_uri(uri).add_header(
        "traceparent".parse().unwrap(),
        connection.to_string().parse().unwrap(),
    );
    let (mut socket, opened) = builder.unwrap().connect().await.unwrap();
    let handshake = trace(opened.headers()["traceparent"].to_str().unwrap());
    let frame = r#"{"type":"publish","stream":"log:a","data":2}"#;
    socket.send(Message::text(frame)).await.unwrap();
    let answer = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap();
    assert!(answer.unwrap().unwrap().as_text().unwrap().contains("published"));
    drop(socket);

    let mut tail = Tail::open(&address);
    let events: Vec<Value> = (0..3).map(|_| tail.next()).collect();
    assert_eq!(events[0]["traceparent"], client.to_string());
    assert_eq!(events[1]["traceparent"], unwanted.to_string());
    let stored = trace(events[2]["traceparent"].as_str().unwrap());

    // What is still to be sent is sent at the end.
    edge.signal("TERM");
    let ended = edge.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let [request] = &collector.find(client, SERVER)[..] else {
        panic!("one request: {:?}", collector.find(client, SERVER))
    };
    assert_eq!(request["name"], "POST /v1/streams/{name}");
    assert_eq!(request["spanId"], hex(answered.parent_id));
    assert_eq!(request["parentSpanId"], hex(client.parent_id));
    let [delivery] = &collector.find(client, CONSUMER)[..] else {
        panic!("one delivery")
    };
    assert_eq!(delivery["name"], "deliver log:a");
    assert_eq!(delivery["parentSpanId"], hex(client.parent_id));
    assert_eq!(delivery["links"][0]["spanId"], hex(client.parent_id));
    assert_eq!(attribute(delivery, "messaging.message.id"), events[0]["id"]);
    assert_eq!(attribute(delivery, "weir.transport"), "sse");

    let [opening] = &collector.find(connection, SERVER)[..] else {
        panic!("one handshake")
    };
    assert_eq!(opening["spanId"], hex(handshake.parent_id));
    let [publish] = &collector.find(connection, PRODUCER)[..] else {
        panic!("one publish")
    };
    assert_eq!(publish["name"], "publish log:a");
    assert_eq!(publish["parentSpanId"], hex(handshake.parent_id));
    assert_eq!(publish["spanId"], hex(stored.parent_id));
    let [delivery] = &collector.find(connection, CONSUMER)[..] else {
        panic!("one delivery")
    };
    assert_eq!(delivery["parentSpanId"], hex(stored.parent_id));

    for kind in [SERVER, PRODUCER, CONSUMER] {
        assert!(collector.find(unwanted, kind).is_empty());
    }
}

/// A collector that is not there costs spans, and nothing else.
#[tokio::test]
async fn without_its_collector_an_edge_works_and_ends() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (edge, address) = start(&url, "protobuf").await;
    publish(
        &address,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    edge.signal("TERM");
    assert_eq!(edge.ended().await.code, Some(0));
}

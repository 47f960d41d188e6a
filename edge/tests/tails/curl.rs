//! `curl -N`, `jq` and `redis-cli` as the README uses them.

use serde_json::{Value, json};

use crate::client::ndjson;
use crate::engines::{Engine, config};
use crate::program::Program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_follows_server_sent_events_as_they_come() {
    let engine = Engine::memory(config()).await;
    let edge = engine.edge().await;
    let first = engine.publish("a", "1").await;
    let url = edge.url("/v1/streams/a?from=start");
    let mut curl = Program::start("curl", &["-sSN", "-H", "Accept: text/event-stream", &url]);
    assert_eq!(curl.lines(3).await, ["retry: 50", "id: 0-0.0", ""]);
    let frame = curl.lines(3).await;
    assert_eq!(frame[0], format!("id: {first}"));
    assert!(
        frame[1].starts_with("data: {\"id\":") && frame[2].is_empty(),
        "{frame:?}"
    );
    assert_eq!(curl.lines(4).await[0], "event: caught_up");
    let second = engine.publish("a", "2").await;
    while curl.line().await.unwrap() != format!("id: {second}") {}
    while curl.line().await.unwrap() != ": hb" {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jq_reads_lines_and_swallows_heartbeats() {
    let engine = Engine::memory(config()).await;
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 3).await;
    let command = format!(
        "curl -sSN -H 'Accept: application/x-ndjson' '{}' | jq -c --unbuffered '.control // .data'",
        edge.url("/v1/streams/a?from=start")
    );
    let mut pipe = Program::start("sh", &["-c", &command]);
    assert_eq!(pipe.lines(4).await, ["0", "1", "2", "\"caught_up\""]);
    // A second tail, begun later, shows that both have had heartbeats.
    let mut witness = ndjson(edge.address, "/v1/streams/a").await;
    witness.read_until(|bytes| bytes.ends_with(b"\n\n\n")).await;
    engine.publish("a", "3").await;
    assert_eq!(pipe.lines(1).await, ["3"]);
    // The tail ends by itself, so do curl and jq, without an error.
    edge.shutdown.cancel();
    assert_eq!(pipe.rest().await, ["\"reconnect\""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_xadd_is_delivered_live() {
    let engine = Engine::redis(config()).await;
    let edge = engine.edge().await;
    let url = edge.url("/v1/streams/log:api");
    let mut curl = Program::start("curl", &["-sSN", "-H", "Accept: application/x-ndjson", &url]);
    assert!(curl.lines(1).await[0].contains("caught_up"));
    let socket = engine.redis.as_ref().unwrap().socket();
    let xadd = [
        "-s",
        socket.to_str().unwrap(),
        "XADD",
        "weir:{log:api}",
        "*",
        "level",
        "warn",
        "text",
        "disk\nfull",
    ];
    let id = Program::start("redis-cli", &xadd).rest().await.remove(0);
    let line = loop {
        match curl.line().await.unwrap() {
            heartbeat if heartbeat.is_empty() => {}
            line => break line,
        }
    };
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["id"], id.trim());
    assert_eq!(event["data"], json!({"level": "warn", "text": "disk\nfull"}));
    assert_eq!(event["cursor"], format!("{}.1", id.trim()));
}

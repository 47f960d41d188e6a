//! Publishing one event.

use std::time::Duration;

use edge::config::Config;
use serde_json::json;

use crate::client::{Raw, code, data, get, json as send_json, post, publish, request, send};
use crate::support::TestEdge;

#[tokio::test]
async fn an_event_gets_its_place_and_can_be_read() {
    let edge = TestEdge::start().await;
    let (status, answer) = post(
        &edge,
        "/v1/streams/doc:1",
        r#"{"event":"edit","data":{"b":1, "a":[1.50]}}"#,
    )
    .await;
    assert_eq!(status, 201);
    let (id, cursor) = (answer["id"].as_str().unwrap(), answer["cursor"].as_str().unwrap());
    assert_eq!(cursor, format!("{id}.1"));
    assert_eq!(answer.as_object().unwrap().len(), 2);

    // The data are what was sent, byte for byte.
    let page = send(request(&edge, "GET", "/v1/streams/doc:1"))
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains(r#""event":"edit","data":{"b":1, "a":[1.50]},"#),
        "{page}"
    );
    assert!(page.contains(&format!(r#""cursor":"{cursor}""#)), "{page}");
}

#[tokio::test]
async fn a_key_makes_a_second_publish_harmless() {
    let edge = TestEdge::start().await;
    let path = "/v1/streams/a";
    let (_, first) = post(&edge, path, r#"{"data":1,"key":"k"}"#).await;
    let (status, second) = post(&edge, path, r#"{"data":2,"key":"k"}"#).await;
    assert_eq!(status, 201);
    assert_eq!(
        second,
        json!({"id": first["id"], "cursor": first["cursor"], "duplicate": true})
    );

    let with_header = |key: &'static str, body: &'static str| {
        let request = request(&edge, "POST", path).header("content-type", "application/json");
        send_json(request.header("idempotency-key", key).body(body))
    };
    let (_, third) = with_header("k", r#"{"data":3}"#).await;
    assert_eq!(third["duplicate"], true);
    let (status, _) = with_header("k2", r#"{"data":4,"key":"k2"}"#).await;
    assert_eq!(status, 201);
    let (status, answer) = with_header("k3", r#"{"data":5,"key":"k4"}"#).await;
    assert_eq!((status, code(&answer)), (400, "invalid_key"));
    let (status, answer) = with_header(" ", r#"{"data":5}"#).await;
    assert_eq!((status, code(&answer)), (400, "invalid_key"));
    assert_eq!(data(&get(&edge, path).await.1), [1, 4]);
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_the_place() {
    let edge = TestEdge::start().await;
    for (body, expected, hint) in [
        ("{\"data\":", "invalid_json", "line 1 column 8"),
        ("{\"data\":1}\n{\"data\":2}", "invalid_json", "line 2 column 1"),
        ("", "invalid_json", "EOF"),
        ("{}", "invalid_event", "data"),
        ("7", "invalid_event", "object"),
        ("{\"data\":1,\"dat\":1}", "invalid_event", "dat"),
        ("{\"data\":1,\"key\":\"\"}", "invalid_key", "1 to 200"),
    ] {
        let (status, answer) = post(&edge, "/v1/streams/a", body).await;
        assert_eq!((status, code(&answer)), (400, expected), "{body}");
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(hint),
            "{body}: {answer}"
        );
    }
    let (status, answer) = post(&edge, "/v1/streams/a?key=1", "{\"data\":1}").await;
    assert_eq!((status, code(&answer)), (400, "invalid_parameter"));
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1).len(), 0);
}

#[tokio::test]
async fn content_types() {
    let edge = TestEdge::start().await;
    let with_type = |method: &'static str, content_type: Option<&'static str>| {
        let mut request = request(&edge, method, "/v1/streams/a").body("{\"data\":1}");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        send(request)
    };
    for (method, content_type, status) in [
        ("POST", Some("application/json"), 201),
        ("POST", Some("Application/JSON; charset=utf-8"), 201),
        ("POST", None, 201),
        ("PUT", Some("application/json"), 201),
        ("POST", Some("application/x-ndjson"), 200),
        ("POST", Some("application/jsonl"), 200),
        ("PUT", None, 200),
        ("POST", Some("text/plain"), 415),
        ("POST", Some("application/x-www-form-urlencoded"), 415),
        ("POST", Some("text/event-stream"), 415),
        ("POST", Some("\u{e4}"), 415),
    ] {
        let response = with_type(method, content_type).await;
        assert_eq!(response.status().as_u16(), status, "{method} {content_type:?}");
    }
    let compressed = request(&edge, "POST", "/v1/streams/a")
        .header("content-encoding", "gzip")
        .body("x");
    let (status, answer) = send_json(compressed).await;
    assert_eq!((status, code(&answer)), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn a_name_is_one_segment() {
    let edge = TestEdge::start().await;
    publish(&edge, "log%2Fapi:v1.0_x-y", 1).await;
    let (_, page) = get(&edge, "/v1/streams/log%2fapi:v1.0_x-y").await;
    assert_eq!(page["events"][0]["stream"], "log/api:v1.0_x-y");
    for (name, status, expected) in [
        ("log/api", 404, "not_found"),
        ("a%20b", 400, "invalid_stream"),
        ("%FF", 400, "invalid_stream"),
        ("%zz", 400, "invalid_stream"),
        ("%C3%A4", 400, "invalid_stream"),
        ("*", 400, "invalid_stream"),
    ] {
        let (found, answer) = post(&edge, &format!("/v1/streams/{name}"), "{\"data\":1}").await;
        assert_eq!((found, code(&answer)), (status, expected), "{name}");
    }
    let (status, _) = post(&edge, &format!("/v1/streams/{}", "n".repeat(200)), "{\"data\":1}").await;
    assert_eq!(status, 201);
    let (status, answer) = post(&edge, &format!("/v1/streams/{}", "n".repeat(201)), "{\"data\":1}").await;
    assert_eq!((status, code(&answer)), (400, "invalid_stream"));
}

#[tokio::test]
async fn too_large_is_told_even_while_the_client_still_sends() {
    let mut config = Config::default();
    config.limits.event_bytes_max = 1024;
    let edge = TestEdge::start_with(config).await;
    let body = |bytes: usize| format!("{{\"data\":\"{}\"}}", "x".repeat(bytes));
    let (status, _) = post(&edge, "/v1/streams/a", body(1000)).await;
    assert_eq!(status, 201);
    // Within the body's limit, beyond the event's.
    let (status, answer) = post(&edge, "/v1/streams/a", body(2000)).await;
    assert_eq!((status, code(&answer)), (413, "too_large"));
    // Announced.
    let (status, answer) = post(&edge, "/v1/streams/a", body(100_000)).await;
    assert_eq!((status, code(&answer)), (413, "too_large"));
    // Not announced, and much more than sockets hold: sent to its end before the answer is looked for.
    let mut raw = Raw::connect(&edge).await;
    let head = "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    raw.write(head.as_bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..64 {
        raw.write(chunk.as_bytes()).await;
    }
    let answer = raw.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"too_large\""), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let mut config = Config::default();
    config.limits.body_timeout = Duration::from_millis(100);
    let edge = TestEdge::start_with(config).await;
    let mut raw = Raw::connect(&edge).await;
    raw.write(b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        .await;
    let answer = raw.read_until("request_timeout").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_trace_is_taken_on_and_answered() {
    let edge = TestEdge::start().await;
    let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let with_trace = |value: &'static str| {
        let request = request(&edge, "POST", "/v1/streams/a").header("traceparent", value);
        send(request.body("{\"data\":1}"))
    };
    let answered = with_trace(sent).await.headers()["traceparent"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        answered.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{answered}"
    );
    assert_ne!(answered, sent);
    // What is no trace is replaced by a new one, and not stored.
    let made = with_trace("00-nonsense").await.headers()["traceparent"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(made.len(), 55);
    let (stream, request) = (
        "a".parse().unwrap(),
        broker::ReadRequest::forward(broker::From::Start, 10),
    );
    let page = edge.state.log.read(&stream, &request).await.unwrap();
    let traces: Vec<Option<String>> = page
        .entries
        .iter()
        .map(|e| e.event.trace.as_ref().map(|t| t.as_str().to_owned()))
        .collect();
    assert_eq!(traces, [Some(sent.to_owned()), None]);
    // It comes with the event to those who read it.
    let (_, page) = get(&edge, "/v1/streams/a").await;
    assert_eq!(page["events"][0]["traceparent"], sent);
    assert_eq!(page["events"][1].get("traceparent"), None);
}

#[tokio::test]
async fn too_many_publishes_are_asked_to_wait() {
    let mut config = Config::default();
    config.rate.publishes_per_second = 1;
    config.rate.publishes_burst = 3;
    let edge = TestEdge::start_with(config).await;
    for n in 0..3 {
        publish(&edge, "a", n).await;
    }
    let response = send(request(&edge, "POST", "/v1/streams/a").body("{\"data\":9}")).await;
    assert_eq!(response.status(), 429);
    let seconds: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(seconds, 1);
    let answer: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(code(&answer), "rate_limited");
    assert_eq!(get(&edge, "/v1/streams/a").await.0, 200);
}

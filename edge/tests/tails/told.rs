//! What a client of a tail is told, in both formats.

use serde_json::{Value, json};
use shared::{Event, Payload, Text};

use crate::client::{Answer, get, ndjson, sse};
use crate::engines::{Engine, on_both_engines};
use crate::sse_parser::{Dispatched, Parser};

on_both_engines! {
    the_first_bytes_come_before_any_event;
    history_then_live;
    lines_of_history_then_live;
    an_event_says_everything;
    last_event_id_beats_from;
    silence_brings_heartbeats;
    a_position_ahead_of_the_log_is_a_reset;
    what_is_trimmed_is_a_gap_with_its_size;
    a_bare_id_is_unverified_where_something_is_gone;
    a_merged_tail_has_one_cursor;
    a_filtered_tail_moves_its_cursor_on;
}

/// Reads until an event of this type has come.
pub async fn read_until_event(answer: &mut Answer, parser: &mut Parser, event: &str) {
    let already = parser.events.iter().filter(|e| e.event == event).count();
    while parser.events.iter().filter(|e| e.event == event).count() == already {
        parser.push(&answer.read(usize::MAX).await.expect("the tail goes on"));
    }
}

/// Reads until something holds of what has come.
pub async fn read_until(answer: &mut Answer, parser: &mut Parser, enough: impl Fn(&Parser) -> bool) {
    while !enough(parser) {
        parser.push(&answer.read(usize::MAX).await.expect("the tail goes on"));
    }
}

/// The data of ordinary events.
pub fn data(events: &[Dispatched]) -> Vec<Value> {
    let ordinary = events.iter().filter(|e| e.event == "message");
    ordinary
        .map(|e| serde_json::from_str::<Value>(&e.data).unwrap()["data"].clone())
        .collect()
}

/// Whole lines as JSON; heartbeats are left out.
pub fn objects(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    lines
        .filter(|line| *line != b"\n")
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

async fn the_first_bytes_come_before_any_event(engine: Engine) {
    let edge = engine.edge().await;
    let mut answer = sse(edge.address, "/v1/streams/quiet", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let opening = "retry: 50\nid: 0-0.0\n\n";
    assert_eq!(answer.read_exactly(opening.len()).await, opening.as_bytes());
    let caught_up = "event: caught_up\nid: 0-0.0\ndata: {\"stream\":\"quiet\",\"cursor\":\"0-0.0\"}\n\n";
    assert_eq!(answer.read_exactly(caught_up.len()).await, caught_up.as_bytes());

    let mut answer = ndjson(edge.address, "/v1/streams/quiet").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let caught_up = "{\"control\":\"caught_up\",\"stream\":\"quiet\",\"cursor\":\"0-0.0\"}\n";
    assert_eq!(answer.read_exactly(caught_up.len()).await, caught_up.as_bytes());
}

async fn history_then_live(engine: Engine) {
    let edge = engine.edge().await;
    let mut cursors = engine.publish_numbers("a", 0, 3).await;
    let mut answer = sse(edge.address, "/v1/streams/a?from=start", "").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    assert_eq!(data(&parser.events), [0, 1, 2]);
    assert_eq!(parser.events[3].last_event_id, cursors[2].to_string());
    cursors.extend(engine.publish_numbers("a", 3, 5).await);
    read_until(&mut answer, &mut parser, |p| p.events.len() == 6).await;
    let events: Vec<_> = parser.events.iter().filter(|e| e.event == "message").collect();
    for (event, cursor) in events.iter().zip(&cursors) {
        let object: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(event.last_event_id, cursor.to_string());
        assert_eq!(object["cursor"], cursor.to_string());
        assert_eq!(object["id"], cursor.id.to_string());
    }
    assert_eq!(data(&parser.events), [0, 1, 2, 3, 4]);
}

async fn lines_of_history_then_live(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 3).await;
    let mut answer = ndjson(edge.address, "/v1/streams/a?last=2").await;
    let mut bytes = answer.read_until(|b| objects(b).len() == 3).await;
    engine.publish_numbers("a", 3, 4).await;
    bytes.extend(answer.read_until(|b| objects(b).len() == 1).await);
    let told = objects(&bytes);
    assert_eq!([&told[0]["data"], &told[1]["data"], &told[3]["data"]], [1, 2, 3]);
    assert_eq!(told[2]["control"], "caught_up");
}

async fn an_event_says_everything(engine: Engine) {
    let edge = engine.edge().await;
    let event = Event {
        name: Some(Text::from("line\r\nbreak")),
        user: Some(Text::from("José \"q\"")),
        ..Event::new(Payload::Bytes(vec![0, 10, 13, 255].into()))
    };
    let cursor = engine.publish_event("log:api/1", event).await;
    let mut time = Vec::new();
    shared::time::push_rfc3339(&mut time, cursor.id.ms);
    let expected = json!({
        "id": cursor.id.to_string(),
        "stream": "log:api/1",
        "event": "line\r\nbreak",
        "data": {"$base64": "AAoN/w=="},
        "time": String::from_utf8(time).unwrap(),
        "user": "José \"q\"",
        "cursor": cursor.to_string(),
    });
    let mut answer = sse(edge.address, "/v1/streams/log%3Aapi%2F1?from=start", "").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "message").await;
    assert_eq!(
        serde_json::from_str::<Value>(&parser.events[0].data).unwrap(),
        expected
    );
    let mut answer = ndjson(edge.address, "/v1/streams/log:api%2F1?from=start").await;
    let bytes = answer.read_until(|b| !objects(b).is_empty()).await;
    assert_eq!(objects(&bytes)[0], expected);
}

async fn last_event_id_beats_from(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 3).await;
    let mut answer = sse(edge.address, "/v1/streams/a?from=start", &cursors[1].to_string()).await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    assert_eq!(data(&parser.events), [2]);

    let mut refused = sse(edge.address, "/v1/streams/a", "yesterday").await;
    assert_eq!(refused.status, 400);
    let body: Value = serde_json::from_slice(&refused.read_to_end().await).unwrap();
    assert_eq!(body["error"]["code"], "invalid_parameter");
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Last-Event-ID")
    );
}

async fn silence_brings_heartbeats(engine: Engine) {
    let edge = engine.edge().await;
    let mut answer = sse(edge.address, "/v1/streams/a", "").await;
    let mut parser = Parser::default();
    read_until(&mut answer, &mut parser, |p| p.comments == 2).await;
    assert_eq!(parser.events.len(), 1, "a heartbeat is no event");
    let mut answer = ndjson(edge.address, "/v1/streams/a").await;
    let bytes = answer.read_until(|b| b.ends_with(b"\n\n\n")).await;
    assert_eq!(objects(&bytes).len(), 1);
}

async fn a_position_ahead_of_the_log_is_a_reset(engine: Engine) {
    let edge = engine.edge().await;
    let head = engine.publish_numbers("a", 0, 2).await[1];
    let mut answer = sse(edge.address, "/v1/streams/a", "9999999999999-0.7").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    assert_eq!(parser.events[0].event, "reset");
    assert_eq!(
        serde_json::from_str::<Value>(&parser.events[0].data).unwrap(),
        json!({"stream": "a", "cursor": head.to_string()})
    );
    assert_eq!(parser.events.len(), 2);
}

async fn what_is_trimmed_is_a_gap_with_its_size(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 6).await;
    engine.trim("a", 2).await;
    let gap = json!({"stream": "a", "lost": 3, "cursor": format!("{}.4", cursors[0].id)});
    let mut answer = sse(edge.address, "/v1/streams/a", &cursors[0].to_string()).await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    assert_eq!(parser.events[0].event, "gap");
    assert_eq!(
        serde_json::from_str::<Value>(&parser.events[0].data).unwrap(),
        gap
    );
    assert_eq!(parser.events[0].last_event_id, gap["cursor"]);
    assert_eq!(data(&parser.events), [4, 5]);
    let mut answer = ndjson(edge.address, &format!("/v1/streams/a?from={}", cursors[0])).await;
    let mut told = objects(&answer.read_until(|b| objects(b).len() == 4).await);
    assert_eq!(
        told[0].as_object_mut().unwrap().remove("control"),
        Some(json!("gap"))
    );
    assert_eq!(told[0], gap);
    assert_eq!([&told[1]["data"], &told[2]["data"]], [4, 5]);
}

async fn a_bare_id_is_unverified_where_something_is_gone(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 6).await;
    engine.trim("a", 2).await;
    let path = format!("/v1/streams/a?from={}", cursors[0].id);
    let mut answer = ndjson(edge.address, &path).await;
    let told = objects(&answer.read_until(|b| objects(b).len() == 4).await);
    assert_eq!(told[0]["control"], "unverified");
    assert_eq!(told[0]["cursor"], cursors[0].id.to_string());
    assert_eq!([&told[1]["data"], &told[2]["data"]], [4, 5]);
    assert_eq!(
        told[2]["cursor"],
        cursors[5].to_string(),
        "from there on it can be verified"
    );
}

async fn a_merged_tail_has_one_cursor(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish("b", "0").await;
    engine.publish("a", "1").await;
    engine.publish("b", "2").await;
    let path = "/v1/tail?stream=b&stream=a&from=start";
    let mut answer = sse(edge.address, path, "").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    engine.publish("a", "3").await;
    read_until(&mut answer, &mut parser, |p| data(&p.events).len() == 4).await;
    let caught_up = parser.events.iter().filter(|e| e.event == "caught_up").count();
    assert_eq!(caught_up, 1);
    let mut told: Vec<i64> = data(&parser.events).iter().map(|v| v.as_i64().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2, 3]);
    // Whatever has been told after an event is what a resume from it does not tell, and the other way round.
    for (index, event) in parser.events.iter().enumerate() {
        let mut answer = sse(edge.address, path, &event.last_event_id).await;
        let mut resumed = Parser::default();
        read_until_event(&mut answer, &mut resumed, "caught_up").await;
        let mut all = data(&parser.events[..=index]);
        all.extend(data(&resumed.events));
        let mut all: Vec<i64> = all.iter().map(|v| v.as_i64().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3], "resumed after {event:?}");
    }
    let refused = get(
        edge.address,
        path,
        &[("accept", "text/event-stream"), ("last-event-id", "1-0.1")],
    )
    .await;
    assert_eq!(
        refused.status, 400,
        "a cursor of one stream does not say where to go on in two"
    );
    let refused = sse(edge.address, "/v1/streams/c", &parser.last_event_id).await;
    assert_eq!(refused.status, 400, "nor does one of two in a third");
}

async fn a_filtered_tail_moves_its_cursor_on(engine: Engine) {
    let edge = engine.edge().await;
    let mut answer = sse(edge.address, "/v1/streams/a?match=^7$", "").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    let cursors = engine.publish_numbers("a", 0, 10).await;
    read_until(&mut answer, &mut parser, |p| {
        p.last_event_id == cursors[9].to_string()
    })
    .await;
    assert_eq!(data(&parser.events), [7]);
    assert_eq!(parser.events.len(), 2, "progress is no event");

    let mut answer = ndjson(edge.address, "/v1/streams/a?match=^7$&from=start").await;
    let progress = json!({"control": "cursor", "cursor": cursors[9].to_string()});
    let bytes = answer
        .read_until(|b| {
            objects(b)
                .last()
                .is_some_and(|o| o["cursor"] == progress["cursor"])
        })
        .await;
    let told = objects(&bytes);
    assert_eq!(told.iter().filter(|o| o.get("data").is_some()).count(), 1);
}

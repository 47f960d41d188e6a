//! Connections cut in mid-frame: at every single byte of a stretch. A client that resumes from what it last got
//! whole is told everything that it has not been told, once, and every verdict once.

use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{ndjson, sse};
use crate::engines::{Engine, on_both_engines};
use crate::sse_parser::Parser;
use crate::told::{objects, read_until_event};

on_both_engines! {
    a_stream_cut_at_every_byte;
    a_merged_tail_cut_at_every_byte;
    lines_cut_at_every_byte;
    a_reset_cut_at_every_byte;
    a_gap_cut_at_every_byte;
    a_gap_from_the_start_cut_at_every_byte;
}

/// What a client has been told that counts: events and verdicts.
fn told(parser: &Parser) -> Vec<(String, String)> {
    let counts = parser.events.iter().filter(|e| e.event != "caught_up");
    counts
        .map(|e| (e.event.clone(), without_cursor(&e.data)))
        .collect()
}

/// Cursors of merged tails depend on the order in which streams were read, which is no matter here.
fn without_cursor(data: &str) -> String {
    let mut object: Value = serde_json::from_str(data).unwrap();
    object.as_object_mut().unwrap().remove("cursor");
    object.to_string()
}

/// Follows `path` from `first_id`, cut at every byte up to the catch-up, and resumed with what had come whole.
async fn cut_everywhere(address: SocketAddr, path: &str, first_id: &str) {
    let mut whole = Parser::default();
    let mut answer = sse(address, path, first_id).await;
    let mut len = 0;
    while whole.events.last().is_none_or(|e| e.event != "caught_up") {
        let byte = answer.read(1).await.expect("the tail goes on");
        whole.push(&byte);
        len += 1;
    }
    let mut expected = told(&whole);
    expected.sort();
    assert!(expected.len() >= 3, "there is something to cut: {expected:?}");
    for cut in 0..=len {
        let mut client = Parser::resuming(first_id);
        let mut answer = sse(address, path, first_id).await;
        client.push(&answer.read_exactly(cut).await);
        drop(answer);
        // What a browser does: incomplete frames are dropped, the ID stays.
        let id = &client.last_event_id;
        let mut resumed = Parser::default();
        read_until_event(&mut sse(address, path, id).await, &mut resumed, "caught_up").await;
        let mut all = told(&client);
        all.extend(told(&resumed));
        all.sort();
        assert_eq!(all, expected, "cut after {cut} bytes, resumed from {id:?}");
    }
}

async fn a_stream_cut_at_every_byte(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 4).await;
    cut_everywhere(edge.address, "/v1/streams/a", &cursors[0].to_string()).await;
}

async fn a_merged_tail_cut_at_every_byte(engine: Engine) {
    let edge = engine.edge().await;
    let a = engine.publish("a", "0").await;
    let b = engine.publish("b", "0").await;
    for number in 1..3 {
        engine.publish("a", &number.to_string()).await;
        engine.publish("b", &number.to_string()).await;
    }
    cut_everywhere(
        edge.address,
        "/v1/tail?stream=a&stream=b",
        &format!("a~{a},b~{b}"),
    )
    .await;
}

async fn a_reset_cut_at_every_byte(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 3).await;
    let b = engine.publish("b", "0").await;
    // In `b` a claim of more entries than there ever were, in `a` an ordinary position.
    let first = format!("a~{},b~{}.99", cursors[0], b.id);
    cut_everywhere(edge.address, "/v1/tail?stream=a&stream=b", &first).await;
}

async fn a_gap_cut_at_every_byte(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 6).await;
    engine.trim("a", 2).await;
    cut_everywhere(edge.address, "/v1/streams/a", &cursors[0].to_string()).await;
}

/// The verdict is on the start itself, and the client brings no ID along at first.
async fn a_gap_from_the_start_cut_at_every_byte(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 6).await;
    engine.trim("a", 2).await;
    cut_everywhere(edge.address, "/v1/streams/a?from=start", "").await;
}

async fn lines_cut_at_every_byte(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 4).await;
    let path = |from: &str| format!("/v1/streams/a?from={from}");
    let caught_up = |b: &[u8]| objects(b).last().is_some_and(|o| o["control"] == "caught_up");
    let numbers = |b: &[u8]| -> Vec<Value> {
        objects(b)
            .into_iter()
            .filter_map(|o| o.get("data").cloned())
            .collect()
    };
    let first = cursors[0].to_string();
    let len = ndjson(edge.address, &path(&first))
        .await
        .read_until(caught_up)
        .await
        .len();
    for cut in 0..=len {
        let begun = ndjson(edge.address, &path(&first)).await.read_exactly(cut).await;
        let id = objects(&begun)
            .last()
            .map_or(first.clone(), |o| o["cursor"].as_str().unwrap().to_owned());
        let resumed = ndjson(edge.address, &path(&id)).await.read_until(caught_up).await;
        let all = [numbers(&begun), numbers(&resumed)].concat();
        assert_eq!(all, [1, 2, 3], "cut after {cut} bytes, resumed from {id}");
    }
}

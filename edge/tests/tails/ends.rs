//! Tails with an `until`: they end by themselves, and a client that comes back after the end is stopped.

use crate::client::{ndjson, sse};
use crate::engines::{Engine, on_both_engines};
use crate::sse_parser::Parser;
use crate::told::{data, objects};

on_both_engines! {
    a_tail_with_an_end_ends;
    an_event_source_that_comes_back_after_the_end_is_stopped;
}

async fn a_tail_with_an_end_ends(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 2).await;
    let mut answer = ndjson(edge.address, "/v1/streams/a?from=start&until=0s").await;
    let told = objects(&answer.read_to_end().await);
    assert_eq!([&told[0]["data"], &told[1]["data"]], [0, 1]);
    let last = told.last().unwrap();
    assert_eq!(last["control"], "ended");
    assert_eq!(last["stream"], "a");
    assert_eq!(last["cursor"], told[1]["cursor"]);
    let mut answer = ndjson(edge.address, "/v1/tail?stream=a&stream=b&from=start&until=0s").await;
    let told = objects(&answer.read_to_end().await);
    let ended: Vec<_> = told.iter().filter(|o| o["control"] == "ended").collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0], told.last().unwrap());
}

async fn an_event_source_that_comes_back_after_the_end_is_stopped(engine: Engine) {
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 2).await;
    let until = shared::time::now_ms() + 1;
    let mut time = Vec::new();
    shared::time::push_rfc3339(&mut time, until);
    let path = format!(
        "/v1/streams/a?from=start&until={}",
        String::from_utf8(time).unwrap()
    );
    let mut answer = sse(edge.address, &path, "").await;
    let mut parser = Parser::default();
    parser.push(&answer.read_to_end().await);
    assert_eq!(data(&parser.events), [0, 1]);
    assert_eq!(parser.events.last().unwrap().event, "ended");
    let again = sse(edge.address, &path, &parser.last_event_id).await;
    assert_eq!(again.status, 204);
    // Who was cut off before the end is told the rest first.
    let mut cut_off = sse(edge.address, &path, &cursors[0].to_string()).await;
    let mut parser = Parser::default();
    parser.push(&cut_off.read_to_end().await);
    assert_eq!(data(&parser.events), [1]);
    assert_eq!(parser.events.last().unwrap().event, "ended");
}

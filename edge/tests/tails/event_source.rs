//! An `EventSource` of its makers' own, in Node: it reconnects by itself, and all that brings it back to the right
//! place is what the edge sends.

use std::path::Path;

use serde_json::Value;

use crate::cutting_proxy::CuttingProxy;
use crate::engines::{Engine, on_both_engines};
use crate::program::Program;

on_both_engines! {
    an_event_source_loses_nothing_over_cuts_and_edges;
    an_event_source_goes_from_a_stopped_edge_to_another;
    an_event_source_stops_at_the_end;
}

fn event_source(url: &str) -> Program {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
    assert!(
        folder.join("node_modules/eventsource").is_dir(),
        "this test needs Node 18 or newer and the packages of edge/tests/js: run `npm ci` in that folder"
    );
    let script = folder.join("event_source.mjs");
    Program::start("node", &[script.to_str().unwrap(), url])
}

async fn next(node: &mut Program) -> Value {
    serde_json::from_str(&node.line().await.expect("it goes on")).unwrap()
}

/// Takes numbers until `last` has come, which must come in order, once each; a verdict must not come at all.
async fn take_numbers(node: &mut Program, numbers: &mut Vec<u64>, last: u64) {
    while numbers.last() != Some(&last) {
        let told = next(node).await;
        match told["type"].as_str().unwrap() {
            "message" => {
                numbers.push(told["data"]["data"].as_u64().unwrap());
                assert_eq!(told["id"], told["data"]["cursor"]);
            }
            "open" | "error" | "caught_up" => {}
            other => panic!("told {other}: {told}"),
        }
        assert!(
            numbers.iter().copied().eq(0..numbers.len() as u64),
            "in order, once each: {numbers:?}"
        );
    }
}

async fn an_event_source_loses_nothing_over_cuts_and_edges(engine: Engine) {
    let edges = [engine.edge().await, engine.edge().await];
    let addresses = edges.iter().map(|edge| edge.address).collect();
    // The head has about 200 bytes and a frame about 200: each connection brings a few whole ones and is cut in
    // mid-frame, or even in mid-head.
    let proxy = CuttingProxy::start(addresses, |number| 150 + (number * 397) % 2_000).await;
    let mut node = event_source(&format!("http://{}/v1/streams/a?from=start", proxy.address));
    let mut numbers = Vec::new();
    for round in 0..20 {
        engine.publish_numbers("a", round * 5, round * 5 + 5).await;
        take_numbers(&mut node, &mut numbers, round as u64 * 5 + 4).await;
    }
    assert!(
        proxy.connections() >= 10,
        "only {} connections were needed",
        proxy.connections()
    );
}

async fn an_event_source_goes_from_a_stopped_edge_to_another(engine: Engine) {
    let edges = [engine.edge().await, engine.edge().await];
    let addresses = edges.iter().map(|edge| edge.address).collect();
    let proxy = CuttingProxy::start(addresses, |_| usize::MAX).await;
    let mut node = event_source(&format!("http://{}/v1/streams/a", proxy.address));
    while next(&mut node).await["type"] != "caught_up" {}
    let mut numbers = Vec::new();
    engine.publish_numbers("a", 0, 3).await;
    take_numbers(&mut node, &mut numbers, 2).await;
    edges[0].shutdown.cancel();
    assert_eq!(
        next(&mut node).await["type"],
        "error",
        "it is cut off, not closed"
    );
    engine.publish_numbers("a", 3, 6).await;
    take_numbers(&mut node, &mut numbers, 5).await;
    assert_eq!(proxy.connections(), 2);
}

async fn an_event_source_stops_at_the_end(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 3).await;
    let mut until = Vec::new();
    shared::time::push_rfc3339(&mut until, shared::time::now_ms() + 1);
    let until = String::from_utf8(until).unwrap();
    let mut node = event_source(&edge.url(&format!("/v1/streams/a?from=start&until={until}")));
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "closed") {
        kinds.push(next(&mut node).await["type"].as_str().unwrap().to_owned());
    }
    let messages = kinds.iter().filter(|kind| *kind == "message").count();
    assert_eq!(messages, 3);
    assert_eq!(kinds.iter().filter(|kind| *kind == "ended").count(), 1);
}

//! Declared routes, beside what the example of the documentation shows.

use serde_json::{Value, json};

use crate::client::{Client, Event};
use crate::engines::{Engine, on_both_engines};
use crate::support::TestEdge;

on_both_engines! {
    a_route_goes_before_the_built_in_event_of_its_name;
    several_streams_are_followed_and_left_by_one_event;
    announcements_are_stored_or_not_and_reach_the_sender_or_not;
    namespaces_of_a_pattern_have_their_own_streams_and_clients;
    what_a_template_lacks_is_an_error_and_no_other_stream;
}

const ROUTES: &str = r#"
[socketio]
namespaces = [{ name = "/" }, { name = "/org-*" }]

[[socketio.routes]]
event = "publish"
action = "publish"
stream = "own:{0.room}"
as = "said"

[[socketio.routes]]
event = "enter"
action = "subscribe"
streams = ["room:{0}", "presence:{0}"]
announce = { event = "entered" }

[[socketio.routes]]
event = "leave"
action = "unsubscribe"
streams = ["room:{0}", "presence:{0}"]

[[socketio.routes]]
event = "peek"
action = "subscribe"
stream = "room:{0}"
announce = { event = "peeked", ephemeral = true }
echo = false

[[socketio.routes]]
namespace = "/org-*"
event = "connect"
action = "subscribe"
stream = "{namespace}:all"

[[socketio.routes]]
namespace = "/org-*"
event = "say"
action = "publish"
stream = "{namespace}:all"
"#;

async fn edge_with_routes(engine: &mut Engine) -> TestEdge {
    engine.config.socketio = edge::config::Config::from_toml(ROUTES).unwrap().socketio;
    engine.edge().await
}

async fn connected(edge: &TestEdge, namespace: &str) -> Client {
    let mut client = Client::start(&edge.url(namespace)).await;
    client.connected().await;
    client
}

fn shown(event: &Event) -> (&str, &Value) {
    (&event.name, &event.meta()["stream"])
}

async fn a_route_goes_before_the_built_in_event_of_its_name(mut engine: Engine) {
    let edge = edge_with_routes(&mut engine).await;
    let mut client = connected(&edge, "").await;
    client
        .ask("subscribe", json!([{"streams": ["own:x", "y"]}]))
        .await;
    let answer = client
        .ask("publish", json!([{"room": "x", "stream": "y", "data": 1}]))
        .await;
    assert!(answer["id"].is_string());
    let event = client.ordinary().await;
    assert_eq!(shown(&event), ("said", &json!("own:x")));
    // A field that is used stays where it is.
    assert_eq!(event.data(), &json!({"room": "x", "stream": "y", "data": 1}));
}

async fn several_streams_are_followed_and_left_by_one_event(mut engine: Engine) {
    let edge = edge_with_routes(&mut engine).await;
    let mut client = connected(&edge, "").await;
    let answer = client.ask("enter", json!(["7", {"name": "ann"}])).await;
    assert_eq!(answer["ok"], true);
    let streams: Vec<&String> = answer["streams"].as_object().unwrap().keys().collect();
    assert_eq!(streams, ["room:7", "presence:7"]);
    engine.publish("presence:7", "1").await;
    let events = [(); 3];
    let mut names = Vec::new();
    for () in events {
        let event = client.ordinary().await;
        names.push(event.name);
    }
    assert_eq!(names, ["entered", "entered", "message"]);
    assert_eq!(client.ask("leave", json!(["7"])).await["ok"], true);
    engine.publish("room:7", "2").await;
    assert_eq!(
        client
            .events_so_far()
            .await
            .iter()
            .filter(|e| e.name == "message")
            .count(),
        0
    );
}

async fn announcements_are_stored_or_not_and_reach_the_sender_or_not(mut engine: Engine) {
    let edge = edge_with_routes(&mut engine).await;
    let mut first = connected(&edge, "").await;
    first.ask("peek", json!(["7", "ann"])).await;
    let mut second = connected(&edge, "").await;
    second.ask("peek", json!(["7", "bob"])).await;
    let event = first.ordinary().await;
    assert_eq!(
        event.args,
        [json!("bob"), json!({"stream": "room:7", "ephemeral": true})]
    );
    assert_eq!((event.name.as_str(), event.offset), ("peeked", None));
    second.ask("enter", json!(["7"])).await;
    let event = first.ordinary().await;
    assert_eq!(event.name, "entered");
    // Nothing was left to announce.
    assert_eq!(event.args.len(), 1);
    assert_eq!(second.ordinary().await.name, "entered");
    let page = first.ask("history", json!([{"stream": "room:7"}])).await;
    let names: Vec<&Value> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["event"])
        .collect();
    assert_eq!(names, ["entered"]);
}

async fn namespaces_of_a_pattern_have_their_own_streams_and_clients(mut engine: Engine) {
    let edge = edge_with_routes(&mut engine).await;
    let mut one = connected(&edge, "/org-1").await;
    let mut two = connected(&edge, "/org-2").await;
    one.until_caught_up("org-1:all").await;
    two.until_caught_up("org-2:all").await;
    for (client, word) in [(&mut one, "for one"), (&mut two, "for two")] {
        assert!(client.ask("say", json!([word])).await["id"].is_string());
    }
    assert_eq!(one.event().await.data(), "for one");
    assert_eq!(two.event().await.data(), "for two");
    // Routes are those of the namespace.
    assert_eq!(
        one.ask("peek", json!(["7"])).await["error"]["code"],
        "unknown_event"
    );
    let mut nowhere = Client::start(&edge.url("/other")).await;
    let told = nowhere
        .find("a refusal", |told| told["type"] == "connect_error")
        .await;
    assert_eq!(told["message"], "Invalid namespace");
}

async fn what_a_template_lacks_is_an_error_and_no_other_stream(mut engine: Engine) {
    let edge = edge_with_routes(&mut engine).await;
    let mut client = connected(&edge, "").await;
    for args in [
        json!([]),
        json!([""]),
        json!([null]),
        json!([{"id": 7}]),
        json!([["7"]]),
        json!([true]),
        json!([1.5]),
        json!(["a b"]),
        json!(["ä"]),
        json!(["x".repeat(200)]),
        json!([{"$bin": [55]}]),
    ] {
        let answer = client.ask("enter", args.clone()).await;
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        assert!(
            ["invalid_event", "invalid_stream"].contains(&code),
            "{args}: {answer}"
        );
    }
    assert_eq!(client.ask("enter", json!([7])).await["ok"], true);
    assert_eq!(client.ask("enter", json!([-7])).await["ok"], true);
}

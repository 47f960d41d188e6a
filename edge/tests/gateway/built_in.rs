//! Every built-in event, on both engines and both transports.

use serde_json::{Value, json};

use crate::client::{Client, over};
use crate::engines::{Engine, on_both_engines};

on_both_engines! {
    events_are_published_and_delivered_over_both_transports;
    subscriptions_begin_where_they_are_asked_to;
    several_streams_are_followed_under_one_answer;
    a_filter_lets_through_what_it_should;
    what_is_left_is_not_delivered_any_more;
    history_is_read_in_pages;
    what_cannot_be_done_is_told_in_the_acknowledgement;
    an_event_without_an_acknowledgement_is_done_all_the_same;
    what_comes_before_a_goodbye_is_done;
    without_echo_the_sender_does_not_get_it_back;
    a_key_that_is_known_adds_nothing;
}

async fn connected(engine: &Engine) -> (crate::support::TestEdge, Client) {
    let edge = engine.edge().await;
    let mut client = Client::start(&edge.url("")).await;
    let told = client.connected().await;
    assert_eq!(
        (&told["recovered"], &told["transport"]),
        (&json!(false), &json!("websocket"))
    );
    (edge, client)
}

async fn events_are_published_and_delivered_over_both_transports(engine: Engine) {
    let edge = engine.edge().await;
    for transport in ["polling", "websocket"] {
        let mut client = Client::start_with(&edge.url(""), over(transport)).await;
        assert_eq!(client.connected().await["transport"], transport);
        let stream = format!("doc:{transport}");
        let answer = client.ask("subscribe", json!([{"stream": stream}])).await;
        assert_eq!(
            answer,
            json!({"ok": true, "cursor": "0-0.0", "verdict": {"kind": "continuous"}})
        );
        let event = client.event().await;
        assert_eq!(event.name, "stream:caught_up");
        assert_eq!(event.args, [json!({"stream": stream, "cursor": "0-0.0"})]);
        let data = json!({"text": "grüße \"x\"", "n": [1, 2.5, null, true]});
        let answer = client
            .ask(
                "publish",
                json!([{"stream": stream, "event": "edit", "data": data}]),
            )
            .await;
        let event = client.event().await;
        assert_eq!((event.name.as_str(), event.data()), ("edit", &data));
        assert_eq!(event.meta()["stream"], stream.as_str());
        assert_eq!(
            (&event.meta()["id"], &event.meta()["cursor"]),
            (&answer["id"], &answer["cursor"])
        );
        assert!(event.meta()["time"].as_str().unwrap().ends_with('Z'));
        assert!(event.offset.unwrap().starts_with(&client.id()[..8]));
    }
}

async fn subscriptions_begin_where_they_are_asked_to(engine: Engine) {
    let cursors = engine.publish_numbers("a", 0, 5).await;
    let (_edge, mut client) = connected(&engine).await;
    for (begin, first) in [
        (json!({"from": "start"}), 0),
        (json!({"from": cursors[1].to_string()}), 2),
        (json!({"from": cursors[2].id.to_string()}), 3),
        (json!({"last": 2}), 3),
        (json!({"since": "1h"}), 0),
        (json!({"from": "now"}), 5),
        (json!({}), 5),
    ] {
        let mut argument = begin.clone();
        argument["stream"] = json!("a");
        let answer = client.ask("subscribe", json!([argument])).await;
        assert_eq!(answer["ok"], true, "{begin}: {answer}");
        let events = client.until_caught_up("a").await;
        let numbers: Vec<u64> = events
            .iter()
            .filter(|event| event.name == "message")
            .map(|event| event.data().as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (first..5).collect::<Vec<_>>(), "{begin}");
        client.ask("unsubscribe", json!([{"stream": "a"}])).await;
    }
}

async fn several_streams_are_followed_under_one_answer(engine: Engine) {
    let a = engine.publish_numbers("a", 0, 2).await;
    let (_edge, mut client) = connected(&engine).await;
    let streams = json!({"a": a[0].to_string(), "b": "start"});
    let answer = client.ask("subscribe", json!([{"streams": streams}])).await;
    assert_eq!(answer["cursor"], format!("a~{},b~0-0.0", a[0]));
    assert_eq!(answer["streams"]["b"]["verdict"]["kind"], "continuous");
    assert_eq!(client.ordinary().await.data(), 1);
    engine.publish("b", "\"from b\"").await;
    let event = client.ordinary().await;
    assert_eq!(
        (event.data(), &event.meta()["stream"]),
        (&json!("from b"), &json!("b"))
    );
    // Each event says how far the client has come in all of them.
    let offset = event.offset.unwrap();
    assert_eq!(offset.matches('~').count(), 2, "{offset}");

    let cursor = answer["cursor"].clone();
    let again = json!([{"streams": ["a", "b"], "from": cursor}]);
    let kept = client.ask("subscribe", again.clone()).await;
    let already = |stream: &str| kept["streams"][stream]["already"] == true;
    assert!(already("a") && already("b"), "{kept}");
    assert_eq!(client.events_so_far().await, []);
    client.ask("unsubscribe", json!([{"streams": ["a", "b"]}])).await;
    assert_eq!(client.ask("subscribe", again).await["ok"], true);
    let data = [client.ordinary().await, client.ordinary().await].map(|event| event.data().clone());
    assert_eq!(data, [json!(1), json!("from b")], "anew, and merged by time");
}

async fn a_filter_lets_through_what_it_should(engine: Engine) {
    let (_edge, mut client) = connected(&engine).await;
    let argument = json!({"stream": "a", "event": ["keep", "also"], "match": "^[0-4]$"});
    client.ask("subscribe", json!([argument])).await;
    for (n, name) in ["keep", "drop", "also", "keep"].iter().enumerate() {
        let data = json!([{"stream": "a", "event": name, "data": n * 2}]);
        assert!(client.ask("publish", data).await["id"].is_string());
    }
    assert_eq!(client.ordinary().await.data(), 0);
    assert_eq!(client.ordinary().await.data(), 4);
    // Six does not match.
    assert_eq!(client.events_so_far().await, []);
    // What is held back moves the position all the same, and that is told from time to time.
    engine.publish_numbers("a", 0, 1_001).await;
    let told = client
        .find("a position", |told| told["name"] == "stream:cursor")
        .await;
    assert_eq!(told["args"][0]["stream"], "a");
}

async fn what_is_left_is_not_delivered_any_more(engine: Engine) {
    let (_edge, mut client) = connected(&engine).await;
    client.ask("subscribe", json!([{"streams": ["a", "b"]}])).await;
    assert_eq!(
        client.ask("unsubscribe", json!([{"stream": "a"}])).await,
        json!({"ok": true})
    );
    engine.publish("a", "1").await;
    engine.publish("b", "2").await;
    let event = client.ordinary().await;
    assert_eq!((event.data(), &event.meta()["stream"]), (&json!(2), &json!("b")));
    let answer = client.ask("unsubscribe", json!([{"streams": ["a", "b"]}])).await;
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["error"]["code"], "not_subscribed");
    assert_eq!(answer["streams"]["b"], json!({"ok": true}));
}

async fn history_is_read_in_pages(engine: Engine) {
    let cursors = engine.publish_numbers("a", 0, 7).await;
    let (_edge, mut client) = connected(&engine).await;
    let numbers = |page: &Value| -> Vec<u64> {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["data"].as_u64().unwrap()).collect()
    };
    let page = client.ask("history", json!([{"stream": "a", "limit": 3}])).await;
    assert_eq!(numbers(&page), [0, 1, 2]);
    assert_eq!(
        (&page["tail_reached"], &page["cursor"]),
        (&json!(false), &json!(cursors[2].to_string()))
    );
    let rest = client
        .ask("history", json!([{"stream": "a", "from": page["cursor"]}]))
        .await;
    assert_eq!(numbers(&rest), [3, 4, 5, 6]);
    assert_eq!(
        (&rest["tail_reached"], &rest["verdict"]["kind"]),
        (&json!(true), &json!("continuous"))
    );
    let newest = client
        .ask("history", json!([{"stream": "a", "reverse": true, "limit": 2}]))
        .await;
    assert_eq!(numbers(&newest), [6, 5]);
    // One answer has so many bytes at the most.
    let large = json!({"text": "x".repeat(300 * 1024)});
    for _ in 0..3 {
        engine.publish("large", &large.to_string()).await;
    }
    let page = client.ask("history", json!([{"stream": "large"}])).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    assert_eq!(page["tail_reached"], false);
}

async fn what_cannot_be_done_is_told_in_the_acknowledgement(engine: Engine) {
    let (_edge, mut client) = connected(&engine).await;
    for (event, args, code) in [
        ("sing", json!([1]), "unknown_event"),
        ("subscribe", json!([]), "invalid_event"),
        ("subscribe", json!([{"stream": "a b"}]), "invalid_stream"),
        (
            "subscribe",
            json!([{"stream": "a", "from": "yesterday"}]),
            "invalid_parameter",
        ),
        ("unsubscribe", json!([{"stream": "a"}]), "not_subscribed"),
        ("publish", json!([{"stream": "a"}]), "invalid_event"),
        (
            "publish",
            json!([{"stream": "a", "data": 1, "key": "ä"}]),
            "invalid_key",
        ),
        (
            "history",
            json!([{"stream": "a", "limit": 0}]),
            "invalid_parameter",
        ),
    ] {
        let answer = client.ask(event, args.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{event} {args}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 10);
    }
    // An event above its limit, in a message that is within its own.
    let data = "x".repeat(900_000);
    let mut config = engine.config.clone();
    config.limits.event_bytes_max = 500_000;
    let tight = Engine::memory(config).await;
    let edge = tight.edge().await;
    let mut other = Client::start(&edge.url("")).await;
    let answer = other.ask("publish", json!([{"stream": "a", "data": data}])).await;
    assert_eq!(answer["error"]["code"], "too_large", "{answer}");
    // As many streams as one socket may follow, and no more.
    let names: Vec<String> = (0..64).map(|n| format!("s:{n}")).collect();
    let answer = client.ask("subscribe", json!([{"streams": names}])).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let answer = client.ask("subscribe", json!([{"stream": "one-more"}])).await;
    assert_eq!(answer["error"]["code"], "too_many_subscriptions");
}

async fn an_event_without_an_acknowledgement_is_done_all_the_same(engine: Engine) {
    let (_edge, mut client) = connected(&engine).await;
    client.emit("subscribe", json!([{"stream": "a"}])).await;
    client.emit("sing", json!([])).await;
    client.emit("publish", json!([{"stream": "a", "data": 7}])).await;
    assert_eq!(client.ordinary().await.data(), 7);
    client.emit("unsubscribe", json!([{"stream": "a"}])).await;
    client.emit("history", json!([{"stream": "a"}])).await;
    let answer = client.ask("unsubscribe", json!([{"stream": "a"}])).await;
    assert_eq!(answer["error"]["code"], "not_subscribed");
}

async fn what_comes_before_a_goodbye_is_done(engine: Engine) {
    let edge = engine.edge().await;
    let mut reader = Client::start(&edge.url("")).await;
    reader.ask("subscribe", json!([{"stream": "a"}])).await;
    reader.until_caught_up("a").await;
    for round in 0..10 {
        let mut client = Client::start(&edge.url("")).await;
        client.connected().await;
        client
            .tell(
                json!({"do": "emit_and_leave", "event": "publish", "args": [{"stream": "a", "data": round}]}),
            )
            .await;
        assert_eq!(reader.event().await.data(), round);
    }
}

async fn without_echo_the_sender_does_not_get_it_back(engine: Engine) {
    let (edge, mut client) = connected(&engine).await;
    let mut other = Client::start(&edge.url("")).await;
    for client in [&mut client, &mut other] {
        client.ask("subscribe", json!([{"stream": "a"}])).await;
        client.until_caught_up("a").await;
    }
    client
        .ask(
            "publish",
            json!([{"stream": "a", "data": "silent", "echo": false}]),
        )
        .await;
    client
        .ask("publish", json!([{"stream": "a", "data": "heard"}]))
        .await;
    assert_eq!(other.event().await.data(), "silent");
    assert_eq!(other.event().await.data(), "heard");
    assert_eq!(client.event().await.data(), "heard");
    assert_eq!(client.events_so_far().await, []);
}

async fn a_key_that_is_known_adds_nothing(engine: Engine) {
    let (_edge, mut client) = connected(&engine).await;
    let publish = json!([{"stream": "a", "data": 1, "key": "op-1"}]);
    let first = client.ask("publish", publish.clone()).await;
    let second = client.ask("publish", publish).await;
    assert_eq!(
        (&second["id"], &second["duplicate"]),
        (&first["id"], &json!(true))
    );
    assert_eq!(first.get("duplicate"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_told_when_no_replica_has_its_event() {
    let group = broker::testing::SentinelGroup::start(1, &[]).await;
    let redis = broker::RedisConfig {
        durability_timeout: std::time::Duration::from_millis(200),
        ..broker::RedisConfig::new(group.url())
    };
    let log = broker::RedisLog::connect(redis).await.unwrap();
    let edge = crate::support::TestEdge::start_on(log, edge::config::Config::default()).await;
    let mut client = Client::start(&edge.url("")).await;
    client.connected().await;
    group.replica().pause();
    let publish = json!([{"stream": "a", "data": 1, "durability": "replicas:1"}]);
    let told = client.ask("publish", publish).await;
    assert_eq!(told["error"]["code"], "not_durable", "{told}");
    let page = client.ask("history", json!([{"stream": "a"}])).await;
    assert_eq!(page["events"][0]["id"], told["error"]["id"]);
    assert_eq!(page["events"][0]["cursor"], told["error"]["cursor"]);
    let told = client
        .ask(
            "publish",
            json!([{"stream": "a", "data": 1, "durability": "primary"}]),
        )
        .await;
    assert!(told["id"].is_string(), "{told}");
    for wrong in [
        json!([{"stream": "a", "data": 1, "durability": "all"}]),
        json!([{"stream": "a", "data": 1, "durability": "primary", "ephemeral": true}]),
    ] {
        let told = client.ask("publish", wrong).await;
        assert!(
            told["error"]["message"].as_str().unwrap().contains("durability"),
            "{told}"
        );
    }
}

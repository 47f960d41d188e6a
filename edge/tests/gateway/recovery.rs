//! Sessions that are recovered, and sessions that are not: on edges in this process, with both engines.

use serde_json::{Value, json};

use crate::client::{Client, Event, over};
use crate::engines::{Engine, on_both_engines};
use crate::proxy::RoundRobin;
use crate::support::TestEdge;
use crate::two_edges;

on_both_engines! {
    connections_that_are_cut_again_and_again_cost_nothing;
    a_client_that_has_received_nothing_yet_recovers;
    several_streams_go_on_each_from_where_the_client_stands;
    a_front_end_that_subscribes_whenever_it_connects_misses_nothing;
    what_was_left_or_followed_anew_stays_so;
    what_the_sender_wants_no_echo_of_is_not_brought_by_recovery;
    a_drain_leads_the_client_to_another_edge;
    an_unknown_session_begins_anew;
    a_client_that_leaves_by_itself_gives_up_its_session;
    sessions_belong_to_their_namespace;
    a_session_that_was_taken_over_ends_where_it_was;
    without_recovery_there_is_no_session_to_come_back_to;
}

/// The edges, and a balancer in front of them.
async fn balanced(edges: &[TestEdge; 2]) -> RoundRobin {
    RoundRobin::start(edges.iter().map(|edge| edge.address).collect()).await
}

/// Takes numbers from `from` to `to`, which must come in order, once each, and nothing may be told to be missing.
pub async fn take_numbers(client: &mut Client, stream: &str, from: u64, to: u64) {
    for expected in from..to {
        let event = loop {
            let event = client.event().await;
            if event.name != "stream:caught_up" {
                break event;
            }
        };
        let (name, meta) = (event.name.as_str(), event.meta());
        assert_eq!((name, &meta["stream"]), ("message", &json!(stream)), "{event:?}");
        assert_eq!(event.data(), expected);
    }
}

async fn back(client: &mut Client, recovered: bool) -> Value {
    let told = client.connected().await;
    assert_eq!(told["recovered"], recovered, "{told}");
    told
}

async fn connections_that_are_cut_again_and_again_cost_nothing(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    let mut client = Client::start(&proxy.url()).await;
    let first = back(&mut client, false).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    for round in 0..8u64 {
        let numbers = round as usize * 10..round as usize * 10 + 10;
        engine
            .publish_numbers("a", numbers.start, numbers.start + 5)
            .await;
        if round % 2 == 0 {
            proxy.cut();
        } else {
            client.tell(json!({"do": "cut"})).await;
        }
        engine.publish_numbers("a", numbers.start + 5, numbers.end).await;
        let told = back(&mut client, true).await;
        assert_eq!((&told["id"], &told["pid"]), (&first["id"], &first["pid"]));
        take_numbers(&mut client, "a", numbers.start as u64, numbers.end as u64).await;
    }
    // It is a session like any other.
    assert_eq!(
        client.ask("unsubscribe", json!([{"stream": "a"}])).await,
        json!({"ok": true})
    );
    assert!(proxy.accepted() >= 9);
}

async fn a_client_that_has_received_nothing_yet_recovers(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    engine.publish_numbers("a", 0, 3).await;
    let mut client = Client::start(&proxy.url()).await;
    back(&mut client, false).await;
    // Twice, before there was anything.
    for _ in 0..2 {
        proxy.cut();
        back(&mut client, true).await;
    }
    let answer = client
        .ask("subscribe", json!([{"stream": "a", "from": "start"}]))
        .await;
    assert_eq!(answer["ok"], true);
    // All it had until now is the answer, or perhaps a part of what follows it.
    proxy.cut();
    back(&mut client, true).await;
    proxy.cut();
    back(&mut client, true).await;
    take_numbers(&mut client, "a", 0, 3).await;
    assert!(
        client
            .events_so_far()
            .await
            .iter()
            .all(|event| event.name == "stream:caught_up")
    );
}

async fn several_streams_go_on_each_from_where_the_client_stands(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    let mut client = Client::start(&proxy.url()).await;
    back(&mut client, false).await;
    let names: Vec<String> = (0..8).map(|n| format!("s:{n}")).collect();
    client.ask("subscribe", json!([{"streams": names}])).await;
    let mut next = [0u64; 8];
    let mut published = [0usize; 8];
    for round in 0..6 {
        for (n, name) in names.iter().enumerate() {
            // Some streams have more to tell than others, one has nothing.
            engine.publish_numbers(name, published[n], published[n] + n).await;
            published[n] += n;
            if n == round {
                proxy.cut();
            }
        }
        back(&mut client, true).await;
        while next
            .iter()
            .zip(&published)
            .any(|(next, published)| *next < *published as u64)
        {
            let event = client.ordinary().await;
            let n: usize = event.meta()["stream"].as_str().unwrap()[2..].parse().unwrap();
            assert_eq!(event.data(), next[n], "of {}", names[n]);
            next[n] += 1;
        }
    }
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

/// Front ends that know nothing of `recovered` join whenever they connect, while what they missed is on its way.
async fn a_front_end_that_subscribes_whenever_it_connects_misses_nothing(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    let mut client = Client::start(&proxy.url()).await;
    back(&mut client, false).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    for round in 0..3 {
        proxy.cut();
        engine.publish_numbers("a", round * 500, round * 500 + 500).await;
        back(&mut client, true).await;
        let answer = client.ask("subscribe", json!([{"stream": "a"}])).await;
        assert_eq!((&answer["ok"], &answer["already"]), (&json!(true), &json!(true)));
        take_numbers(&mut client, "a", round as u64 * 500, round as u64 * 500 + 500).await;
    }
}

async fn what_was_left_or_followed_anew_stays_so(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    engine.publish_numbers("a", 0, 5).await;
    let mut client = Client::start(&proxy.url()).await;
    back(&mut client, false).await;
    client
        .ask("subscribe", json!([{"streams": {"a": "start", "b": "start"}}]))
        .await;
    take_numbers(&mut client, "a", 0, 5).await;
    client.ask("unsubscribe", json!([{"stream": "b"}])).await;
    // Anew from the beginning: the position it had before counts no more, though the client still presents it.
    client.ask("unsubscribe", json!([{"stream": "a"}])).await;
    client
        .ask("subscribe", json!([{"stream": "a", "from": "start"}]))
        .await;
    proxy.cut();
    engine.publish("b", "1").await;
    back(&mut client, true).await;
    // What it had got before it was cut is not brought again: so it has each of them once, wherever it was cut.
    take_numbers(&mut client, "a", 0, 5).await;
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

async fn what_the_sender_wants_no_echo_of_is_not_brought_by_recovery(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    let mut client = Client::start(&proxy.url()).await;
    back(&mut client, false).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    for n in 0..3 {
        let publish = json!([{"stream": "a", "data": format!("own {n}"), "echo": false}]);
        assert!(client.ask("publish", publish).await["id"].is_string());
        proxy.cut();
        back(&mut client, true).await;
        engine.publish("a", &n.to_string()).await;
        take_numbers(&mut client, "a", n, n + 1).await;
    }
}

async fn a_drain_leads_the_client_to_another_edge(engine: Engine) {
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    let mut client = Client::start(&proxy.url()).await;
    back(&mut client, false).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    engine.publish_numbers("a", 0, 3).await;
    take_numbers(&mut client, "a", 0, 3).await;
    // The client is on the first edge.
    edges[0].shutdown.cancel();
    assert_eq!(client.disconnected().await, "transport close");
    engine.publish_numbers("a", 3, 6).await;
    back(&mut client, true).await;
    take_numbers(&mut client, "a", 3, 6).await;
}

async fn an_unknown_session_begins_anew(engine: Engine) {
    let edge = engine.edge().await;
    let mut client = Client::start_with(
        &edge.url(""),
        json!({"autoConnect": false, "transports": ["websocket"]}),
    )
    .await;
    for (pid, offset) in [
        ("AAAAAAAAAAAAAAAAAAAAAAAA", "k3Jx9aQw:0~1-0.1"),
        ("not a pid", ""),
    ] {
        client
            .tell(json!({"do": "claim", "pid": pid, "offset": offset}))
            .await;
        client.tell(json!({"do": "connect"})).await;
        let told = back(&mut client, false).await;
        assert_ne!(told["pid"], pid);
        assert!(told["pid"].is_string());
        let answer = client.ask("unsubscribe", json!([{"stream": "a"}])).await;
        assert_eq!(
            answer["error"]["code"], "not_subscribed",
            "a new session follows nothing"
        );
        client.tell(json!({"do": "disconnect"})).await;
        client.disconnected().await;
    }
}

async fn a_client_that_leaves_by_itself_gives_up_its_session(engine: Engine) {
    let edge = engine.edge().await;
    for transport in ["websocket", "polling"] {
        let mut client = Client::start_with(&edge.url(""), over(transport)).await;
        let first = back(&mut client, false).await;
        client.ask("subscribe", json!([{"stream": "a"}])).await;
        client.tell(json!({"do": "disconnect"})).await;
        assert_eq!(client.disconnected().await, "io client disconnect");
        let pid: shared::SessionId = first["pid"].as_str().unwrap().parse().unwrap();
        gone(&engine, &pid).await;
        // The library presents it all the same.
        client.tell(json!({"do": "connect"})).await;
        let told = back(&mut client, false).await;
        assert_ne!(told["pid"], first["pid"]);
    }
}

/// Waits until a session is forgotten.
async fn gone(engine: &Engine, pid: &shared::SessionId) {
    let deadline = tokio::time::Instant::now() + crate::client::DEADLINE;
    let ttl = std::time::Duration::from_secs(60);
    while engine.log.sessions().touch(pid, ttl).await.unwrap() == broker::Touched::Known {
        assert!(tokio::time::Instant::now() < deadline, "the session stays");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn sessions_belong_to_their_namespace(mut engine: Engine) {
    let config = r#"socketio.namespaces = [{ name = "/" }, { name = "/other" }]"#;
    engine.config.socketio = edge::config::Config::from_toml(config).unwrap().socketio;
    let edge = engine.edge().await;
    let mut one = Client::start(&edge.url("")).await;
    let pid = back(&mut one, false).await["pid"].clone();
    let mut other = Client::start_with(
        &edge.url("/other"),
        json!({"autoConnect": false, "transports": ["websocket"]}),
    )
    .await;
    other.tell(json!({"do": "claim", "pid": pid})).await;
    other.tell(json!({"do": "connect"})).await;
    assert_ne!(back(&mut other, false).await["pid"], pid);
}

async fn a_session_that_was_taken_over_ends_where_it_was(engine: Engine) {
    let edges = two_edges(&engine).await;
    let mut first = Client::start_with(
        &edges[0].url(""),
        json!({"reconnection": false, "transports": ["websocket"]}),
    )
    .await;
    let told = back(&mut first, false).await;
    first.ask("subscribe", json!([{"stream": "a"}])).await;
    // The same client, which has lost the connection, though the first edge has not heard of that yet.
    let options = json!({"autoConnect": false, "transports": ["websocket"]});
    let mut second = Client::start_with(&edges[1].url(""), options).await;
    second.tell(json!({"do": "claim", "pid": told["pid"]})).await;
    second.tell(json!({"do": "connect"})).await;
    assert_eq!(back(&mut second, true).await["id"], told["id"]);
    engine.publish_numbers("a", 0, 2).await;
    take_numbers(&mut second, "a", 0, 2).await;
    // As soon as the first edge has to store something it hears that it is not its session any more.
    first.emit("subscribe", json!([{"stream": "b"}])).await;
    assert_eq!(first.disconnected().await, "transport close");
    assert_eq!(
        second.ask("subscribe", json!([{"stream": "b"}])).await["ok"],
        true
    );
}

async fn without_recovery_there_is_no_session_to_come_back_to(mut engine: Engine) {
    let config = r#"socketio.namespaces = [{ name = "/", recovery = false }]"#;
    engine.config.socketio = edge::config::Config::from_toml(config).unwrap().socketio;
    let edges = two_edges(&engine).await;
    let proxy = balanced(&edges).await;
    let mut client = Client::start(&proxy.url()).await;
    let told = back(&mut client, false).await;
    assert_eq!(told.get("pid"), None);
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    engine.publish("a", "\"text\"").await;
    let event: Event = client.ordinary().await;
    assert_eq!((event.data(), &event.offset), (&json!("text"), &None));
    proxy.cut();
    back(&mut client, false).await;
    let answer = client.ask("unsubscribe", json!([{"stream": "a"}])).await;
    assert_eq!(answer["error"]["code"], "not_subscribed");
    if let Some(server) = &engine.redis {
        let mut connection = server.connection().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("weir:session:*")
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(keys, Vec::<String>::new());
    }
}

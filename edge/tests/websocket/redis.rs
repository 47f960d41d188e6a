//! Sockets on a real Redis: raw entries, and a Redis that goes away and comes back.

use std::sync::Arc;

use broker::testing::{RedisServer, SentinelGroup};
use broker::{Log, RedisConfig, RedisLog};
use edge::config::Config;
use serde_json::json;

use crate::client::{Client, Encoding};
use crate::support::TestEdge;

async fn edge_on(server: &RedisServer) -> TestEdge {
    let log = RedisLog::connect(RedisConfig::new(server.url())).await.unwrap();
    TestEdge::start_on(log as Arc<dyn Log>, Config::default()).await
}

#[tokio::test]
async fn an_entry_that_others_add_is_delivered_live() {
    let server = RedisServer::start().await;
    let edge = edge_on(&server).await;
    for encoding in Encoding::ALL {
        let mut client = Client::open_as(&edge, encoding).await;
        client.subscribe("s", "now").await;
        client.expect("caught_up").await;
        let mut connection = server.connection().await;
        let id: String = redis::cmd("XADD")
            .arg(&["weir:{s}", "*", "name", "Ann", "age", "7"])
            .query_async(&mut connection)
            .await
            .unwrap();
        let event = client.expect("event").await;
        assert_eq!((&event["id"], &event["event"]), (&json!(id), &json!("message")));
        assert_eq!(event["data"], json!({"name": "Ann", "age": "7"}));
        client.close().await;
    }
}

/// Publishes until it is acknowledged, as a careful client does: with a key, again after every error that says so.
async fn publish(client: &mut Client, n: usize) {
    loop {
        let frame = json!({"type": "publish", "ref": n, "stream": "s", "data": n, "key": format!("k{n}")});
        client.send(frame).await;
        let answer = client.next().await;
        assert_eq!(answer["ref"], n);
        match answer["type"].as_str().unwrap() {
            "published" => return,
            _ => assert!(
                ["unavailable", "unconfirmed"].contains(&answer["error"]["code"].as_str().unwrap()),
                "{answer}"
            ),
        }
    }
}

#[tokio::test]
async fn sockets_outlive_a_redis_that_goes_away_and_lose_nothing() {
    const EACH: usize = 40;
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let edges = [edge_on(&server).await, edge_on(&server).await];
    let mut publisher = Client::open(&edges[0]).await;
    let mut follower = Client::open(&edges[1]).await;
    follower.subscribe("s", "now").await;
    follower.expect("caught_up").await;
    let publishing = tokio::spawn(async move {
        for n in 0..4 * EACH {
            publish(&mut publisher, n).await;
        }
        publisher.close().await;
    });
    for round in 0..4 {
        for n in round * EACH..(round + 1) * EACH {
            let event = loop {
                let frame = follower.next().await;
                // On a busy machine a restart may take long enough to be told.
                if !["degraded", "restored"].contains(&frame["type"].as_str().unwrap()) {
                    break frame;
                }
            };
            assert_eq!((&event["type"], &event["data"]), (&json!("event"), &json!(n)));
        }
        if round < 2 {
            server.restart().await;
        }
    }
    publishing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_told_when_no_replica_has_its_event() {
    let group = SentinelGroup::start(1, &[]).await;
    let redis = RedisConfig {
        durability_timeout: std::time::Duration::from_millis(200),
        ..RedisConfig::new(group.url())
    };
    let log = RedisLog::connect(redis).await.unwrap();
    let edge = TestEdge::start_on(log as Arc<dyn Log>, Config::default()).await;
    group.replica().pause();
    for encoding in Encoding::ALL {
        let mut client = Client::open_as(&edge, encoding).await;
        let frame = json!({"type": "publish", "ref": 1, "stream": "s", "data": 1, "key": "k", "durability": "replicas:1"});
        client.send(frame).await;
        let answer = client.expect("error").await;
        let error = &answer["error"];
        assert_eq!(
            (&answer["ref"], &error["code"]),
            (&json!(1), &json!("not_durable"))
        );
        let page = json!({"type": "page", "stream": "s"});
        client.send(page).await;
        let page = client.expect("page").await;
        assert_eq!(
            page["events"].as_array().unwrap().len(),
            1,
            "it is in the log, once"
        );
        assert_eq!(page["events"][0]["id"], error["id"]);
        assert_eq!(page["events"][0]["cursor"], error["cursor"]);
        client
            .send(json!({"type": "publish", "stream": "s", "data": 1, "durability": "all"}))
            .await;
        assert_eq!(client.expect("error").await["error"]["code"], "invalid_parameter");
        client
            .send(json!({"type": "ping", "durability": "primary"}))
            .await;
        assert_eq!(client.expect("error").await["error"]["code"], "invalid_frame");
        client.close().await;
    }
}

#[tokio::test]
async fn a_socket_is_told_that_redis_is_away_and_when_it_is_live_again() {
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let edge = edge_on(&server).await;
    let mut clients = Vec::new();
    for encoding in Encoding::ALL {
        let mut client = Client::open_as(&edge, encoding).await;
        client.subscribe("s", "now").await;
        client.expect("caught_up").await;
        clients.push(client);
    }
    server.kill();
    for client in &mut clients {
        let degraded = client.expect("degraded").await;
        assert_eq!(degraded["stream"], "s");
        let since: jiff::Timestamp = degraded["since"].as_str().unwrap().parse().unwrap();
        assert!(
            since <= jiff::Timestamp::now() && degraded.get("cursor").is_none(),
            "{degraded}"
        );
        // It says that it cannot, and goes on living.
        client
            .send(json!({"type": "publish", "ref": 1, "stream": "s", "data": 0}))
            .await;
        let refused = client.expect("error").await;
        assert_eq!(
            (&refused["ref"], &refused["error"]["code"]),
            (&json!(1), &json!("unavailable"))
        );
    }
    for client in &mut clients {
        // All that there ever was of the stream is remembered: nothing.
        client
            .send(json!({"type": "page", "ref": 2, "stream": "s"}))
            .await;
        let page = client.expect("page").await;
        assert_eq!((&page["degraded"], &page["events"]), (&json!(true), &json!([])));
        client
            .send(json!({"type": "page", "ref": 3, "stream": "t"}))
            .await;
        let refused = client.expect("error").await;
        assert_eq!(
            (&refused["ref"], &refused["error"]["code"]),
            (&json!(3), &json!("unavailable"))
        );
    }
    server.restart().await;
    let mut cursors = Vec::new();
    for client in &mut clients {
        let restored = client.expect("restored").await;
        assert_eq!(restored["stream"], "s");
        cursors.push(restored["cursor"].clone());
    }
    publish(&mut Client::open(&edge).await, 7).await;
    // What `restored` says is where a client can go on.
    let mut again = Client::open(&edge).await;
    again.subscribe("s", cursors[0].as_str().unwrap()).await;
    clients.push(again);
    for client in &mut clients {
        assert_eq!(client.until("event").await["data"], 7);
    }
}

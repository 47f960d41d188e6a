//! Clients behind a balancer that sends each connection to another edge: requests that poll, and the change to a
//! WebSocket, come to edges that do not have the session.

use broker::testing::RedisServer;
use serde_json::{Value, json};

use crate::client::{Client, over};
use crate::process::Edge;
use crate::proxy::RoundRobin;
use crate::recovery::take_numbers;

const CONFIG: &str = r#"
[drain]
deadline = "5s"
"#;

async fn cluster(redis: &RedisServer) -> ([Edge; 2], RoundRobin) {
    let edges = [Edge::start(redis, CONFIG).await, Edge::start(redis, CONFIG).await];
    let proxy = RoundRobin::start(edges.iter().map(|edge| edge.address).collect()).await;
    (edges, proxy)
}

async fn publish(redis: &RedisServer, numbers: std::ops::Range<u64>) {
    let mut connection = redis.connection().await;
    for number in numbers {
        let mut xadd = redis::cmd("XADD");
        xadd.arg("weir:{a}").arg("*").arg("d").arg(number);
        xadd.query_async::<()>(&mut connection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_polls_is_served_by_whichever_edge_it_comes_to() {
    let redis = RedisServer::start().await;
    let (_edges, proxy) = cluster(&redis).await;
    let mut client = Client::start_with(&proxy.url(), over("polling")).await;
    assert_eq!(client.connected().await["transport"], "polling");
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    publish(&redis, 0..20).await;
    take_numbers(&mut client, "a", 0, 20).await;
    let data = json!({"text": "x".repeat(10_000), "bin": {"$bin": [0, 255]}});
    let answer = client
        .ask("publish", json!([{"stream": "b", "data": data}]))
        .await;
    assert!(answer["id"].is_string(), "{answer}");
    let page = client.ask("history", json!([{"stream": "b"}])).await;
    assert_eq!(page["events"][0]["id"], answer["id"]);
    // Half of its requests went to the edge that does not have its session.
    assert!(proxy.accepted() >= 8, "{}", proxy.accepted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_change_to_a_websocket_through_the_other_edge() {
    let redis = RedisServer::start().await;
    let (_edges, proxy) = cluster(&redis).await;
    for n in 0..4u64 {
        let mut client = Client::start_with(&proxy.url(), json!({})).await;
        client.connected().await;
        client.ask("subscribe", json!([{"stream": "a"}])).await;
        publish(&redis, n * 10..n * 10 + 5).await;
        client.find("the change", |told| told["type"] == "upgrade").await;
        publish(&redis, n * 10 + 5..n * 10 + 10).await;
        take_numbers(&mut client, "a", n * 10, n * 10 + 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_polls_recovers_when_its_edge_is_gone() {
    let redis = RedisServer::start().await;
    let (mut edges, proxy) = cluster(&redis).await;
    let mut client = Client::start_with(&proxy.url(), over("polling")).await;
    let first = client.connected().await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    let mut expected: Value = first["pid"].clone();
    for round in 0..4u64 {
        publish(&redis, round * 10..round * 10 + 5).await;
        let edge = &mut edges[round as usize % 2];
        match round {
            0 | 1 => edge.kill().await,
            _ => edge.terminate().await,
        }
        edge.launch().await;
        publish(&redis, round * 10 + 5..round * 10 + 10).await;
        take_numbers(&mut client, "a", round * 10, round * 10 + 10).await;
        // Whenever it had to come back, it was to its session.
        while let Some(told) = client.told_already("connect") {
            assert_eq!((&told["recovered"], &told["pid"]), (&json!(true), &expected));
            expected = told["pid"].clone();
        }
    }
}

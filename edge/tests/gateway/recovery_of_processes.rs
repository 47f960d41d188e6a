//! Recovery on edges that are processes of their own on a real Redis, which are killed, told to stop, or cut off from
//! Redis.

use broker::testing::RedisServer;
use serde_json::{Value, json};

use crate::client::{Client, DEADLINE, over};
use crate::process::Edge;
use crate::proxy::RoundRobin;
use crate::recovery::take_numbers;

/// Edges that notice quickly what has to be noticed in a test.
const CONFIG: &str = r#"
[drain]
deadline = "5s"
[socketio]
session_ttl = "1m"
"#;

struct Cluster {
    redis: RedisServer,
    edges: [Edge; 2],
    proxy: RoundRobin,
    published: u64,
}

impl Cluster {
    async fn start(redis: RedisServer, config: &str) -> Self {
        let edges = [
            Edge::start(&redis, config).await,
            Edge::start(&redis, config).await,
        ];
        let proxy = RoundRobin::start(edges.iter().map(|edge| edge.address).collect()).await;
        Self {
            redis,
            edges,
            proxy,
            published: 0,
        }
    }

    /// A client that is let in, and what it recovers with: its record is there already.
    async fn client(&self, options: Value) -> (Client, Value) {
        let mut client = Client::start_with(&self.proxy.url(), options).await;
        let told = client.connected().await;
        assert_eq!(told["recovered"], false);
        assert!(self.exists(&told["pid"]).await);
        (client, told["pid"].clone())
    }

    /// Adds the next numbers to a stream, as anybody may do it.
    async fn publish(&mut self, stream: &str, count: u64) {
        let mut connection = self.redis.connection().await;
        for number in self.published..self.published + count {
            let mut xadd = redis::cmd("XADD");
            xadd.arg(format!("weir:{{{stream}}}"))
                .arg("*")
                .arg("d")
                .arg(number);
            xadd.query_async::<()>(&mut connection).await.unwrap();
        }
        self.published += count;
    }

    async fn command(&self, words: &[&str]) {
        let mut connection = self.redis.connection().await;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.query_async::<()>(&mut connection).await.unwrap();
    }

    async fn exists(&self, pid: &Value) -> bool {
        let mut connection = self.redis.connection().await;
        let mut exists = redis::cmd("EXISTS");
        exists.arg(format!("weir:session:{{{}}}", pid.as_str().unwrap()));
        exists.query_async(&mut connection).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_killed_costs_its_clients_a_reconnect() {
    let mut cluster = Cluster::start(RedisServer::start().await, CONFIG).await;
    // The first connection goes to the first edge, and so on.
    let (mut client, pid) = cluster.client(over("websocket")).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    for round in 0..4u64 {
        cluster.publish("a", 5).await;
        // Some of them may have been received, and some not.
        if round % 2 == 0 {
            take_numbers(&mut client, "a", round * 10, round * 10 + 3).await;
        }
        for edge in &mut cluster.edges {
            edge.kill().await;
        }
        cluster.publish("a", 5).await;
        for edge in &mut cluster.edges {
            edge.launch().await;
        }
        let told = client.connected().await;
        assert_eq!((&told["recovered"], &told["pid"]), (&json!(true), &pid));
        let from = round * 10 + if round % 2 == 0 { 3 } else { 0 };
        take_numbers(&mut client, "a", from, round * 10 + 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_that_are_told_to_stop_hand_their_clients_on() {
    let mut cluster = Cluster::start(RedisServer::start().await, CONFIG).await;
    let (mut client, _) = cluster.client(over("websocket")).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    for round in 0..4u64 {
        cluster.publish("a", 5).await;
        let edge = &mut cluster.edges[round as usize % 2];
        edge.terminate().await;
        edge.launch().await;
        cluster.publish("a", 5).await;
        // Whichever of them it was on, it has everything.
        take_numbers(&mut client, "a", round * 10, round * 10 + 10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_costs_nothing() {
    let redis = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let mut cluster = Cluster::start(redis, CONFIG).await;
    let (mut staying, _) = cluster.client(over("websocket")).await;
    let (mut leaving, _) = cluster.client(over("websocket")).await;
    for client in [&mut staying, &mut leaving] {
        client.ask("subscribe", json!([{"stream": "a"}])).await;
    }
    for round in 0..3u64 {
        cluster.publish("a", 5).await;
        take_numbers(&mut staying, "a", round * 10, round * 10 + 5).await;
        cluster.redis.kill();
        // It cannot come in while Redis is away; it tries until it can, and is not refused.
        leaving.tell(json!({"do": "cut"})).await;
        leaving.disconnected().await;
        assert_eq!(leaving.disconnected().await, "transport close");
        cluster.redis.restart().await;
        cluster.publish("a", 5).await;
        let told = leaving.connected().await;
        assert_eq!(told["recovered"], true, "{told}");
        take_numbers(&mut staying, "a", round * 10 + 5, round * 10 + 10).await;
        take_numbers(&mut leaving, "a", round * 10, round * 10 + 10).await;
    }
    // Its events come again before its record can be stored again: each has a connection of its own.
    for edge in &cluster.edges {
        edge.ready().await;
    }
    assert_eq!(
        staying.ask("subscribe", json!([{"stream": "b"}])).await["ok"],
        true
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_meanwhile_is_told_and_the_session_is_recovered() {
    let mut cluster = Cluster::start(RedisServer::start().await, CONFIG).await;
    let (mut client, _) = cluster.client(over("websocket")).await;
    client.ask("subscribe", json!([{"streams": ["a", "b"]}])).await;
    cluster.publish("a", 5).await;
    take_numbers(&mut client, "a", 0, 5).await;
    // No edge that could have seen them is left.
    for edge in &mut cluster.edges {
        edge.kill().await;
    }
    cluster.publish("a", 10).await;
    cluster.command(&["XTRIM", "weir:{a}", "MAXLEN", "3"]).await;
    for edge in &mut cluster.edges {
        edge.launch().await;
    }
    assert_eq!(client.connected().await["recovered"], true);
    let gap = client.find("a gap", |told| told["name"] == "stream:gap").await;
    assert_eq!(
        (&gap["args"][0]["stream"], &gap["args"][0]["lost"]),
        (&json!("a"), &json!(7))
    );
    take_numbers(&mut client, "a", 12, 15).await;
    // It is told once: the next recovery begins behind it.
    cluster.proxy.cut();
    assert_eq!(client.connected().await["recovered"], true);
    cluster.publish("a", 1).await;
    take_numbers(&mut client, "a", 15, 16).await;

    // A stream that was made anew.
    for edge in &mut cluster.edges {
        edge.kill().await;
    }
    cluster.command(&["DEL", "weir:{a}"]).await;
    cluster.publish("a", 1).await;
    for edge in &mut cluster.edges {
        edge.launch().await;
    }
    assert_eq!(client.connected().await["recovered"], true);
    let reset = client
        .find("a reset", |told| told["name"] == "stream:reset")
        .await;
    assert_eq!(reset["args"][0]["stream"], "a");
    cluster.publish("a", 1).await;
    // What the new history held before the client came is for the application to read again, if it wants to.
    while client.ordinary().await.data() != 17 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_comes_back_to_expires() {
    // The edge notices by the missing answers to its pings that the client is gone.
    let config = CONFIG.replace(
        "session_ttl = \"1m\"",
        "session_ttl = \"1s\"\nping_interval = \"300ms\"\nping_timeout = \"300ms\"",
    );
    let mut cluster = Cluster::start(RedisServer::start().await, &config).await;
    let options = json!({"transports": ["websocket"], "reconnection": false});
    let (mut client, pid) = cluster.client(options).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    // While it is here it does not expire, however long that is.
    let stays_until = tokio::time::Instant::now() + std::time::Duration::from_secs(4);
    while tokio::time::Instant::now() < stays_until {
        assert!(cluster.exists(&pid).await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    client.tell(json!({"do": "cut"})).await;
    client.disconnected().await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while cluster.exists(&pid).await {
        assert!(tokio::time::Instant::now() < deadline, "the session stays");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    client.tell(json!({"do": "connect"})).await;
    let told = client.connected().await;
    assert_eq!(told["recovered"], false);
    assert_ne!(told["pid"], pid);
    cluster.publish("a", 1).await;
    assert_eq!(
        client
            .ask("subscribe", json!([{"stream": "a", "from": "start"}]))
            .await["ok"],
        true
    );
    take_numbers(&mut client, "a", 0, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_redis_has_lost_is_stored_again() {
    let config = CONFIG.replace("session_ttl = \"1m\"", "session_ttl = \"1s\"");
    let mut cluster = Cluster::start(RedisServer::start().await, &config).await;
    let (mut client, pid) = cluster.client(over("websocket")).await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    let key = format!("weir:session:{{{}}}", pid.as_str().unwrap());
    cluster.command(&["DEL", &key]).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !cluster.exists(&pid).await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the session is not stored again"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    cluster.proxy.cut();
    assert_eq!(client.connected().await["recovered"], true);
    cluster.publish("a", 2).await;
    take_numbers(&mut client, "a", 0, 2).await;
}

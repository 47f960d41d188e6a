//! Every server that is measured does what it is measured for: an event that is published at one server of a cluster comes
//! to who follows its stream at any of them, once, and pings keep the connection.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use benches::client::{Client, Event, Options, Transports};
use benches::peers::Pings;
use benches::servers::{Cluster, Server, Settings};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Building a peer does not count.
const PATIENCE: Duration = Duration::from_secs(20);

fn settings(edges: usize) -> Settings {
    Settings {
        edges,
        pings: Pings {
            interval: Duration::from_millis(300),
            timeout: Duration::from_secs(10),
        },
        ..Settings::default()
    }
}

async fn next(client: &mut Client) -> Event {
    timeout(PATIENCE, client.next())
        .await
        .expect("nothing happens")
        .unwrap()
}

async fn acknowledged(client: &mut Client, id: u64) -> Value {
    match next(client).await {
        Event::Acknowledged { id: told, arguments } if told == id => arguments.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A client that follows the stream.
async fn follower(server: SocketAddr, stream: &str) -> Client {
    let mut client = Client::new(Options {
        transports: Transports::WebSocket,
        ..Options::new(server)
    });
    let connected = next(&mut client).await;
    assert!(matches!(connected, Event::Connected { .. }), "{connected:?}");
    let id = client.emit_with_ack("subscribe", &[json!({ "stream": stream })]);
    let answer = acknowledged(&mut client, id).await;
    assert!(answer[0].get("error").is_none(), "{answer}");
    client
}

/// The data of the next event. Acknowledgements may come before it or behind it.
async fn received(client: &mut Client, name: &str) -> Value {
    loop {
        match next(client).await {
            Event::Received(received) => {
                let array: Vec<Value> = received.parse().unwrap();
                // What Weir says of a stream, such as that all that was missed has come.
                if !array[0].as_str().unwrap().starts_with("stream:") {
                    assert_eq!(array[0], name);
                    return array[1].clone();
                }
            }
            Event::Acknowledged { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn delivers_what_is_published(server: Server, edges: usize) {
    let cluster = Cluster::start(server, &settings(edges)).await.unwrap();
    assert!(!server.version().unwrap().is_empty());
    let mut followers = Vec::new();
    for address in cluster.addresses() {
        let ready = benches::servers::client()
            .get(format!("http://{address}/readyz"))
            .send()
            .await;
        assert!(ready.unwrap().status().is_success());
        followers.push(follower(address, "a").await);
    }
    let mut stranger = follower(cluster.addresses()[0], "b").await;
    let (mut sent, began) = (0, Instant::now());
    // Long enough for pings.
    while began.elapsed() < Duration::from_secs(1) || sent < 10 {
        let publish = json!({"stream": "a", "event": "e", "data": {"n": sent, "text": "ä\"\\"}});
        // Each server takes a turn. What its client emits goes out while it waits for its next event.
        followers.rotate_left(1);
        followers[0].emit_with_ack("publish", std::slice::from_ref(&publish));
        for follower in &mut followers {
            assert_eq!(
                received(follower, "e").await,
                publish["data"],
                "{}",
                server.name()
            );
        }
        sent += 1;
    }
    stranger.emit("publish", &[json!({"stream": "b", "data": 7})]);
    assert_eq!(
        received(&mut stranger, "message").await,
        7,
        "and nothing else before it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn weir() {
    delivers_what_is_published(Server::Weir, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_with_redis_streams() {
    delivers_what_is_published(Server::NodeStreams, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_with_redis_pub_sub() {
    delivers_what_is_published(Server::NodeRedis, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketioxide() {
    delivers_what_is_published(Server::Socketioxide, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bare_server() {
    delivers_what_is_published(Server::Bare, 1).await;
}

/// Nobody is forgotten when the followers' sockets are full for a while.
#[tokio::test(flavor = "multi_thread")]
async fn the_bare_server_waits_for_who_does_not_read() {
    const EVENTS: usize = 400;
    let cluster = Cluster::start(Server::Bare, &settings(1)).await.unwrap();
    let address = cluster.addresses()[0];
    let mut slow = Client::new(Options {
        transports: Transports::WebSocket,
        receive_bytes: Some(4 * 1024),
        ..Options::new(address)
    });
    assert!(matches!(next(&mut slow).await, Event::Connected { .. }));
    let id = slow.emit_with_ack("subscribe", &[json!({ "stream": "a" })]);
    acknowledged(&mut slow, id).await;
    let mut publisher = follower(address, "b").await;
    let text = "x".repeat(16 * 1024);
    for n in 0..EVENTS {
        publisher.emit("publish", &[json!({"stream": "a", "data": [n, text]})]);
    }
    // The publisher sends only while it is asked for its next event, and reads on.
    let publishing = tokio::spawn(async move { publisher.next().await });
    for n in 0..EVENTS {
        assert_eq!(received(&mut slow, "message").await[0], n);
    }
    publishing.abort();
}

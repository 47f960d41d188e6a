//! The client against the official server: what the one expects, the other does.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use benches::client::{Client, Event, Options, Received, Transports};
use benches::peers::{Peer, Pings};
use broker::testing::RedisServer;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const ALL: [Transports; 3] = [Transports::Polling, Transports::WebSocket, Transports::Upgrade];

/// A server whose pings come often, and the Redis behind it.
async fn server() -> (RedisServer, Peer) {
    let redis = RedisServer::start().await;
    let pings = Pings {
        interval: Duration::from_millis(300),
        timeout: Duration::from_millis(300),
    };
    let url = redis.url();
    let peer = tokio::task::spawn_blocking(move || Peer::socketio_redis_streams(&url, pings));
    (redis, peer.await.unwrap().unwrap())
}

fn client(peer: &Peer, transports: Transports, keep_alive: bool) -> Client {
    Client::new(Options {
        transports,
        keep_alive,
        reconnection_delay: Duration::from_millis(50),
        ..Options::new(peer.address)
    })
}

async fn next(client: &mut Client) -> Event {
    timeout(PATIENCE, client.next())
        .await
        .expect("nothing happens")
        .unwrap()
}

async fn connected(client: &mut Client) -> bool {
    loop {
        match next(client).await {
            Event::Connected { recovered, .. } => return recovered,
            Event::Received(_) | Event::Refused { .. } => panic!("not connected"),
            _ => {}
        }
    }
}

async fn acknowledged(client: &mut Client, id: u64) {
    let event = next(client).await;
    assert!(
        matches!(event, Event::Acknowledged { id: told, .. } if told == id),
        "{event:?}"
    );
}

async fn received(client: &mut Client) -> Received {
    match next(client).await {
        Event::Received(received) => received,
        other => panic!("{other:?}"),
    }
}

async fn data(client: &mut Client) -> Value {
    let (_, data, _offset): (String, Value, String) = received(client).await.parse().unwrap();
    data
}

async fn joined(client: &mut Client, stream: &str) {
    assert!(!connected(client).await);
    let id = client.emit_with_ack("subscribe", &[json!({ "stream": stream })]);
    acknowledged(client, id).await;
}

async fn publish(peer: &Peer, stream: &str, data: u32) {
    let url = format!("http://{}/v1/streams/{stream}", peer.address);
    let line = format!("{}\n", json!({"event": "e", "data": data}));
    let response = benches::servers::client()
        .post(url)
        .body(line)
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap().lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_both_ways_over_every_transport() {
    let (_redis, peer) = server().await;
    for transports in ALL {
        for keep_alive in [false, true] {
            let mut client = client(&peer, transports, keep_alive);
            joined(&mut client, "a").await;
            let mut sent = 0;
            // Long enough for pings, and for the change of the transport.
            let began = std::time::Instant::now();
            while began.elapsed() < Duration::from_secs(1) {
                let value = json!({"n": sent, "text": "ä\u{1e}\"\\"});
                client.emit("publish", &[json!({"stream": "a", "event": "e", "data": value})]);
                assert_eq!(data(&mut client).await, value);
                sent += 1;
            }
            assert!(sent > 20, "{transports:?} {keep_alive}: {sent}");
            assert_eq!(client.is_websocket(), transports != Transports::Polling);
            client.disconnect();
            assert!(matches!(next(&mut client).await, Event::Disconnected { .. }));
            let end = timeout(PATIENCE, client.next()).await;
            assert_eq!(end, Ok(None));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_go_both_ways_over_every_transport() {
    let (_redis, peer) = server().await;
    for transports in ALL {
        let mut client = client(&peer, transports, false);
        joined(&mut client, "a").await;
        let array = br#"["publish",{"stream":"a","event":"e","data":[1,{"_placeholder":true,"num":0}]}]"#;
        let bytes = Bytes::from_static(&[0, 255, 0x1e]);
        client.emit_raw(Bytes::from_static(array), vec![bytes.clone()], false);
        let received = received(&mut client).await;
        assert_eq!(received.attachments, [bytes]);
        let (name, data, offset): (String, Value, String) = received.parse().unwrap();
        assert_eq!(
            (name.as_str(), data),
            ("e", json!([1, {"_placeholder": true, "num": 0}]))
        );
        assert_eq!(client.offset(), Some(offset.as_str()));
    }
}

/// The official server sends what was missed before CONNECT, so it comes before the word of the recovery.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_connection_broke_recovers() {
    let (_redis, peer) = server().await;
    for transports in ALL {
        let mut client = Client::new(Options {
            transports,
            // By then the server has noticed by its pings, if not before.
            reconnection_delay: Duration::from_millis(1_500),
            randomization: 0.0,
            ..Options::new(peer.address)
        });
        joined(&mut client, "a").await;
        let (mut next_value, mut sid) = (0, None);
        for round in 0..3 {
            publish(&peer, "a", next_value).await;
            assert_eq!(data(&mut client).await, json!(next_value));
            next_value += 1;
            assert!(round == 0 || client.id() == sid.as_deref());
            sid = client.id().map(str::to_owned);
            client.break_connection();
            assert!(matches!(next(&mut client).await, Event::Disconnected { .. }));
            for _ in 0..3 {
                publish(&peer, "a", next_value).await;
                next_value += 1;
            }
            for missed in next_value - 3..next_value {
                assert_eq!(data(&mut client).await, json!(missed), "{transports:?}");
            }
            assert!(connected(&mut client).await);
        }
        client.disconnect();
        while client.next().await.is_some() {}
        client.connect();
        assert!(!connected(&mut client).await, "the server has forgotten it");
    }
}

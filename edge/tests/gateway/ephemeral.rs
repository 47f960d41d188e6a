//! Events that skip the log.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_websockets::{ClientBuilder, Message};

use crate::client::{Client, DEADLINE};
use crate::engines::{Engine, on_both_engines};
use crate::two_edges;

on_both_engines! {
    they_reach_those_who_follow_the_stream_on_every_edge_and_are_kept_nowhere;
    who_could_take_nothing_is_not_given_old_news;
}

async fn they_reach_those_who_follow_the_stream_on_every_edge_and_are_kept_nowhere(engine: Engine) {
    let edges = two_edges(&engine).await;
    let mut sender = Client::start(&edges[0].url("")).await;
    let mut near = Client::start(&edges[0].url("")).await;
    let mut far = Client::start(&edges[1].url("")).await;
    let mut elsewhere = Client::start(&edges[1].url("")).await;
    for (client, stream) in [
        (&mut sender, "a"),
        (&mut near, "a"),
        (&mut far, "a"),
        (&mut elsewhere, "b"),
    ] {
        client.connected().await;
        client.ask("subscribe", json!([{"stream": stream}])).await;
        client.until_caught_up(stream).await;
    }
    let publish =
        json!([{"stream": "a", "event": "cursor", "data": {"at": [3, {"$bin": [1]}]}, "ephemeral": true}]);
    assert_eq!(sender.ask("publish", publish).await, json!({"ok": true}));
    for client in [&mut sender, &mut near, &mut far] {
        let event = client.event().await;
        assert_eq!(event.name, "cursor");
        assert_eq!(
            event.args,
            [
                json!({"at": [3, {"$bin": [1]}]}),
                json!({"stream": "a", "ephemeral": true})
            ]
        );
        assert_eq!(event.offset, None);
    }
    let silent = json!([{"stream": "a", "event": "cursor", "data": 2, "ephemeral": true, "echo": false}]);
    sender.ask("publish", silent).await;
    assert_eq!(near.event().await.args[0], 2);
    assert_eq!(far.event().await.args[0], 2);
    assert_eq!(sender.events_so_far().await, []);
    assert_eq!(elsewhere.events_so_far().await, []);
    let page = sender.ask("history", json!([{"stream": "a"}])).await;
    assert_eq!(page["events"], json!([]));
    let large = json!([{"stream": "a", "data": "x".repeat(70_000), "ephemeral": true}]);
    assert_eq!(sender.ask("publish", large).await["error"]["code"], "too_large");
}

/// The number in a message of our own.
fn number(message: &str) -> Option<u64> {
    let array: Value = serde_json::from_str(message.strip_prefix("42")?).unwrap();
    (array[0] == "news").then(|| array[1].as_u64().unwrap())
}

async fn who_could_take_nothing_is_not_given_old_news(engine: Engine) {
    let edge = engine.edge().await;
    let mut sender = Client::start(&edge.url("")).await;
    sender.connected().await;
    // A client whose kernel takes only a little, and that does not read.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(edge.address).await.unwrap();
    let uri = format!("ws://{}/socket.io/?EIO=4&transport=websocket", edge.address);
    let builder = ClientBuilder::new().uri(&uri).unwrap();
    let (mut slow, _) = builder.connect_on(stream).await.unwrap();
    slow.send(Message::text("40")).await.unwrap();
    slow.send(Message::text("42[\"subscribe\",{\"stream\":\"a\"}]"))
        .await
        .unwrap();
    let mut next = async || {
        let message = tokio::time::timeout(DEADLINE, slow.next()).await;
        let message = message.expect("a message in time").unwrap().unwrap();
        message.as_text().unwrap_or_default().to_owned()
    };
    while !next().await.contains("caught_up") {}
    // More than the kernels of both sides hold.
    let filler = json!("x".repeat(500_000)).to_string();
    for _ in 0..16 {
        engine.publish("a", &filler).await;
    }
    let news = |n: u64| json!([{"stream": "a", "event": "news", "data": n, "ephemeral": true}]);
    sender.ask("publish", news(1)).await;
    // So long may it take until news are old.
    tokio::time::sleep(shared::limits::EPHEMERAL_PATIENCE + Duration::from_millis(500)).await;
    let mut fillers = 0;
    while fillers < 16 {
        let message = next().await;
        assert_eq!(number(&message), None, "old news");
        fillers += usize::from(message.len() > 400_000);
    }
    sender.ask("publish", news(2)).await;
    loop {
        if let Some(n) = number(&next().await) {
            assert_eq!(n, 2);
            return;
        }
    }
}

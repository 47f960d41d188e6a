//! Ephemeral events between edges: which channels are listened to, and what becomes of them when Redis is lost.

use std::sync::Arc;
use std::time::Duration;

use broker::testing::RedisServer;
use broker::{
    Delivery, EphemeralError, Filter, From, Log, Order, RedisConfig, RedisLog, Subscriber, SubscriberConfig,
};
use redis::cmd;
use shared::StreamName;

use crate::proxy::{Mode, Proxy};
use crate::support::*;

/// A subscriber that asks for ephemeral events.
async fn listen(log: &Arc<RedisLog>, streams: &[&str]) -> Subscriber {
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 2_000,
        ephemeral: true,
    };
    let mut subscriber = Subscriber::new(log.clone(), config);
    for stream in streams {
        let joining = subscriber.subscribe(name(stream), From::Now, None, Filter::default());
        in_time("the subscription", joining).await.unwrap();
    }
    subscriber
}

/// The numbers of the next ephemeral events, all that come together.
async fn next(subscriber: &mut Subscriber) -> Vec<(StreamName, u64)> {
    let mut out = Vec::new();
    loop {
        in_time("an ephemeral event", subscriber.next(64 * 1024, &mut out)).await;
        let number = |delivery: &Delivery| match delivery {
            Delivery::Ephemeral(event) => {
                let text = std::str::from_utf8(event.event.data.raw()).unwrap();
                Some((event.stream.clone(), text.parse().unwrap()))
            }
            Delivery::CaughtUp { .. } => None,
            // Some tests cut Redis off, for as long as it takes to connect anew.
            Delivery::Degraded { .. } | Delivery::Restored { .. } => None,
            other => panic!("nothing is in the log: {other:?}"),
        };
        let numbers: Vec<_> = out.drain(..).filter_map(|delivery| number(&delivery)).collect();
        if !numbers.is_empty() {
            return numbers;
        }
    }
}

fn send(log: &RedisLog, stream: &str, n: u64) -> Result<(), EphemeralError> {
    log.send_ephemeral(&name(stream), number(n).event)
}

/// Sends growing numbers until one of them comes. What was sent before it is gone for good.
async fn until_one_comes(sender: &RedisLog, subscriber: &mut Subscriber, from: u64) -> u64 {
    let mut sent = from;
    in_time("an event to come through", async {
        loop {
            sent += 1;
            // Refused while the sender has no connection.
            let _ = send(sender, "doc:1", sent);
            let came = tokio::time::timeout(Duration::from_millis(20), next(subscriber));
            if let Ok(mut numbers) = came.await {
                // Those that were sent behind it are on their way.
                while numbers.last().is_none_or(|(_, n)| *n < sent) {
                    numbers.extend(next(subscriber).await);
                }
                assert!(numbers.iter().all(|(_, n)| *n > from), "{numbers:?} after {from}");
                return;
            }
        }
    })
    .await;
    sent
}

async fn channels(server: &RedisServer) -> Vec<String> {
    let mut channels: Vec<String> = raw(server, cmd("PUBSUB").arg("SHARDCHANNELS")).await;
    channels.sort();
    channels
}

#[tokio::test]
async fn all_edges_get_them_and_nothing_is_stored() {
    let server = RedisServer::start().await;
    let (a, b) = (log(server.url()).await, log(server.url()).await);
    let (mut on_a, mut on_b) = (listen(&a, &["doc:1"]).await, listen(&b, &["doc:1"]).await);
    for n in 0..100 {
        send(if n % 2 == 0 { &a } else { &b }, "doc:1", n).unwrap();
        for subscriber in [&mut on_a, &mut on_b] {
            assert_eq!(next(subscriber).await, [(name("doc:1"), n)]);
        }
    }
    let keys: Vec<String> = raw(&server, cmd("KEYS").arg("*")).await;
    assert_eq!(keys, [] as [String; 0]);
}

#[tokio::test]
async fn an_edge_listens_only_to_what_somebody_asks_for() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let mut silent = Subscriber::new(
        log.clone(),
        SubscriberConfig {
            order: Order::PerStream,
            streams_max: 1,
            ephemeral: false,
        },
    );
    let joining = silent.subscribe(name("doc:silent"), From::Now, None, Filter::default());
    joining.await.unwrap();
    assert_eq!(channels(&server).await, [] as [String; 0]);
    let first = listen(&log, &["doc:1", "doc:2"]).await;
    let mut second = listen(&log, &["doc:2"]).await;
    let (one, two) = ("weir:{doc:1}:ephemeral", "weir:{doc:2}:ephemeral");
    assert_eq!(channels(&server).await, [one, two]);
    drop(first);
    until("the channel to be left", async || {
        channels(&server).await == [two]
    })
    .await;
    send(&log, "doc:2", 1).unwrap();
    assert_eq!(next(&mut second).await, [(name("doc:2"), 1)]);
    second.unsubscribe(&name("doc:2"));
    until("both to be left", async || channels(&server).await.is_empty()).await;
    // And again, on a stream that is still followed.
    let mut third = listen(&log, &["doc:2"]).await;
    send(&log, "doc:2", 2).unwrap();
    assert_eq!(next(&mut third).await, [(name("doc:2"), 2)]);
}

#[tokio::test]
async fn a_cut_connection_is_made_anew_with_its_channels() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let (sender, log) = (log(server.url()).await, log(proxy.url()).await);
    let names: Vec<String> = (1..=1_500).map(|n| format!("doc:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut subscriber = listen(&log, &names).await;
    let mut sent = 0;
    for _ in 0..3 {
        proxy.set(Mode::Refuse);
        proxy.cut();
        until("the loss to be noticed", async || {
            send(&log, "doc:1", 0).is_err() && channels(&server).await.is_empty()
        })
        .await;
        let lost = send(&log, "doc:1", 0);
        assert!(matches!(lost, Err(EphemeralError::Unavailable(_))), "{lost:?}");
        // On the other edge it goes out, and nobody is there to get it.
        sent += 1;
        send(&sender, "doc:1", sent).unwrap();
        proxy.set(Mode::Pass);
        sent = until_one_comes(&sender, &mut subscriber, sent).await;
        until("all channels to be back", async || {
            channels(&server).await.len() == 1_500
        })
        .await;
    }
    for stream in ["doc:2", "doc:750", "doc:1500"] {
        subscriber.skip_ephemeral();
        send(&sender, stream, 9_999_999).unwrap();
        let last = next(&mut subscriber).await.pop().unwrap();
        assert_eq!(last, (name(stream), 9_999_999));
    }
}

#[tokio::test]
async fn a_killed_redis_takes_them_along_and_they_come_again_after_it() {
    let server = RedisServer::start().await;
    let (a, b) = (log(server.url()).await, log(server.url()).await);
    let mut subscriber = listen(&b, &["doc:1"]).await;
    let mut sent = 0;
    for _ in 0..3 {
        server.kill();
        until("the loss to be noticed", async || send(&a, "doc:1", 0).is_err()).await;
        server.restart().await;
        sent = until_one_comes(&a, &mut subscriber, sent).await;
    }
    run(&server, "CLIENT KILL TYPE pubsub").await;
    until_one_comes(&a, &mut subscriber, sent).await;
}

#[tokio::test]
async fn what_is_no_event_is_passed_over() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let mut subscriber = listen(&log, &["doc:1"]).await;
    let channel = "weir:{doc:1}:ephemeral";
    for payload in [
        &b""[..],
        b"\x01",
        b"\x02\x00",
        b"\x01d\xff\xff\xff\xff1",
        b"hello",
    ] {
        let reached: u64 = raw(&server, cmd("SPUBLISH").arg(channel).arg(payload)).await;
        assert_eq!(reached, 1);
    }
    let by_hand = b"\x01e\x00\x00\x00\x01xd\x00\x00\x00\x017";
    let _: u64 = raw(&server, cmd("SPUBLISH").arg(channel).arg(&by_hand[..])).await;
    assert_eq!(next(&mut subscriber).await, [(name("doc:1"), 7)]);
}

#[tokio::test]
async fn without_the_permission_subscriptions_begin_all_the_same() {
    let server = RedisServer::start().await;
    run(
        &server,
        "ACL SETUSER edge on >pass ~* +@all -ssubscribe -spublish",
    )
    .await;
    let config = RedisConfig::new(format!("{}?user=edge&pass=pass", server.url()));
    let log = RedisLog::connect(config).await.unwrap();
    let mut subscriber = listen(&log, &["doc:1"]).await;
    send(&log, "doc:1", 1).unwrap();
    log.append(&name("doc:1"), number(2)).await.unwrap();
    let mut out = Vec::new();
    while !out.iter().any(|delivery| matches!(delivery, Delivery::Event(_))) {
        in_time("the event", subscriber.next(1_024, &mut out)).await;
    }
    log.check().await.unwrap();
}

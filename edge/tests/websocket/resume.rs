//! The promise, over WebSockets: whenever a connection dies and wherever the client comes back, it gets every event
//! once and in order, or is told what is missing.

use std::collections::BTreeMap;

use edge::config::Config;
use serde_json::{Value, json};

use crate::client::{Client, Encoding};
use crate::support::TestEdge;

/// Two edges on one log.
async fn cluster() -> [TestEdge; 2] {
    let first = TestEdge::start().await;
    let second = TestEdge::start_on(first.state.log.clone(), Config::default()).await;
    [first, second]
}

/// Everything a reader of several streams keeps.
#[derive(Default)]
struct Reader {
    cursors: BTreeMap<String, String>,
    seen: BTreeMap<String, Vec<Value>>,
}

impl Reader {
    fn new(streams: &[&str]) -> Self {
        Self {
            cursors: streams
                .iter()
                .map(|name| ((*name).to_owned(), "start".to_owned()))
                .collect(),
            seen: BTreeMap::new(),
        }
    }

    async fn resume(&self, client: &mut Client) {
        client
            .send(json!({"type": "subscribe", "streams": self.cursors}))
            .await;
    }

    /// Takes a frame as an application would: first the event, then its cursor.
    fn take(&mut self, frame: &Value) {
        let stream = frame["stream"].as_str().unwrap();
        match frame["type"].as_str().unwrap() {
            "event" => self
                .seen
                .entry(stream.to_owned())
                .or_default()
                .push(frame["data"].clone()),
            "subscribed" => assert_eq!(frame["verdict"]["kind"], "continuous", "{frame}"),
            "caught_up" | "cursor" => {}
            _ => panic!("{frame}"),
        }
        self.cursors
            .insert(stream.to_owned(), frame["cursor"].as_str().unwrap().to_owned());
    }

    fn count(&self) -> usize {
        self.seen.values().map(Vec::len).sum()
    }
}

#[tokio::test]
async fn killed_after_every_message_and_back_on_the_other_edge() {
    const EACH: usize = 12;
    for encoding in Encoding::ALL {
        let edges = cluster().await;
        let mut publisher = Client::open(&edges[0]).await;
        for n in 0..EACH {
            publisher.publish("a", json!(n)).await;
            publisher.publish("b", json!(n)).await;
        }
        let mut reader = Reader::new(&["a", "b"]);
        let mut lives = 0;
        while reader.count() < 2 * EACH {
            let mut client = Client::open_as(&edges[lives % 2], encoding).await;
            reader.resume(&mut client).await;
            // One frame more in each life, so that every kind of frame is once the last.
            for _ in 0..=lives % 5 {
                reader.take(&client.next().await);
                if reader.count() == 2 * EACH {
                    break;
                }
            }
            client.kill();
            lives += 1;
            assert!(lives < 1_000, "no progress: {:?}", reader.seen);
        }
        let expected: Vec<Value> = (0..EACH).map(Value::from).collect();
        assert_eq!((&reader.seen["a"], &reader.seen["b"]), (&expected, &expected));
    }
}

#[tokio::test]
async fn killed_while_events_are_published_live() {
    const COUNT: usize = 300;
    let edges = cluster().await;
    let mut publisher = Client::open(&edges[0]).await;
    let publishing = tokio::spawn(async move {
        for n in 0..COUNT {
            publisher.publish("a", json!(n)).await;
        }
        publisher.close().await;
    });
    let mut reader = Reader::new(&["a"]);
    let mut lives = 0;
    while reader.count() < COUNT {
        let mut client = Client::open(&edges[lives % 2]).await;
        reader.resume(&mut client).await;
        for _ in 0..1 + lives % 23 {
            if reader.count() == COUNT {
                break;
            }
            reader.take(&client.next().await);
        }
        client.kill();
        lives += 1;
    }
    publishing.await.unwrap();
    assert_eq!(reader.seen["a"], (0..COUNT).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_trimmed_is_told_with_its_number() {
    let mut config = Config::default();
    config.retention.default.entries_max = Some(10);
    let edge = TestEdge::start_with(config).await;
    let mut client = Client::open(&edge).await;
    let first = client.publish("s", json!(0)).await;
    for n in 1..1_000 {
        client.publish("s", json!(n)).await;
    }
    let subscribed = client.subscribe("s", first["cursor"].as_str().unwrap()).await;
    assert_eq!(subscribed["verdict"]["kind"], "gap");
    let gap = client.expect("gap").await;
    let lost = gap["lost"].as_u64().unwrap();
    assert_eq!(subscribed["verdict"]["lost"], lost);
    // The first one was seen, `lost` are gone, and the rest follows without a hole.
    for n in lost + 1..1_000 {
        assert_eq!(client.expect("event").await["data"], n);
    }
    client.expect("caught_up").await;
    assert!(lost > 0);
}

#[tokio::test]
async fn a_loss_is_told_again_to_who_was_cut_off_before_it_came() {
    let log = broker::MemoryLog::new(Config::default().memory_config());
    let edge = TestEdge::start_on(log.clone(), Config::default()).await;
    let mut publisher = Client::open(&edge).await;
    let first = publisher.publish("s", json!(0)).await;
    for n in 1..9 {
        publisher.publish("s", json!(n)).await;
    }
    log.trim(&"s".parse().unwrap(), 2);
    let gap = |lost: u64| (json!("gap"), json!(lost));
    for (begin, told) in [
        ("start", gap(7)),
        (first["cursor"].as_str().unwrap(), gap(6)),
        ("99999999999999-0.3", (json!("reset"), json!(null))),
    ] {
        let mut cursor = begin.to_owned();
        for _ in 0..3 {
            let mut client = Client::open(&edge).await;
            let subscribed = client.subscribe("s", &cursor).await;
            cursor = subscribed["cursor"].as_str().unwrap().to_owned();
            client.kill();
        }
        let mut client = Client::open(&edge).await;
        client.subscribe("s", &cursor).await;
        let frame = client.next().await;
        assert_eq!((frame["type"].clone(), frame["lost"].clone()), told, "{begin}");
    }
}

#[tokio::test]
async fn a_second_subscription_to_a_stream_begins_it_anew() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    for n in 0..3 {
        client.publish("s", json!(n)).await;
    }
    for _ in 0..2 {
        client.subscribe("s", "start").await;
        for n in 0..3 {
            assert_eq!(client.expect("event").await["data"], n);
        }
        client.expect("caught_up").await;
    }
}

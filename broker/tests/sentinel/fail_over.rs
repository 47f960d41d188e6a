//! A replica becomes the primary: what everybody has read and what is told to whom.

use std::sync::Arc;

use broker::testing::SentinelGroup;
use broker::{Delivery, Filter, From, Log, Order, RedisLog, Subscriber, SubscriberConfig};
use shared::{Cursor, StreamName, Verdict};

use crate::support::*;

/// Follows one stream and notes what it is told.
struct Reader {
    subscriber: Subscriber,
    numbers: Vec<u64>,
    resets: usize,
    cursor: Cursor,
}

impl Reader {
    async fn start(log: &Arc<RedisLog>, stream: &StreamName, from: From) -> (Self, Verdict) {
        let config = SubscriberConfig {
            order: Order::PerStream,
            streams_max: 1,
            ephemeral: false,
        };
        let mut subscriber = Subscriber::new(log.clone(), config);
        let joined = subscriber
            .subscribe(stream.clone(), from, None, Filter::default())
            .await
            .unwrap();
        let reader = Self {
            subscriber,
            numbers: Vec::new(),
            resets: 0,
            cursor: joined.cursor,
        };
        (reader, joined.verdict)
    }

    /// Reads on until the event with this number has come.
    async fn until(&mut self, last: u64) {
        in_time("the events", async {
            while self.numbers.last() != Some(&last) {
                let mut out = Vec::new();
                self.subscriber.next(1_000_000, &mut out).await;
                out.into_iter().for_each(|delivery| self.note(delivery));
            }
        })
        .await;
    }

    fn note(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Event(entry) => {
                let text = std::str::from_utf8(entry.event.data.raw()).unwrap();
                self.numbers.push(text.parse().unwrap());
                self.cursor = entry.cursor;
            }
            Delivery::Reset { cursor, .. } => {
                self.resets += 1;
                self.cursor = cursor;
            }
            Delivery::CaughtUp { cursor, .. } | Delivery::Restored { cursor, .. } => self.cursor = cursor,
            Delivery::Degraded { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes these numbers in order, each again until it is acknowledged.
async fn publish(log: &RedisLog, stream: &StreamName, numbers: std::ops::Range<u64>) {
    for number in numbers {
        until("an append", async || {
            match log.append(stream, keyed(number)).await {
                Ok(_) => true,
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    false
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replica_has_is_delivered_once_and_in_order() {
    let mut group = SentinelGroup::start(3, &[]).await;
    let log = log(group.url()).await;
    let stream = name("doc:1");
    let (mut reader, _) = Reader::start(&log, &stream, From::Start).await;
    for round in 1..=2 {
        publish(&log, &stream, round * 100 - 100..round * 100 - 50).await;
        group.in_step().await;
        group.fail_over().await;
        publish(&log, &stream, round * 100 - 50..round * 100).await;
        reader.until(round * 100 - 1).await;
        group.restore().await;
    }
    assert_eq!(reader.numbers, (0..200).collect::<Vec<_>>());
    assert_eq!(reader.resets, 0);
    holds_all(&log, &stream, 200).await;
    let (mut again, verdict) = Reader::start(&log, &stream, From::Start).await;
    again.until(199).await;
    assert_eq!((verdict, again.numbers), (Verdict::Continuous, reader.numbers));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_replica_does_not_have_is_told_to_those_who_saw_it() {
    let mut group = SentinelGroup::start(1, &[]).await;
    let log = log(group.url()).await;
    let (stream, other) = (name("doc:1"), name("doc:2"));
    let (mut saw, _) = Reader::start(&log, &stream, From::Start).await;
    let (mut leaves, _) = Reader::start(&log, &stream, From::Start).await;
    let (mut elsewhere, _) = Reader::start(&log, &other, From::Start).await;
    publish(&log, &stream, 0..20).await;
    publish(&log, &other, 0..20).await;
    leaves.until(19).await;
    group.in_step().await;
    group.cut_replication().await;
    publish(&log, &stream, 20..30).await;
    saw.until(29).await;
    elsewhere.until(19).await;
    group.fail_over_at_once().await;
    // The same number of events comes in their place.
    publish(&log, &stream, 1_000..1_010).await;
    publish(&log, &other, 1_000..1_001).await;
    saw.until(1_009).await;
    elsewhere.until(1_000).await;
    assert_eq!(saw.resets, 1);
    let told: Vec<u64> = saw.numbers[30..].to_vec();
    assert_eq!(
        told,
        (1_000..1_010).collect::<Vec<_>>(),
        "what came in their place"
    );
    assert_eq!((elsewhere.resets, elsewhere.numbers.len()), (0, 21));
    // By the cursors: of one who saw them and comes back only now, and of one who had left before.
    let (mut back, verdict) = Reader::start(&log, &stream, From::Cursor(leaves.cursor)).await;
    back.until(1_009).await;
    assert_eq!((verdict, back.resets), (Verdict::Continuous, 0));
    assert_eq!(back.numbers, (1_000..1_010).collect::<Vec<_>>());
}

/// A cursor behind what was rolled back, presented when other entries stand in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_behind_what_was_rolled_back_is_told() {
    let mut group = SentinelGroup::start(1, &[]).await;
    let log = log(group.url()).await;
    let stream = name("doc:1");
    publish(&log, &stream, 0..5).await;
    group.in_step().await;
    group.cut_replication().await;
    publish(&log, &stream, 5..8).await;
    let (mut saw, _) = Reader::start(&log, &stream, From::Start).await;
    saw.until(7).await;
    let behind = From::Cursor(saw.cursor);
    drop(saw);
    group.fail_over_at_once().await;
    publish(&log, &stream, 100..110).await;
    let (mut back, _) = Reader::start(&log, &stream, behind).await;
    back.until(109).await;
    assert_eq!(back.resets, 1);
}

/// The edge still reaches the old primary, which takes writes for nobody any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_one_no_more_is_left_though_it_answers() {
    let obstinate = [
        "--rename-command",
        "REPLICAOF",
        "",
        "--rename-command",
        "SLAVEOF",
        "",
    ];
    let mut group = SentinelGroup::start_with_primary(1, &obstinate, &[]).await;
    let log = log(group.url()).await;
    let stream = name("doc:1");
    let (mut reader, _) = Reader::start(&log, &stream, From::Start).await;
    publish(&log, &stream, 0..10).await;
    reader.until(9).await;
    group.in_step().await;
    group.usurp().await;
    until("appends go to the new primary", async || {
        let _ = log.append(&stream, keyed(10)).await;
        length(group.primary(), &stream).await > 10
    })
    .await;
    publish(&log, &stream, 11..20).await;
    reader.until(19).await;
    assert_eq!(numbers(&log, &stream).await.last(), Some(&19));
    let role: Vec<redis::Value> = raw(group.replica(), &redis::cmd("ROLE")).await;
    assert_eq!(
        role[0],
        redis::Value::BulkString(b"master".to_vec()),
        "it takes writes all the while"
    );
    // All connections are to the new one: none is left at the old.
    until("nobody is connected to the old primary", async || {
        let clients: String = raw(group.replica(), redis::cmd("CLIENT").arg("LIST")).await;
        let is_edge = |line: &str| line.contains("addr=127.0.0.1") && !line.contains("name=sentinel-");
        !clients.lines().any(is_edge)
    })
    .await;
}

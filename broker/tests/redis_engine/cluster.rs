//! A Redis Cluster: streams over all masters, a slot that moves under its readers and writers, a master that dies.

use std::collections::HashMap;
use std::sync::Arc;

use broker::testing::RedisCluster;
use broker::{
    AppendError, Delivery, From, Log, Order, RedisConfig, RedisLog, Subscriber, SubscriberConfig, TailMode,
};
use shared::StreamName;
use tokio::sync::watch;

use crate::support::*;

/// Publishes numbers in order until it is told to stop, if `keys` every other one with a key; returns those that are in.
async fn produce(
    log: Arc<RedisLog>,
    stream: StreamName,
    keys: bool,
    done: watch::Receiver<bool>,
) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if *done.borrow() {
            break;
        }
        let has_key = keys && n % 2 == 1;
        let event = || if has_key { keyed(n) } else { number(n) };
        loop {
            match log.append(&stream, event()).await {
                Ok(_) => acknowledged.push(n),
                // Without a key it must not be sent again.
                Err(AppendError::Unconfirmed) if !has_key => {}
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    continue;
                }
            }
            break;
        }
    }
    acknowledged
}

async fn subscriber(log: &Arc<RedisLog>, streams: &[StreamName]) -> Subscriber {
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 100,
        ephemeral: false,
    };
    let mut subscriber = Subscriber::new(log.clone() as Arc<dyn Log>, config);
    for stream in streams {
        subscriber
            .subscribe(stream.clone(), From::Start, None, broker::Filter::default())
            .await
            .unwrap();
    }
    subscriber
}

/// Takes deliveries until `enough` says so; a gap or a reset is a failure.
async fn receive(
    subscriber: &mut Subscriber,
    received: &mut HashMap<StreamName, Vec<u64>>,
    enough: impl Fn(&HashMap<StreamName, Vec<u64>>) -> bool,
) {
    while !enough(received) {
        let mut out = Vec::new();
        in_time("deliveries", subscriber.next(64 * 1024, &mut out)).await;
        for delivery in out {
            match delivery {
                Delivery::Event(entry) => {
                    let n = std::str::from_utf8(entry.event.data.raw()).unwrap();
                    let numbers = received.entry(entry.stream.clone()).or_default();
                    numbers.push(n.parse().unwrap());
                }
                Delivery::CaughtUp { .. } | Delivery::Degraded { .. } | Delivery::Restored { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn blocking_reads_are_refused_before_anything_is_asked() {
    let config = RedisConfig {
        tail: TailMode::Blocking,
        ..config("redis-cluster://127.0.0.1:1".into())
    };
    let refused = config.check().unwrap_err().to_string();
    assert!(
        refused.contains("redis.tail") && !refused.contains('\n'),
        "{refused}"
    );
}

fn streams(count: usize) -> Vec<StreamName> {
    (0..count).map(|n| name(&format!("doc:{n}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_lie_on_every_master() {
    let cluster = RedisCluster::start(3, false).await;
    let log = log(cluster.url()).await;
    let streams = streams(30);
    let mut live = subscriber(&log, &streams).await;
    for n in 0..20 {
        for stream in &streams {
            let event = if n % 2 == 0 { number(n) } else { keyed(n) };
            in_time("an append", log.append(stream, event)).await.unwrap();
        }
    }
    let mut received = HashMap::new();
    receive(&mut live, &mut received, |received| {
        received.values().map(Vec::len).sum::<usize>() >= 600
    })
    .await;
    for stream in &streams {
        holds_all(&log, stream, 20).await;
        assert_eq!(received[stream], (0..20).collect::<Vec<_>>(), "{stream}");
    }
    for node in cluster.nodes() {
        let size: u64 = node.run(&mut redis::cmd("DBSIZE")).await;
        assert!(size > 0, "each master has some of them");
    }
    log.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_and_doubles_nothing() {
    under_a_moving_slot(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_and_doubles_nothing_that_has_keys() {
    under_a_moving_slot(true).await;
}

async fn under_a_moving_slot(keys: bool) {
    let cluster = RedisCluster::start(2, false).await;
    let log = log(cluster.url()).await;
    let stream = name("doc:moves");
    let (slot, from) = cluster.first_owner(&key(&stream)).await;
    let to = 1 - from;
    let mut live = subscriber(&log, std::slice::from_ref(&stream)).await;
    let (tell, done) = watch::channel(false);
    let producer = tokio::spawn(produce(log.clone(), stream.clone(), keys, done));
    let mut received = HashMap::new();
    let grown =
        |by: usize, received: &HashMap<StreamName, Vec<u64>>| received.get(&stream).map_or(0, Vec::len) + by;
    let more = async |live: &mut Subscriber, received: &mut HashMap<_, _>| {
        let goal = grown(20, received);
        receive(live, received, |received| {
            received.get(&stream).is_some_and(|n: &Vec<u64>| n.len() >= goal)
        })
        .await;
    };
    more(&mut live, &mut received).await;
    cluster.begin_move(slot, from, to).await;
    cluster.move_keys(slot, from, to).await;
    // What has no key goes on meanwhile; of several keys of a slot that is open, a cluster says to wait.
    let head = log
        .read(&stream, &broker::ReadRequest::forward(From::Start, 10))
        .await
        .unwrap();
    assert_eq!(head.entries.len(), 10, "what is between two nodes is read");
    if !keys {
        more(&mut live, &mut received).await;
    }
    cluster.end_move(slot, from, to).await;
    more(&mut live, &mut received).await;
    // And back.
    cluster.begin_move(slot, to, from).await;
    cluster.move_keys(slot, to, from).await;
    cluster.end_move(slot, to, from).await;
    more(&mut live, &mut received).await;
    tell.send_replace(true);
    let acknowledged = in_time("the producer", producer).await.unwrap();
    let goal = acknowledged.len();
    receive(&mut live, &mut received, |received| {
        received[&stream].len() >= goal
    })
    .await;
    assert_eq!(received[&stream], acknowledged);
    assert_eq!(numbers(&log, &stream).await, acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_when_its_master_dies() {
    let cluster = RedisCluster::start(3, true).await;
    let log = log(cluster.url()).await;
    let streams = streams(12);
    let mut live = subscriber(&log, &streams).await;
    for stream in &streams {
        for n in 0..10 {
            log.append(stream, number(n)).await.unwrap();
        }
    }
    let (_, owner) = cluster.first_owner(&key(&streams[0])).await;
    // Everything is at the replica before its master dies.
    let replicated: u64 = {
        let mut connection = cluster.nodes()[owner].server.connection().await;
        log.append(&streams[0], number(10)).await.unwrap();
        let _: redis::Value = redis::cmd("SET")
            .arg(format!("{}:w", key(&streams[0])))
            .arg(1)
            .query_async(&mut connection)
            .await
            .unwrap();
        redis::cmd("WAIT")
            .arg(1)
            .arg(20_000)
            .query_async(&mut connection)
            .await
            .unwrap()
    };
    assert_eq!(replicated, 1);
    cluster.nodes()[owner].server.kill();
    cluster.nodes()[3 + owner].promoted().await;
    let after = keyed(11);
    until("an append to the new master", async || {
        match log.append(&streams[0], after.clone()).await {
            Ok(_) => true,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                false
            }
        }
    })
    .await;
    let mut received = HashMap::new();
    receive(&mut live, &mut received, |received| {
        received.get(&streams[0]).is_some_and(|n| n.len() >= 12) && received.values().all(|n| n.len() >= 10)
    })
    .await;
    assert_eq!(received[&streams[0]], (0..12).collect::<Vec<_>>());
    for stream in &streams[1..] {
        assert_eq!(received[stream], (0..10).collect::<Vec<_>>());
    }
}

/// Of several keys of a slot that is open a cluster says to wait (`TRYAGAIN`). Nobody waits for ever: a move may have been left off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_with_a_key_is_refused_if_its_slot_stays_open() {
    let cluster = RedisCluster::start(2, false).await;
    let log = log(cluster.url()).await;
    let stream = name("doc:open");
    let (slot, from) = cluster.first_owner(&key(&stream)).await;
    log.append(&stream, keyed(1)).await.unwrap();
    cluster.begin_move(slot, from, 1 - from).await;
    cluster.move_keys(slot, from, 1 - from).await;
    let began = tokio::time::Instant::now();
    let refused = in_time("an answer", log.append(&stream, keyed(2))).await;
    let error = refused.unwrap_err();
    assert!(
        error.is_retryable() && !matches!(error, AppendError::Unconfirmed),
        "{error}"
    );
    assert!(
        began.elapsed() >= shared::limits::APPEND_TIMEOUT / 2,
        "it waits for the move"
    );
    // It is not in the log, and once the slot is closed it gets there.
    cluster.end_move(slot, from, 1 - from).await;
    assert_eq!(numbers(&log, &stream).await, [1]);
    in_time("an append", log.append(&stream, keyed(2))).await.unwrap();
    assert_eq!(numbers(&log, &stream).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_usable_while_one_master_is() {
    let cluster = RedisCluster::start(3, false).await;
    let log = log(cluster.url()).await;
    log.check().await.unwrap();
    cluster.nodes()[1].server.kill();
    // What lies there is refused, and the log is usable all the same.
    let mut lost = None;
    for stream in streams(30) {
        let (_, owner) = cluster.first_owner(&key(&stream)).await;
        if owner == 1 {
            lost = Some(stream);
        }
    }
    let lost = lost.expect("one of thirty streams");
    until("the loss is noticed", async || {
        log.append(&lost, number(1)).await.is_err()
    })
    .await;
    log.check().await.unwrap();
    cluster.nodes()[0].server.kill();
    cluster.nodes()[2].server.kill();
    until("no master is left", async || log.check().await.is_err()).await;
}

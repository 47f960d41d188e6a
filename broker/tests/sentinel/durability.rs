//! Publishes that are acknowledged only when replicas have the event, or a disk.

use std::time::Duration;

use broker::testing::{RedisCluster, RedisServer, SentinelGroup};
use broker::{AppendError, Appended, Durability, Log, NewEvent, RedisConfig, RedisLog};
use futures_util::FutureExt as _;
use shared::StreamName;
use shared::limits::DURABILITY_TIMEOUT_MAX;

use crate::support::*;

/// As long as the test itself waits.
const PATIENT: Duration = DEADLINE;
/// Longer than a few plain appends take, mostly.
const LONG: Duration = DURABILITY_TIMEOUT_MAX;
/// For what cannot come in time.
const SHORT: Duration = Duration::from_millis(200);

fn durable(mut new: NewEvent, durability: Durability) -> NewEvent {
    new.durability = Some(durability);
    new
}

fn settings(url: String, durability: Durability, durability_timeout: Duration) -> RedisConfig {
    RedisConfig {
        durability,
        durability_timeout,
        ..config(url)
    }
}

/// The event is in the log, but not durable: where, and why.
fn not_durable(outcome: Result<Appended, AppendError>) -> (Appended, String) {
    match outcome {
        Err(AppendError::NotDurable { appended, why }) => (appended, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_survives_the_primary() {
    let mut group = SentinelGroup::start(3, &[]).await;
    let settings = settings(group.url(), Durability::Replicas(1), PATIENT);
    let log = RedisLog::connect(settings).await.unwrap();
    let stream = name("doc:1");
    let mut receipts = Vec::new();
    for n in 0..500 {
        // With keys and without, many in flight.
        let new = if n % 3 == 0 { keyed(n) } else { number(n) };
        receipts.push(log.submit(&stream, vec![new]).await.unwrap());
    }
    for receipt in receipts {
        in_time("an acknowledgement", receipt)
            .await
            .pop()
            .unwrap()
            .unwrap();
    }
    // At once: whatever the replica did not have by then is lost.
    group.fail_over_at_once().await;
    until("the new primary", async || log.check().await.is_ok()).await;
    holds_all(&log, &stream, 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_replica_the_publisher_is_told() {
    let group = SentinelGroup::start(1, &[]).await;
    let log = RedisLog::connect(settings(group.url(), Durability::Primary, SHORT))
        .await
        .unwrap();
    let stream = name("doc:1");
    let one = Durability::Replicas(1);
    group.replica().pause();
    let (plain, why) = not_durable(log.append(&stream, durable(number(0), one)).await);
    assert!(why.contains("0 of 1 replicas had it within 200 ms"), "{why}");
    let (with_key, _) = not_durable(log.append(&stream, durable(keyed(1), one)).await);
    assert_eq!(numbers(&log, &stream).await, [0, 1], "both are in the log");
    assert_eq!(plain.cursor.ordinal.unwrap().0, 1);
    // Known by its key, it is no more durable than before.
    let (again, _) = not_durable(log.append(&stream, durable(keyed(1), one)).await);
    assert_eq!((again.cursor, again.duplicate), (with_key.cursor, true));

    group.replica().resume();
    group.in_step().await;
    let again = in_time("the replica", async {
        loop {
            match log.append(&stream, durable(keyed(1), one)).await {
                Ok(appended) => break appended,
                // Slow, not away: it is asked again.
                Err(AppendError::NotDurable { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    assert_eq!((again.cursor, again.duplicate), (with_key.cursor, true));
    // There is but one.
    let (_, why) = not_durable(
        log.append(&stream, durable(number(2), Durability::Replicas(2)))
            .await,
    );
    assert!(why.contains("of 2 replicas"), "{why}");
    holds_all(&log, &stream, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_holds_up_nobody_else() {
    let group = SentinelGroup::start(1, &[]).await;
    let log = RedisLog::connect(settings(group.url(), Durability::Primary, LONG))
        .await
        .unwrap();
    let stream = name("doc:1");
    group.replica().pause();
    let mut next = 0;
    // If the plain ones had to wait as well, none of them would ever come first.
    until("plain appends while a durable one waits", async || {
        let event = durable(number(next), Durability::Replicas(1));
        let mut waiting = log.submit(&stream, vec![event]).await.unwrap();
        // It is in the log, and its publisher still waits.
        until("the durable one", async || {
            length(group.primary(), &stream).await > next
        })
        .await;
        for _ in 0..5 {
            next += 1;
            // In the same stream, at the same server.
            let plain = in_time("a plain append", log.append(&stream, number(next))).await;
            plain.unwrap();
        }
        next += 1;
        let waits = (&mut waiting).now_or_never().is_none();
        if !waits {
            return false;
        }
        not_durable(in_time("the durable one", waiting).await.pop().unwrap());
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_batch_may_ask_for_different_things() {
    let group = SentinelGroup::start(1, &[]).await;
    let log = RedisLog::connect(settings(group.url(), Durability::Primary, PATIENT))
        .await
        .unwrap();
    let stream = name("doc:1");
    let batch = vec![
        number(0),
        durable(number(1), Durability::Replicas(1)),
        durable(number(2), Durability::Fsync(0)),
        durable(keyed(3), Durability::Replicas(1)),
    ];
    let receipt = log.submit(&stream, batch).await.unwrap();
    let outcomes = in_time("all outcomes", receipt).await;
    assert_eq!(outcomes.len(), 4);
    for place in [0, 1, 3] {
        outcomes[place].as_ref().unwrap();
    }
    let refused = outcomes[2].as_ref().unwrap_err();
    assert!(matches!(refused, AppendError::Refused(_)), "{refused}");
    let mut there = numbers(&log, &stream).await;
    there.sort_unstable();
    assert_eq!(there, [0, 1, 3], "what cannot be made durable is not appended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_while_it_is_waited_for() {
    let mut group = SentinelGroup::start(3, &[]).await;
    let log = RedisLog::connect(settings(group.url(), Durability::Primary, PATIENT))
        .await
        .unwrap();
    let stream = name("doc:1");
    let one = Durability::Replicas(1);
    log.append(&stream, durable(number(0), one)).await.unwrap();
    group.cut_replication().await;
    let mut plain = log.submit(&stream, vec![durable(number(1), one)]).await.unwrap();
    until("both to be in the log", async || {
        length(group.primary(), &stream).await == 2
    })
    .await;
    assert!((&mut plain).now_or_never().is_none(), "no replica has it");
    group.fail_over_at_once().await;
    let (_, why) = not_durable(in_time("the one that waits", plain).await.pop().unwrap());
    assert!(why.contains("Redis"), "{why}");
    until("the new primary", async || log.check().await.is_ok()).await;
    assert_eq!(numbers(&log, &stream).await, [0], "it was not durable indeed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_it_is_appended_at_the_next_primary() {
    let mut group = SentinelGroup::start(3, &[]).await;
    let log = RedisLog::connect(settings(group.url(), Durability::Primary, SHORT))
        .await
        .unwrap();
    let stream = name("doc:1");
    group.cut_replication().await;
    let one = Durability::Replicas(1);
    let (lost, _) = not_durable(log.append(&stream, durable(keyed(0), one)).await);
    assert_eq!(lost.cursor.ordinal.unwrap().0, 1);
    group.fail_over_at_once().await;
    until("the new primary", async || log.check().await.is_ok()).await;
    assert!(
        numbers(&log, &stream).await.is_empty(),
        "it was not durable indeed"
    );
    group.restore().await;
    let again = in_time("the same key", async {
        loop {
            if let Ok(appended) = log.append(&stream, durable(keyed(0), one)).await {
                break appended;
            }
        }
    })
    .await;
    assert_eq!(again.cursor.ordinal.unwrap().0, 1);
    assert_eq!(numbers(&log, &stream).await, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_of_a_cluster_has_replicas_of_its_own() {
    let cluster = RedisCluster::start(3, true).await;
    let log = RedisLog::connect(settings(cluster.url(), Durability::Replicas(1), PATIENT))
        .await
        .unwrap();
    let streams: Vec<StreamName> = (0..30).map(|n| name(&format!("doc:{n}"))).collect();
    for stream in &streams {
        for n in 0..4 {
            let new = if n % 2 == 0 { keyed(n) } else { number(n) };
            in_time("a durable append", log.append(stream, new))
                .await
                .unwrap();
        }
    }
    for stream in &streams {
        holds_all(&log, stream, 4).await;
    }
    let log = RedisLog::connect(settings(cluster.url(), Durability::Primary, SHORT))
        .await
        .unwrap();
    let (_, why) = not_durable(
        log.append(&streams[0], durable(number(4), Durability::Replicas(2)))
            .await,
    );
    assert!(why.contains("1 of 2 replicas"), "{why}");
}

/// Whether the server under test knows `WAITAOF` (Redis 7.2).
async fn knows_waitaof(server: &RedisServer) -> bool {
    let known: Vec<redis::Value> = raw(server, redis::cmd("COMMAND").arg("INFO").arg("WAITAOF")).await;
    known.first().is_some_and(|about| *about != redis::Value::Nil)
}

#[tokio::test]
async fn a_disk_is_not_promised_where_there_is_none() {
    let server = RedisServer::start().await;
    let fsync = Durability::Fsync(0);
    let why = if knows_waitaof(&server).await {
        "appendonly yes"
    } else {
        "needs Redis 7.2"
    };
    let refused = RedisLog::connect(settings(server.url(), fsync, SHORT)).await;
    let refused = refused.err().expect("it cannot be kept").to_string();
    assert!(
        refused.contains("publish.durability = \"fsync\"") && refused.contains(why),
        "{refused}"
    );
    assert!(!refused.contains('\n'));

    let log = log(server.url()).await;
    let stream = name("doc:1");
    for new in [number(1), keyed(1)] {
        let error = log.append(&stream, durable(new, fsync)).await.unwrap_err();
        assert!(
            matches!(&error, AppendError::Refused(said) if said.contains(why)),
            "{error}"
        );
    }
    assert!(
        numbers(&log, &stream).await.is_empty(),
        "refused before it was appended"
    );
    log.append(&stream, number(1)).await.unwrap();
}

#[tokio::test]
async fn a_disk_is_waited_for_where_there_is_one() {
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "everysec"]).await;
    let stream = name("doc:1");
    if !knows_waitaof(&server).await {
        // This server cannot: what is told then is tested above, for a server with a file it is the same.
        let log = log(server.url()).await;
        let error = log
            .append(&stream, durable(number(0), Durability::Fsync(0)))
            .await;
        assert!(matches!(error, Err(AppendError::Refused(_))), "{error:?}");
        return;
    }
    let log = RedisLog::connect(settings(server.url(), Durability::Fsync(0), LONG))
        .await
        .unwrap();
    for n in 0..5 {
        let new = if n % 2 == 0 { keyed(n) } else { number(n) };
        in_time("a synced append", log.append(&stream, new))
            .await
            .unwrap();
    }
    let (_, why) = not_durable(
        log.append(&stream, durable(number(5), Durability::Fsync(1)))
            .await,
    );
    assert!(why.contains("0 of 1 replicas had synced it"), "{why}");
    run(&server, "CONFIG SET appendonly no").await;
    let (_, why) = not_durable(log.append(&stream, number(6)).await);
    assert!(why.contains("appendonly yes"), "{why}");
    let error = log.append(&stream, number(7)).await.unwrap_err();
    assert!(matches!(error, AppendError::Refused(_)), "{error}");
    run(&server, "CONFIG SET appendonly yes").await;
    until("the disk to be believed again", async || {
        log.append(&stream, keyed(8)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn who_may_not_wait_is_told_before_anything_is_appended() {
    let server = RedisServer::start().await;
    run(&server, "ACL SETUSER weir on >secret ~* &* +@all -wait").await;
    let log = log(format!("{}?user=weir&pass=secret", server.url())).await;
    let stream = name("doc:1");
    let error = log
        .append(&stream, durable(number(1), Durability::Replicas(1)))
        .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("lacks the permission for WAIT"), "{error}");
    assert!(numbers(&log, &stream).await.is_empty());
}

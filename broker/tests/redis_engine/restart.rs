//! A server that is killed and started again with its append-only file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::testing::RedisServer;
use broker::{AppendError, From, Log, ReadRequest, RedisConfig, RedisLog};
use shared::limits::{APPEND_OUTAGE_WAIT, APPEND_OUTAGE_WAIT_MAX};
use shared::{StreamName, Verdict};
use tokio::sync::watch;

use crate::support::*;

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Publishes keyed numbers in order until it is told to stop, each again until it is in; returns how many.
async fn produce(log: Arc<RedisLog>, stream: StreamName, done: watch::Receiver<bool>) -> u64 {
    let mut next = 0;
    while !*done.borrow() {
        let batch: Vec<u64> = (next..next + 7).collect();
        let receipt = log
            .submit(&stream, batch.iter().map(|n| keyed(*n)).collect())
            .await;
        let results = match receipt {
            Ok(receipt) => receipt.await,
            Err(error) => vec![Err(error)],
        };
        match results.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(appended) => {
                let ordinals: Vec<_> = appended.iter().map(|a| a.cursor.ordinal.unwrap().0).collect();
                assert_eq!(ordinals, batch.iter().map(|n| n + 1).collect::<Vec<_>>());
                next += 7;
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_producers_lose_and_double_nothing() {
    let server = RedisServer::start_with_args(&DURABLE).await;
    let log = log(server.url()).await;
    let streams: Vec<_> = (0..6).map(|n| name(&format!("doc:{n}"))).collect();
    let (tell, done) = watch::channel(false);
    let mut producers = tokio::task::JoinSet::new();
    for stream in &streams {
        let (log, stream, done) = (log.clone(), stream.clone(), done.clone());
        producers.spawn(async move { (stream.clone(), produce(log, stream, done).await) });
    }
    for _ in 0..4 {
        let before = length(&server, &streams[0]).await;
        until("some progress", async || {
            length(&server, &streams[0]).await > before + 50
        })
        .await;
        server.restart().await;
    }
    tell.send_replace(true);
    while let Some(produced) = in_time("the producers", producers.join_next()).await {
        let (stream, count) = produced.unwrap();
        holds_all(&log, &stream, count).await;
        let page = log
            .read(&stream, &ReadRequest::forward(From::Start, 1))
            .await
            .unwrap();
        assert_eq!(page.verdict, Verdict::Continuous);
    }
}

#[tokio::test]
async fn appends_wait_for_a_restart() {
    let server = RedisServer::start_with_args(&DURABLE).await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    log.append(&stream, number(0)).await.unwrap();
    server.kill();
    until("the loss to be noticed", async || log.check().await.is_err()).await;
    let waiting = log.submit(&stream, vec![number(1), number(2)]).await.unwrap();
    server.restart().await;
    let results = in_time("the appends", waiting).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(numbers(&log, &stream).await, [0, 1, 2]);
}

/// Connections that were in use a moment ago are not asked whether they work, and here none of them does.
#[tokio::test]
async fn a_read_right_after_a_restart() {
    let server = RedisServer::start_with_args(&DURABLE).await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    log.append(&stream, number(0)).await.unwrap();
    let page = ReadRequest::forward(From::Start, 10);
    let read = || log.read(&stream, &page);
    let all = tokio::join!(read(), read(), read(), read());
    assert!([all.0, all.1, all.2, all.3].iter().all(Result::is_ok));
    server.restart().await;
    let again = in_time("a read", read()).await.unwrap();
    assert_eq!(again.entries.len(), 1);
}

/// Once it is known that the server is away, nobody waits for it.
#[tokio::test]
async fn appends_fail_at_once_in_an_outage() {
    let server = RedisServer::start_with_args(&DURABLE).await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    log.append(&stream, number(0)).await.unwrap();
    server.kill();
    let first = in_time("the first", log.append(&stream, number(1))).await;
    assert!(first.is_err(), "{first:?}");
    until("the outage to be known", async || {
        let begun = Instant::now();
        let plain = log.append(&stream, number(2)).await;
        let with_key = log.append(&stream, keyed(2)).await;
        assert!(matches!(plain, Err(AppendError::Unavailable(_))), "{plain:?}");
        assert!(
            matches!(with_key, Err(AppendError::Unavailable(_))),
            "{with_key:?}"
        );
        begun.elapsed() < APPEND_OUTAGE_WAIT / 2
    })
    .await;
    server.restart().await;
    until("an append", async || log.append(&stream, keyed(3)).await.is_ok()).await;
    assert_eq!(numbers(&log, &stream).await, [0, 3]);
}

/// Where nothing is to wait, what comes in an outage is refused as soon as that is known.
#[tokio::test]
async fn appends_need_not_wait_for_an_outage_to_end() {
    let server = RedisServer::start_with_args(&DURABLE).await;
    let settings = RedisConfig {
        append_outage_wait: Duration::ZERO,
        ..config(server.url())
    };
    let log = RedisLog::connect(settings).await.unwrap();
    let stream = name("doc:1");
    until("a refusal at once, soon after it is away", async || {
        until("an append", async || log.append(&stream, number(0)).await.is_ok()).await;
        server.kill();
        let begun = Instant::now();
        until("the loss to be noticed", async || log.check().await.is_err()).await;
        let refused = in_time("a refusal", log.append(&stream, number(1))).await;
        let took = begun.elapsed();
        server.restart().await;
        // It may have gone to a connection that was dying.
        matches!(refused, Err(AppendError::Unavailable(_))) && took < APPEND_OUTAGE_WAIT / 2
    })
    .await;
}

#[tokio::test]
async fn appends_may_wait_longer_for_an_outage_to_end() {
    let server = RedisServer::start_with_args(&DURABLE).await;
    let settings = RedisConfig {
        append_outage_wait: APPEND_OUTAGE_WAIT_MAX,
        ..config(server.url())
    };
    let log = RedisLog::connect(settings).await.unwrap();
    let stream = name("doc:1");
    log.append(&stream, number(0)).await.unwrap();
    server.kill();
    until("the loss to be noticed", async || log.check().await.is_err()).await;
    let mut waiting = log.submit(&stream, vec![number(1), keyed(2)]).await.unwrap();
    let meanwhile = tokio::time::timeout(APPEND_OUTAGE_WAIT * 3 / 2, &mut waiting).await;
    assert!(
        meanwhile.is_err(),
        "by default nobody waits that long: {meanwhile:?}"
    );
    server.restart().await;
    let results = in_time("the appends", waiting).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(numbers(&log, &stream).await, [0, 1, 2]);
}

#[tokio::test]
async fn shutdown_completes_what_is_queued() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    let mut receipts = Vec::new();
    for n in 0..3_000 {
        receipts.push(log.submit(&stream, vec![number(n)]).await.unwrap());
    }
    in_time("the shutdown", log.shutdown()).await;
    for receipt in receipts {
        receipt.await.pop().unwrap().unwrap();
    }
    assert_eq!(length(&server, &stream).await, 3_000);
    assert_eq!(log.append(&stream, number(1)).await, Err(AppendError::Closed));
}

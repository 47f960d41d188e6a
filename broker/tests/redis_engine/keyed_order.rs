//! Streams whose events have keys, under cuts at any moment: nothing lost, nothing doubled, order kept.

use std::time::Duration;

use broker::testing::{RedisServer, SentinelGroup};
use broker::{Durability, Log, RedisConfig, RedisLog};

use crate::proxy::{Mode, Proxy};
use crate::support::*;

const STREAMS: u64 = 8;
const EVENTS: u64 = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_moment() {
    cut(&RedisServer::start().await, Durability::Primary).await;
}

/// What was appended and cut before its wait was answered is waited for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_moment_while_replicas_are_waited_for() {
    let group = SentinelGroup::start(1, &[]).await;
    cut(group.primary(), Durability::Replicas(1)).await;
}

async fn cut(server: &RedisServer, durability: Durability) {
    let proxy = Proxy::start(server.socket());
    let settings = RedisConfig {
        durability,
        durability_timeout: DEADLINE,
        ..config(proxy.url())
    };
    let log = RedisLog::connect(settings).await.unwrap();
    let mut publishers = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        let log = log.clone();
        publishers.spawn(async move {
            let stream = name(&format!("doc:{stream}"));
            // Nobody waits for one event before the next is submitted: the lane alone keeps the order.
            let mut receipts = Vec::new();
            for n in 0..EVENTS {
                receipts.push(log.submit(&stream, vec![keyed(n)]).await.unwrap());
                if n % 64 == 0 {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..4))).await;
                }
            }
            for (n, receipt) in receipts.into_iter().enumerate() {
                let appended = receipt.await.pop().unwrap().unwrap();
                assert_eq!(appended.cursor.ordinal.unwrap().0, n as u64 + 1);
            }
        });
    }
    let cuts = async {
        loop {
            for mode in [Mode::SwallowReplies, Mode::SwallowRequests, Mode::Pass] {
                proxy.set(mode);
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..25))).await;
                proxy.set(Mode::Pass);
                proxy.cut();
                tokio::time::sleep(Duration::from_millis(fastrand::u64(20..150))).await;
            }
        }
    };
    let published = async { while publishers.join_next().await.transpose().unwrap().is_some() {} };
    tokio::select! {
        () = in_time("the publishers", published) => {}
        () = cuts => {}
    }
    proxy.set(Mode::Pass);
    for stream in 0..STREAMS {
        let stream = name(&format!("doc:{stream}"));
        until("the log to answer", async || log.check().await.is_ok()).await;
        holds_all(&log, &stream, EVENTS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_flushed_under_load() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    let mut receipts = Vec::new();
    for n in 0..1_000 {
        receipts.push(
            log.submit(&stream, vec![keyed(2 * n), number(2 * n + 1)])
                .await
                .unwrap(),
        );
        if n % 100 == 0 {
            run(&server, "SCRIPT FLUSH").await;
        }
    }
    for receipt in receipts {
        for result in in_time("an append", receipt).await {
            assert!(!result.unwrap().duplicate);
        }
    }
    holds_all(&log, &stream, 2_000).await;
}

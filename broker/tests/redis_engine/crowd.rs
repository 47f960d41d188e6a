//! Very many publishers at once share a few connections.

use std::collections::HashSet;

use broker::Log;
use broker::testing::RedisServer;

use crate::support::*;

const PUBLISHERS: u64 = 30_000;
const STREAMS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn share_two_connections() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let log = log.clone();
        publishers.spawn(async move {
            let stream = publisher % STREAMS;
            let event = if publisher % 7 == 0 {
                keyed(publisher)
            } else {
                number(publisher)
            };
            let appended = log.append(&name(&format!("doc:{stream}")), event).await.unwrap();
            assert!(!appended.duplicate);
            (stream, appended.cursor)
        });
    }
    let answers = in_time("the publishers", publishers.join_all()).await;
    let clients: String = raw(&server, redis::cmd("CLIENT").arg("LIST")).await;
    assert!(
        clients.lines().count() <= 8,
        "lanes, tail, pool and test: {clients}"
    );
    let distinct: HashSet<_> = answers.iter().copied().collect();
    assert_eq!(distinct.len() as u64, PUBLISHERS);
    for stream in 0..STREAMS {
        let ordinals = answers
            .iter()
            .filter(|(of, _)| *of == stream)
            .map(|(_, cursor)| cursor.ordinal.unwrap().0);
        let mut ordinals: Vec<_> = ordinals.collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, (1..=PUBLISHERS / STREAMS).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_append_in_between() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    let mut receipts = Vec::new();
    let others = async {
        for _ in 0..300 {
            run(&server, &format!("XADD {} * other 1", key(&stream))).await;
        }
    };
    let ours = async {
        for n in 0..300 {
            receipts.push(log.submit(&stream, vec![number(n), number(n)]).await.unwrap());
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(others, ours);
    let mut answered = Vec::new();
    for receipt in receipts {
        answered.extend(receipt.await.into_iter().map(|result| result.unwrap().cursor));
    }
    let page = broker::ReadRequest::forward(broker::From::Start, 1_000);
    let page = log.read(&stream, &page).await.unwrap();
    assert_eq!(page.entries.len(), 900);
    let held: HashSet<_> = page.entries.iter().map(|entry| entry.cursor).collect();
    assert!(
        answered.iter().all(|cursor| held.contains(cursor)),
        "every ordinal is exact"
    );
}

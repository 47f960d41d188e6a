//! Connections that are cut with answers outstanding: what is told to whom, and what is in the stream afterwards.

use broker::testing::RedisServer;
use broker::{AppendError, Log, Receipt};

use crate::proxy::{Mode, Proxy};
use crate::support::*;

async fn submit(log: &dyn Log, stream: &str, event: broker::NewEvent) -> Receipt {
    log.submit(&name(stream), vec![event]).await.unwrap()
}

#[tokio::test]
async fn done_but_not_answered() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    proxy.set(Mode::SwallowReplies);
    let plain = submit(&*log, "plain", number(1)).await;
    let keyed_one = submit(&*log, "keyed", keyed(1)).await;
    let behind = submit(&*log, "keyed", keyed(2)).await;
    until("both to be done", async || {
        length(&server, &name("plain")).await == 1 && length(&server, &name("keyed")).await >= 1
    })
    .await;
    proxy.set(Mode::Pass);
    proxy.cut();
    assert_eq!(
        in_time("the verdict", plain).await,
        [Err(AppendError::Unconfirmed)]
    );
    let first = in_time("the retry", keyed_one).await.pop().unwrap().unwrap();
    let second = in_time("what waited behind", behind)
        .await
        .pop()
        .unwrap()
        .unwrap();
    assert_eq!(
        (first.cursor.ordinal.unwrap().0, second.cursor.ordinal.unwrap().0),
        (1, 2)
    );
    assert_eq!(numbers(&log, &name("keyed")).await, [1, 2]);
    let next = log.append(&name("plain"), number(2)).await.unwrap();
    assert_eq!(next.cursor.ordinal.unwrap().0, 2);
    assert_eq!(numbers(&log, &name("plain")).await, [1, 2]);
}

#[tokio::test]
async fn sent_but_not_done() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    proxy.set(Mode::SwallowRequests);
    let plain = submit(&*log, "plain", number(1)).await;
    let keyed_one = submit(&*log, "keyed", keyed(1)).await;
    // Both are on their way, else they would be sent again whole.
    assert!(log.check().await.is_err());
    proxy.set(Mode::Pass);
    proxy.cut();
    assert_eq!(
        in_time("the verdict", plain).await,
        [Err(AppendError::Unconfirmed)]
    );
    let appended = in_time("the retry", keyed_one).await.pop().unwrap().unwrap();
    assert!(!appended.duplicate, "only the second try arrived");
    assert_eq!(numbers(&log, &name("keyed")).await, [1]);
    assert_eq!(numbers(&log, &name("plain")).await, [] as [u64; 0]);
}

#[tokio::test]
async fn not_sent_waits_for_the_connection() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    proxy.set(Mode::Refuse);
    proxy.cut();
    until("the loss to be noticed", async || log.check().await.is_err()).await;
    let mut receipts = Vec::new();
    for n in 0..10 {
        receipts.push(submit(&*log, "doc:1", number(n)).await);
    }
    proxy.set(Mode::Pass);
    for receipt in receipts {
        in_time("an append that waited", receipt)
            .await
            .pop()
            .unwrap()
            .unwrap();
    }
    holds_all(&log, &name("doc:1"), 10).await;
}

#[tokio::test]
async fn unavailable_when_the_wait_is_over() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    proxy.set(Mode::Refuse);
    proxy.cut();
    until("the loss to be noticed", async || log.check().await.is_err()).await;
    let stream = name("doc:1");
    let (plain, with_key) = tokio::join!(
        in_time("the verdict", log.append(&stream, number(1))),
        in_time("the verdict", log.append(&stream, keyed(2))),
    );
    for error in [plain.unwrap_err(), with_key.unwrap_err()] {
        assert!(
            matches!(error, AppendError::Unavailable(_)),
            "never sent, so certainly not appended"
        );
        assert!(error.is_retryable());
    }
    proxy.set(Mode::Pass);
    until("the connection to come back", async || log.check().await.is_ok()).await;
    log.append(&name("doc:1"), number(3)).await.unwrap();
    assert_eq!(numbers(&log, &name("doc:1")).await, [3]);
}

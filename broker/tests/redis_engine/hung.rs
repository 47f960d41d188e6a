//! A server that is there but does nothing (SIGSTOP): deadlines hold, and what follows is in order.

use std::process::Command;
use std::time::Instant;

use broker::testing::RedisServer;
use broker::{AppendError, From, Log, ReadError, ReadRequest};
use shared::limits::{APPEND_TIMEOUT, READ_TIMEOUT};

use crate::support::*;

/// Stops a server's process; it goes on when this is dropped, also if the test fails.
struct Stopped(u32);

impl Stopped {
    fn now(server: &RedisServer) -> Self {
        let stopped = Self(server.pid().unwrap());
        stopped.signal("-STOP");
        stopped
    }

    fn signal(&self, signal: &str) {
        Command::new("kill")
            .args([signal, &self.0.to_string()])
            .status()
            .unwrap();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

#[tokio::test]
async fn nothing_waits_longer_than_it_may() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let (plain, with_keys) = (name("plain"), name("keyed"));
    log.append(&plain, number(0)).await.unwrap();
    log.append(&with_keys, keyed(0)).await.unwrap();

    let stopped = Stopped::now(&server);
    let begun = Instant::now();
    // The second of each comes when the connection is known to be dead, if it is by then.
    let later = async {
        tokio::time::sleep(APPEND_TIMEOUT * 3 / 4).await;
        tokio::join!(log.append(&plain, number(2)), log.append(&with_keys, keyed(2)))
    };
    let read = ReadRequest::forward(From::Start, 10);
    let (first, first_keyed, later, read, check) = tokio::join!(
        in_time("a plain append", log.append(&plain, number(1))),
        in_time("an append with a key", log.append(&with_keys, keyed(1))),
        in_time("later ones", later),
        in_time("a read", log.read(&plain, &read)),
        in_time("a check", log.check()),
    );
    let most = APPEND_TIMEOUT.max(READ_TIMEOUT) * 2;
    assert!(
        begun.elapsed() < most + APPEND_TIMEOUT / 2,
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(first, Err(AppendError::Unconfirmed));
    assert_eq!(first_keyed, Err(AppendError::Unconfirmed));
    assert!(
        matches!(later.0, Err(AppendError::Unavailable(_))),
        "{:?}",
        later.0
    );
    assert!(
        matches!(later.1, Err(AppendError::Unavailable(_))),
        "{:?}",
        later.1
    );
    assert!(matches!(read, Err(ReadError::Unavailable(_))));
    check.unwrap_err();

    drop(stopped);
    until("the server to be used again", async || log.check().await.is_ok()).await;
    let again = in_time("the same key", log.append(&with_keys, keyed(1)))
        .await
        .unwrap();
    assert_eq!(again.cursor.ordinal.unwrap().0, 2);
    log.append(&with_keys, keyed(3)).await.unwrap();
    assert_eq!(
        numbers(&log, &with_keys).await,
        [0, 1, 3],
        "once, whether the first try arrived or not"
    );
}

#[tokio::test]
async fn a_short_stop_is_not_noticed() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    let stopped = Stopped::now(&server);
    let mut receipts = Vec::new();
    for n in 0..100 {
        receipts.push(log.submit(&stream, vec![number(n)]).await.unwrap());
    }
    drop(stopped);
    for receipt in receipts {
        in_time("an append", receipt).await.pop().unwrap().unwrap();
    }
    holds_all(&log, &stream, 100).await;
}

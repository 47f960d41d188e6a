//! Servers that answer, but with a refusal: each becomes the error that says what to do.

use broker::testing::RedisServer;
use broker::{AppendError, From, Log, ReadError, ReadRequest};
use bytes::Bytes;

use crate::support::*;

#[tokio::test]
async fn full_memory() {
    let server =
        RedisServer::start_with_args(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]).await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    let sized = |size| bytes(Bytes::from(format!("\"{}\"", "x".repeat(size))));
    // What is refused is so with its own bytes counted: smaller and smaller ones fill up the rest.
    for size in [100_000, 5_000, 500, 10] {
        let error = in_time("the memory to be full", async {
            loop {
                if let Err(error) = log.append(&stream, sized(size)).await {
                    break error;
                }
            }
        })
        .await;
        assert_eq!(error, AppendError::Full);
        assert!(error.is_retryable());
    }
    let mut keyed_large = sized(100_000);
    keyed_large.key = Some("k".parse().unwrap());
    assert_eq!(
        log.append(&stream, keyed_large.clone()).await,
        Err(AppendError::Full)
    );
    let check = log.check().await.unwrap_err();
    assert!(check.to_string().contains("memory"), "{check}");
    let before = length(&server, &stream).await;
    run(&server, "CONFIG SET maxmemory 100mb").await;
    log.append(&stream, number(1)).await.unwrap();
    assert!(
        !log.append(&stream, keyed_large).await.unwrap().duplicate,
        "the refused one left no key"
    );
    assert_eq!(length(&server, &stream).await, before + 2);
    log.check().await.unwrap();
}

#[tokio::test]
async fn another_type_of_value() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    run(&server, &format!("SET {} x", key(&stream))).await;
    assert_eq!(log.append(&stream, number(1)).await, Err(AppendError::WrongType));
    assert_eq!(log.append(&stream, keyed(1)).await, Err(AppendError::WrongType));
    for from in [From::Start, From::Now, From::Last(3)] {
        let read = log.read(&stream, &ReadRequest::forward(from, 10)).await;
        assert_eq!(read.unwrap_err(), ReadError::WrongType);
    }
    log.append(&name("doc:2"), number(1)).await.unwrap();
}

#[tokio::test]
async fn a_replica_takes_no_appends() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    log.append(&stream, number(1)).await.unwrap();
    // Of a master that does not exist: its data stays, writes are refused.
    run(&server, "REPLICAOF 127.0.0.1 1").await;
    let waiting = log.submit(&stream, vec![number(2)]).await.unwrap();
    run(&server, "REPLICAOF NO ONE").await;
    in_time("the append that waited", waiting)
        .await
        .pop()
        .unwrap()
        .unwrap();
    run(&server, "REPLICAOF 127.0.0.1 1").await;
    let error = in_time("the refusal", log.append(&stream, number(3)))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, AppendError::Unavailable(why) if why.0.contains("replica")),
        "{error}"
    );
    let check = log.check().await.unwrap_err();
    assert!(check.to_string().contains("replica"), "{check}");
    assert_eq!(numbers(&log, &stream).await, [1, 2], "reads go on");
    run(&server, "REPLICAOF NO ONE").await;
    until("an append", async || log.append(&stream, number(4)).await.is_ok()).await;
    assert_eq!(numbers(&log, &stream).await, [1, 2, 4]);
}

#[tokio::test]
async fn missing_permissions() {
    let server = RedisServer::start().await;
    run(&server, "ACL SETUSER reader on >secret ~* +@all -xadd").await;
    let url = format!("{}?user=reader&pass=secret", server.url());
    let log = log(url).await;
    let stream = name("doc:1");
    for event in [number(1), keyed(1)] {
        let error = log.append(&stream, event).await.unwrap_err();
        let AppendError::Refused(why) = &error else {
            panic!("{error:?}");
        };
        assert!(why.contains("permission") && !error.is_retryable(), "{error}");
    }
    assert!(log.check().await.is_err());
    run(&server, "ACL SETUSER reader -xrange").await;
    let read = log.read(&stream, &ReadRequest::forward(From::Start, 1)).await;
    assert!(matches!(read, Err(ReadError::Refused(_))), "{read:?}");
    run(&server, "ACL SETUSER reader +@all").await;
    log.append(&stream, number(2)).await.unwrap();
    assert_eq!(numbers(&log, &stream).await, [2]);
}

#[tokio::test]
async fn no_id_left() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("doc:1");
    let last = format!("{}-{}", u64::MAX, u64::MAX);
    run(&server, &format!("XADD {} {last} d 1", key(&stream))).await;
    let error = log.append(&stream, number(2)).await.unwrap_err();
    assert!(
        matches!(&error, AppendError::Refused(why) if why.contains("last possible ID")),
        "{error}"
    );
}

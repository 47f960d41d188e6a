//! What no honest client sends: the edge answers or hangs up, and goes on serving others.

use std::time::Duration;

use edge::config::Config;

use crate::client::{Raw, get, publish, within};
use crate::support::TestEdge;

#[tokio::test]
async fn garbage_is_hung_up_on() {
    let edge = TestEdge::start().await;
    for bytes in [
        &b"\x00\xff\x13\x37garbage\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/streams/a HTTP/1.1\r\nbad header\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&edge).await;
        raw.write(bytes).await;
        // Nothing more is sent, so what the edge does not refuse at once it gives up waiting for.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut raw.0).await;
        let answer = raw.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    publish(&edge, "a", 1).await;
}

#[tokio::test]
async fn random_bytes_do_no_harm() {
    let edge = TestEdge::start().await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut raw = Raw::connect(&edge).await;
        let mut bytes: Vec<u8> = (0..random.usize(1..600)).map(|_| random.u8(..)).collect();
        if random.bool() {
            let head = b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n\
                transfer-encoding: chunked\r\n\r\n";
            bytes.splice(0..0, head.iter().copied());
        }
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, &bytes).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut raw.0).await;
        raw.read_to_end().await;
    }
    assert_eq!(get(&edge, "/healthz").await.0, 200);
}

#[tokio::test]
async fn large_heads_are_refused() {
    let edge = TestEdge::start().await;
    for bytes in [20_000, 300_000] {
        let mut raw = Raw::connect(&edge).await;
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n",
            "y".repeat(bytes)
        );
        // It may hang up before everything is sent.
        let _ = within(
            "sending",
            tokio::io::AsyncWriteExt::write_all(&mut raw.0, head.as_bytes()),
        )
        .await;
        let answer = raw.read_until("\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let mut raw = Raw::connect(&edge).await;
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    raw.write(format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes())
        .await;
    let answer = raw.read_until("\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let mut config = Config::default();
    config.limits.header_timeout = Duration::from_millis(100);
    let edge = TestEdge::start_with(config).await;
    let mut raw = Raw::connect(&edge).await;
    raw.write(b"GET /healthz HTTP/1.1\r\nhost: ").await;
    let answer = raw.read_to_end().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // Nor one that never begins.
    let mut silent = Raw::connect(&edge).await;
    assert_eq!(silent.read_to_end().await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let mut config = Config::default();
    config.limits.connections_max = 2;
    let edge = TestEdge::start_with(config).await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let (mut first, mut second) = (Raw::connect(&edge).await, Raw::connect(&edge).await);
    for raw in [&mut first, &mut second] {
        raw.write(ask).await;
        raw.read_until("\"ok\"").await;
    }
    let mut third = Raw::connect(&edge).await;
    third.write(ask).await;
    let mut byte = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(100), third.0.peek(&mut byte)).await;
    assert!(early.is_err(), "the third connection was served");
    drop(first);
    third.read_until("\"ok\"").await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let post = "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{\"data\":1}";
    raw.write(
        format!("{post}{post}GET /v1/streams/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
    )
    .await;
    let answers = raw.read_to_end().await;
    assert_eq!(answers.matches("HTTP/1.1 201 Created").count(), 2, "{answers}");
    assert_eq!(answers.matches("\"data\":1").count(), 2, "{answers}");
}

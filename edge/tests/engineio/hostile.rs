//! Clients that break the rules. Each gets a clear end, and nobody else notices.

use std::net::SocketAddr;

use edge::engineio::Settings;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt as _;

use crate::client::{Poller, Socket, ok, soon};
use crate::lab::Server;
use crate::raw::{Raw, frame};

/// The server still works for somebody else.
async fn works(server: SocketAddr) {
    let (mut socket, _) = Socket::open(server).await;
    socket.echo("works").await;
    let client = Poller::open(server).await;
    assert_eq!(client.post(server, "4works").await, ok("ok"));
    assert_eq!(client.get(server).await, ok("4works"));
    assert_eq!(client.post(server, "1").await, ok("ok"));
    socket.close().await;
}

#[tokio::test]
async fn breaches_on_a_websocket_are_closed_with_the_code_for_them() {
    let server = Server::start_set(Settings {
        max_payload: 10_000,
        ..Settings::default()
    })
    .await;
    for (what, bytes, code) in [
        ("no mask", vec![0x81, 0x01, b'4'], 1002),
        ("a reserved bit", frame(0xc1, b"4"), 1002),
        ("text that is not UTF-8", frame(0x81, b"4\xff"), 1007),
        ("a message that is too big", frame(0x82, &[0; 10_001]), 1009),
        ("no packet", frame(0x81, b"x"), 1000),
        ("an empty text", frame(0x81, b""), 1000),
        ("the goodbye of Engine.IO", frame(0x81, b"1"), 1000),
        ("the goodbye of WebSocket", frame(0x88, &[3, 232]), 1000),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.open_websocket().await;
        raw.write(bytes).await;
        assert_eq!(raw.close_code().await, Some(code), "{what}");
        raw.end().await;
    }
    works(server.address).await;
}

#[tokio::test]
async fn pings_of_the_websocket_itself_are_answered() {
    let server = Server::start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.open_websocket().await;
    raw.write(frame(0x89, b"there?")).await;
    assert_eq!(raw.frame().await, Some((10, b"there?".to_vec())));
    // And ignored where they mean nothing.
    raw.write(
        [
            frame(0x8a, b""),
            frame(0x81, b"0"),
            frame(0x81, b"5"),
            frame(0x81, b"6"),
        ]
        .concat(),
    )
    .await;
    raw.write(frame(0x81, b"4x")).await;
    assert_eq!(raw.frame().await, Some((1, b"4x".to_vec())));
}

#[tokio::test]
async fn random_bytes_do_no_harm() {
    let server = Server::start().await;
    let mut runner = TestRunner::deterministic();
    let packet = prop::collection::vec(prop_oneof!["[0-6bx]", "\\PC"], 0..8).prop_map(|parts| parts.concat());
    let text = prop::collection::vec(packet, 0..6).prop_map(|packets| packets.join("\u{1e}"));
    let frames = prop::collection::vec((any::<u8>(), text.clone()), 1..5).prop_map(|frames| {
        let frames = frames.iter().map(|(first, text)| frame(*first, text.as_bytes()));
        frames.collect::<Vec<_>>().concat()
    });
    let stream = prop_oneof![prop::collection::vec(any::<u8>(), 1..400), frames];
    for round in 0..120 {
        let bytes = stream.new_tree(&mut runner).unwrap().current();
        let mut raw = Raw::connect(server.address).await;
        match round % 3 {
            // On the WebSocket of a session.
            0 => raw.open_websocket().await,
            // On one that is tried.
            1 => {
                let client = Poller::open(server.address).await;
                raw.ask_websocket(&format!("EIO=4&transport=websocket&sid={}", client.sid))
                    .await;
                raw.answer().await;
            }
            // Instead of a request.
            _ => {}
        }
        raw.write(&bytes).await;
        raw.stream.shutdown().await.unwrap();
        raw.end().await;
        let body = text.new_tree(&mut runner).unwrap().current();
        let client = Poller::open(server.address).await;
        let (status, _) = client.post(server.address, body).await;
        assert!(status == 200 || status == 400, "{status}");
    }
    works(server.address).await;
}

#[tokio::test]
async fn connections_that_vanish_at_any_byte_are_forgotten() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let websocket = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let post = format!(
        "POST /engine.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n4hello",
        client.sid
    );
    let open = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut whole = websocket.as_bytes().to_vec();
    whole.extend(frame(0x81, b"4hello"));
    whole.extend(frame(0x81, b"4flood"));
    for bytes in [&whole[..], post.as_bytes(), open.as_bytes()] {
        for cut in (0..=bytes.len()).step_by(3) {
            let mut raw = Raw::connect(server.address).await;
            raw.write(&bytes[..cut]).await;
            drop(raw);
        }
    }
    works(server.address).await;
    // Nothing is left of them: the tasks end by themselves.
    server.shutdown.cancel();
    soon("the tasks", server.hosting.tasks.wait()).await;
}

#[tokio::test]
async fn many_requests_for_one_session_end_it_and_no_other() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let requests: Vec<_> = (0..100)
        .map(|n| {
            let (client, address) = (client.clone(), server.address);
            tokio::spawn(async move {
                match n % 2 {
                    0 => client.get(address).await,
                    _ => client.post(address, "4x").await,
                }
            })
        })
        .collect();
    for request in requests {
        let (status, _) = soon("an answer", request).await.unwrap();
        assert!(status == 200 || status == 400, "{status}");
    }
    server.lab.ended(1).await;
    works(server.address).await;
}

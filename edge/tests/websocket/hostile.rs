//! Clients that break the rules. Each gets what the protocol says it should, and nobody else notices.

use std::time::{Duration, Instant};

use edge::config::Config;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::client::{Client, Encoding, End, soon};
use crate::raw::{BINARY, CLOSE, Frame, PING, PONG, Raw, TEXT, request};
use crate::support::TestEdge;

const CONTINUATION: u8 = 0;
const PUBLISH: &str = r#"{"type":"publish","ref":1,"stream":"s","data":"é"}"#;

/// The edge still works for somebody else.
async fn works(edge: &TestEdge) {
    let mut client = Client::open(edge).await;
    client.publish("elsewhere", json!(1)).await;
    client.close().await;
}

/// What is sent, and the code it is closed with.
fn breaches() -> Vec<(&'static str, Vec<Frame>, u16)> {
    let text = |text: &str| Frame::new(TEXT, text);
    let ping = r#"{"type":"ping"}"#;
    vec![
        (
            "no mask",
            vec![Frame {
                masked: false,
                ..text(ping)
            }],
            1002,
        ),
        (
            "a reserved bit",
            vec![Frame {
                first: 0xc1,
                ..text(ping)
            }],
            1002,
        ),
        (
            "an unknown opcode",
            vec![Frame {
                first: 0x83,
                ..text(ping)
            }],
            1002,
        ),
        (
            "a continuation of nothing",
            vec![Frame::new(CONTINUATION, ping)],
            1002,
        ),
        (
            "a text within a text",
            vec![Frame::partial(TEXT, "{"), text(ping)],
            1002,
        ),
        ("a ping in pieces", vec![Frame::partial(PING, "x")], 1002),
        (
            "a ping that is too long",
            vec![Frame::new(PING, vec![0; 126])],
            1002,
        ),
        ("a close of one byte", vec![Frame::new(CLOSE, [3])], 1002),
        (
            "a close with a code that may not be sent",
            vec![Frame::new(CLOSE, [3, 237])],
            1002,
        ),
        (
            "text that is not UTF-8",
            vec![Frame::new(TEXT, [b'"', 0xff, b'"'])],
            1007,
        ),
        (
            "a character cut at the end",
            vec![Frame::new(TEXT, &PUBLISH.as_bytes()[..PUBLISH.len() - 3])],
            1007,
        ),
        ("binary on a JSON socket", vec![Frame::new(BINARY, [0x80])], 1003),
        ("a close", vec![Frame::new(CLOSE, [3, 232])], 1000),
    ]
}

#[tokio::test]
async fn breaches_of_the_protocol_are_closed_with_the_code_for_them() {
    let edge = TestEdge::start().await;
    for (what, frames, code) in breaches() {
        let mut raw = Raw::open(&edge).await;
        for frame in &frames {
            raw.send(frame).await;
        }
        assert_eq!(raw.close_code().await, Some(code), "{what}");
        raw.end().await;
    }
    works(&edge).await;
}

#[tokio::test]
async fn the_wrong_kind_of_frame_on_a_message_pack_socket() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let answer = raw
        .ask(&request(&[("Sec-WebSocket-Protocol", "weir.v1.msgpack")]))
        .await;
    assert_eq!(answer.status, 101);
    raw.send(&Frame::new(TEXT, "{}")).await;
    assert_eq!(raw.close_code().await, Some(1003));
}

#[tokio::test]
async fn a_message_may_come_in_pieces_with_pings_between_them() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::open(&edge).await;
    // The cuts go through characters, and each byte is a write of its own.
    let bytes = PUBLISH.as_bytes();
    let (first, last) = (&bytes[..1], &bytes[bytes.len() - 1..]);
    let mut stream = Frame::partial(TEXT, first).bytes();
    for byte in &bytes[1..bytes.len() - 1] {
        stream.extend(Frame::partial(CONTINUATION, [*byte]).bytes());
        stream.extend(Frame::new(PING, [*byte]).bytes());
    }
    stream.extend(Frame::new(CONTINUATION, last).bytes());
    for byte in stream {
        raw.write(&[byte]).await;
    }
    for byte in &bytes[1..bytes.len() - 1] {
        assert_eq!(raw.receive().await, Some((PONG, vec![*byte])));
    }
    let (_, answer) = raw.receive().await.unwrap();
    assert!(answer.starts_with(br#"{"type":"published","ref":1"#));
}

#[tokio::test]
async fn messages_above_the_limit_are_not_even_taken_in() {
    let mut config = Config::default();
    config.limits.event_bytes_max = 10_000;
    let edge = TestEdge::start_with(config).await;
    for length in [100_000, 1 << 31, 1 << 40, u64::MAX] {
        let mut raw = Raw::open(&edge).await;
        let frame = Frame {
            length: Some(length),
            ..Frame::new(TEXT, "{")
        };
        raw.send(&frame).await;
        assert_eq!(raw.close_code().await, Some(1009), "{length}");
    }
    let mut raw = Raw::open(&edge).await;
    raw.send(&Frame::partial(TEXT, vec![b' '; 9_000])).await;
    for _ in 0..20 {
        raw.send(&Frame::partial(CONTINUATION, vec![b' '; 9_000])).await;
    }
    assert_eq!(raw.close_code().await, Some(1009));
    works(&edge).await;
}

#[tokio::test]
async fn what_comes_before_a_goodbye_is_published() {
    let edge = TestEdge::start().await;
    let mut reader = Client::open(&edge).await;
    reader.subscribe("s", "start").await;
    for n in 0..10 {
        let publish = format!(r#"{{"type":"publish","stream":"s","data":{n}}}"#);
        let frames = [Frame::new(TEXT, publish), Frame::new(CLOSE, [3, 232])];
        let mut raw = Raw::open(&edge).await;
        raw.write(&frames.map(|frame| frame.bytes()).concat()).await;
        assert_eq!(raw.close_code().await, Some(1000));
        assert_eq!(reader.until("event").await["data"], n);
    }
}

#[tokio::test]
async fn a_client_that_only_sends_nonsense_is_sent_away() {
    let edge = TestEdge::start().await;
    for encoding in Encoding::ALL {
        let mut client = Client::open_as(&edge, encoding).await;
        for _ in 0..100 {
            client.feed(json!({"type": "nonsense"})).await;
        }
        client.flush().await;
        for _ in 0..100 {
            client.expect("error").await;
        }
        assert_eq!(client.receive().await, Err(End::Closed(1008)));
    }
}

#[tokio::test]
async fn pings_that_nobody_wants_to_see_answered_do_not_pile_up() {
    const BYTES_MAX: usize = 64 * 1024 * 1024;
    let mut config = Config::default();
    config.ws.frames_per_second = u32::MAX;
    let edge = TestEdge::start_with(config).await;
    let mut raw = Raw::open(&edge).await;
    let ping = Frame::new(PING, vec![b'x'; 125]).bytes();
    let mut written = 0;
    // Until the edge, whose answers are not read, reads no more.
    loop {
        let rest = &ping[written % ping.len()..];
        match tokio::time::timeout(Duration::from_millis(500), raw.stream.write(rest)).await {
            Ok(count) => written += count.unwrap(),
            Err(_) => break,
        }
        assert!(written < BYTES_MAX, "the edge takes pings without end");
    }
    works(&edge).await;
    // Every ping that was sent is answered now, and the socket goes on.
    let sent = written / ping.len();
    for _ in 0..sent {
        assert_eq!(raw.receive().await.unwrap().0, PONG);
    }
    if written % ping.len() > 0 {
        raw.write(&ping[written % ping.len()..]).await;
        assert_eq!(raw.receive().await.unwrap().0, PONG);
    }
    assert_eq!(raw.tell(r#"{"type":"ping"}"#).await, r#"{"type":"pong"}"#);
}

#[tokio::test]
async fn a_client_that_is_too_fast_is_slowed_down_but_loses_nothing() {
    let mut config = Config::default();
    config.ws.frames_per_second = 50;
    let edge = TestEdge::start_with(config).await;
    let mut client = Client::open(&edge).await;
    let begun = Instant::now();
    for n in 0..100 {
        client.feed(json!({"type": "ping", "ref": n})).await;
    }
    client.flush().await;
    for n in 0..100 {
        assert_eq!(client.next().await, json!({"type": "pong", "ref": n}));
    }
    // 50 at once, and the other 50 over a second.
    assert!(begun.elapsed() > Duration::from_millis(900));
}

#[tokio::test]
async fn random_bytes_do_no_harm() {
    let edge = TestEdge::start().await;
    let mut runner = TestRunner::deterministic();
    let bytes = prop::collection::vec(any::<u8>(), 1..400);
    let frame = (
        any::<u8>(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(first, masked, payload)| {
            Frame {
                first,
                masked,
                payload,
                length: None,
            }
            .bytes()
        });
    let stream = prop_oneof![
        bytes,
        prop::collection::vec(frame, 1..5).prop_map(|frames| frames.concat())
    ];
    for _ in 0..150 {
        let bytes = stream.new_tree(&mut runner).unwrap().current();
        let mut raw = Raw::open(&edge).await;
        raw.write(&bytes).await;
        raw.stream.shutdown().await.unwrap();
        raw.end().await;
    }
    works(&edge).await;
}

#[tokio::test]
async fn connections_that_vanish_at_any_byte_are_forgotten() {
    let edge = TestEdge::start().await;
    let mut bytes = request(&[]).into_bytes();
    bytes.extend(Frame::new(TEXT, r#"{"type":"subscribe","stream":"s","from":"start"}"#).bytes());
    bytes.extend(Frame::new(TEXT, PUBLISH).bytes());
    for cut in (0..bytes.len()).step_by(3) {
        let mut raw = Raw::connect(&edge).await;
        raw.write(&bytes[..cut]).await;
        drop(raw);
    }
    works(&edge).await;
    // Nothing is left of them: the edge's tasks end by themselves.
    edge.state.tasks.close();
    edge.shutdown.cancel();
    soon("the tasks", edge.state.tasks.wait()).await;
}

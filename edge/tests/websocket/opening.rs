//! The opening handshake: what is let in, and how the rest is turned away.

use edge::config::Config;
use tokio::io::AsyncReadExt as _;

use crate::client::{Client, Encoding, soon};
use crate::raw::{ACCEPT, Frame, Raw, TEXT, request};
use crate::support::TestEdge;

#[tokio::test]
async fn a_websocket_is_opened_by_the_book() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = raw.ask(&request(&[("traceparent", trace)])).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(
        answer.header("connection").map(str::to_lowercase).as_deref(),
        Some("upgrade")
    );
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    // Nothing was offered, so nothing may be chosen.
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    // The connection is a part of the client's trace.
    let own = answer.header("traceparent").unwrap();
    assert_eq!(&own[..36], &trace[..36]);
    assert_ne!(own, trace);
    assert_eq!(raw.tell(r#"{"type":"ping"}"#).await, r#"{"type":"pong"}"#);
}

#[tokio::test]
async fn the_first_known_subprotocol_is_chosen() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let offer = ("Sec-WebSocket-Protocol", "mqtt, weir.v1.msgpack, weir.v1.json");
    let answer = raw.ask(&request(&[offer])).await;
    assert_eq!(answer.header("sec-websocket-protocol"), Some("weir.v1.msgpack"));

    let mut raw = Raw::connect(&edge).await;
    let answer = raw.ask(&request(&[("Sec-WebSocket-Protocol", "mqtt")])).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains(r#""code":"bad_request""#), "{}", answer.body);
    assert!(answer.body.contains("weir.v1.json"), "{}", answer.body);
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so_and_the_connection_lives_on() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    for changes in [
        [("Upgrade", "")].as_slice(),
        &[("Connection", "keep-alive")],
        &[("Sec-WebSocket-Version", "8")],
    ] {
        let answer = raw.ask(&request(changes)).await;
        assert_eq!(answer.status, 426, "{changes:?}: {}", answer.body);
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert!(
            answer.body.contains(r#""code":"upgrade_required""#),
            "{}",
            answer.body
        );
    }
    let answer = raw.ask(&request(&[("Sec-WebSocket-Key", "short")])).await;
    assert_eq!(answer.status, 400);
    let answer = raw.ask(&request(&[]).replace("GET", "POST")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
    assert!(
        answer.body.contains(r#""code":"method_not_allowed""#),
        "{}",
        answer.body
    );
    let answer = raw.ask(&request(&[])).await;
    assert_eq!(answer.status, 101);
}

#[tokio::test]
async fn pages_of_other_origins_are_turned_away_unless_allowed() {
    let mut config = Config::default();
    config.cors.allowed_origins = vec!["https://app.example".into()];
    let edge = TestEdge::start_with(config).await;
    for (origin, status) in [
        ("https://app.example", 101),
        ("http://edge.example", 101),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let answer = Raw::connect(&edge)
            .await
            .ask(&request(&[("Origin", origin)]))
            .await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn an_edge_that_goes_away_opens_no_more() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    edge.state.drain.cancel();
    client.end().await;
    let mut late = Raw::connect(&edge).await;
    late.write(request(&[]).as_bytes()).await;
    let mut answer = Vec::new();
    let _ = soon("an end", late.stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    // Either there is an answer, which is no, or the connection is just closed.
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 503 "),
        "{answer}"
    );
}

#[tokio::test]
async fn frames_may_follow_the_request_at_once() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let mut bytes = request(&[]).into_bytes();
    let publish = r#"{"type":"publish","ref":1,"stream":"s","data":1}"#;
    let whole = Frame::new(TEXT, publish).bytes();
    // The second frame is cut in the middle.
    bytes.extend_from_slice(&whole);
    bytes.extend_from_slice(&whole[..9]);
    raw.write(&bytes).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 101);
    let (_, first) = raw.receive().await.unwrap();
    raw.write(&whole[9..]).await;
    let (_, second) = raw.receive().await.unwrap();
    for text in [first, second] {
        assert!(text.starts_with(br#"{"type":"published","ref":1"#));
    }
}

#[tokio::test]
async fn both_encodings_reach_the_same_streams() {
    let edge = TestEdge::start().await;
    let mut json = Client::open_as(&edge, Encoding::Json).await;
    let mut packed = Client::open_as(&edge, Encoding::MessagePack).await;
    packed.subscribe("s", "now").await;
    packed.expect("caught_up").await;
    let published = json.publish("s", serde_json::json!({"x": [1, null, "é"]})).await;
    let event = packed.expect("event").await;
    assert_eq!(
        (&event["id"], &event["cursor"]),
        (&published["id"], &published["cursor"])
    );
    assert_eq!(event["data"], serde_json::json!({"x": [1, null, "é"]}));
}

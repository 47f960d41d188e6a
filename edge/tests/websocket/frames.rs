//! Every request and what it is answered with.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_websockets::Message;

use crate::client::{Client, Encoding};
use crate::raw::Raw;
use crate::support::TestEdge;

#[tokio::test]
async fn publish_and_follow_in_both_encodings() {
    for encoding in Encoding::ALL {
        let edge = TestEdge::start().await;
        let mut publisher = Client::open_as(&edge, encoding).await;
        let mut follower = Client::open_as(&edge, encoding).await;
        let subscribed = follower.subscribe("doc:42", "now").await;
        assert_eq!(
            (&subscribed["ref"], &subscribed["stream"]),
            (&json!("s"), &json!("doc:42"))
        );
        assert_eq!(subscribed["verdict"], json!({"kind": "continuous"}));
        assert_eq!(subscribed["cursor"], subscribed["head"]);
        follower.expect("caught_up").await;
        for n in 1..=3 {
            let frame =
                json!({"type": "publish", "ref": n, "stream": "doc:42", "event": "edit", "data": {"n": n}});
            publisher.send(frame).await;
            let published = publisher.expect("published").await;
            assert_eq!((&published["ref"], published.get("duplicate")), (&json!(n), None));
            let event = follower.expect("event").await;
            assert_eq!(
                (&event["id"], &event["cursor"]),
                (&published["id"], &published["cursor"])
            );
            assert_eq!(
                (&event["event"], &event["data"]),
                (&json!("edit"), &json!({"n": n}))
            );
            assert_eq!(event["stream"], "doc:42");
        }
        publisher.close().await;
        follower.close().await;
    }
}

#[tokio::test]
async fn a_key_publishes_once() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    let frame = json!({"type": "publish", "stream": "s", "data": 1, "key": "k1"});
    client.send(frame.clone()).await;
    let first = client.expect("published").await;
    client.send(frame).await;
    let second = client.expect("published").await;
    assert_eq!(second["duplicate"], true);
    assert_eq!((&first["id"], first.get("duplicate")), (&second["id"], None));
    client.send(json!({"type": "page", "stream": "s"})).await;
    assert_eq!(client.expect("page").await["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn publishes_of_one_socket_keep_their_order_and_each_is_acknowledged() {
    const COUNT: u64 = 2_000;
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    let mut acknowledged = Vec::new();
    // In bursts below what the kernel takes, so that this client need not read while it writes.
    for burst in 0..COUNT / 100 {
        for n in burst * 100..(burst + 1) * 100 {
            client
                .feed(json!({"type": "publish", "ref": n, "stream": "s", "data": n}))
                .await;
        }
        client.flush().await;
    }
    for _ in 0..COUNT {
        let published = client.expect("published").await;
        acknowledged.push((
            published["ref"].as_u64().unwrap(),
            published["cursor"].as_str().unwrap().to_owned(),
        ));
    }
    acknowledged.sort();
    let mut from = "start".to_owned();
    let mut seen = 0;
    while seen < COUNT {
        client
            .send(json!({"type": "page", "stream": "s", "from": from, "limit": 700}))
            .await;
        let page = client.expect("page").await;
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["data"], seen);
            assert_eq!(event["cursor"], acknowledged[seen as usize].1.as_str());
            seen += 1;
        }
        from = page["cursor"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn pages_are_those_of_http() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    for n in 0..5 {
        client.publish("log:api/v1", json!(n)).await;
    }
    for (parameters, frame) in [
        ("", json!({})),
        ("?last=2", json!({"last": 2})),
        ("?limit=2", json!({"limit": 2})),
        ("?reverse=true&limit=3", json!({"reverse": true, "limit": 3})),
        ("?since=1h", json!({"since": "1h"})),
        ("?until=1h", json!({"until": "1h"})),
    ] {
        let request = format!("GET /v1/streams/log:api%2Fv1{parameters} HTTP/1.1\r\nHost: edge\r\n\r\n");
        let answer = Raw::connect(&edge).await.ask(&request).await;
        let mut expected: Value = serde_json::from_str(&answer.body).unwrap();
        let mut request = json!({"type": "page", "ref": 1, "stream": "log:api/v1"});
        request
            .as_object_mut()
            .unwrap()
            .extend(frame.as_object().unwrap().clone());
        client.send(request).await;
        let page = client.expect("page").await;
        for (key, value) in [("type", "page"), ("stream", "log:api/v1")] {
            expected[key] = json!(value);
        }
        expected["ref"] = json!(1);
        assert_eq!(page, expected, "{parameters}");
    }
}

#[tokio::test]
async fn binary_data_arrive_as_binary() {
    let edge = TestEdge::start().await;
    let mut packed = Client::open_as(&edge, Encoding::MessagePack).await;
    packed.subscribe("s", "now").await;
    packed.expect("caught_up").await;
    let mut json = Client::open(&edge).await;
    json.subscribe("s", "now").await;
    json.expect("caught_up").await;

    let data = rmpv::Value::Map(vec![("pixels".into(), rmpv::Value::Binary(vec![0, 255, 7]))]);
    let frame = rmpv::Value::Map(vec![
        ("type".into(), "publish".into()),
        ("stream".into(), "s".into()),
        ("data".into(), data.clone()),
    ]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &frame).unwrap();
    packed.send_message(Message::binary(Bytes::from(bytes))).await;

    assert_eq!(
        json.expect("event").await["data"],
        json!({"pixels": {"$base64": "AP8H"}})
    );
    loop {
        let message = packed.receive_message().await;
        let frame = rmpv::decode::read_value(&mut &message.as_payload()[..]).unwrap();
        let value = |name: &str| {
            let pair = frame
                .as_map()
                .unwrap()
                .iter()
                .find(|(key, _)| key.as_str() == Some(name));
            pair.map(|(_, value)| value.clone())
        };
        if value("type") == Some("event".into()) {
            assert_eq!(value("data"), Some(data));
            break;
        }
    }
}

#[tokio::test]
async fn a_filter_holds_events_back_and_moves_the_cursor() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    for n in 0..50 {
        let event = if n % 10 == 0 { "wanted" } else { "other" };
        client
            .send(json!({"type": "publish", "stream": "s", "event": event, "data": {"n": n}}))
            .await;
        client.expect("published").await;
    }
    let filtered = json!({"type": "subscribe", "stream": "s", "from": "start", "event": ["wanted", "x"], "match": "\"n\":[1-3]0"});
    client.send(filtered).await;
    client.expect("subscribed").await;
    let mut numbers = Vec::new();
    let caught_up = loop {
        let frame = client.next().await;
        match frame["type"].as_str().unwrap() {
            "event" => numbers.push(frame["data"]["n"].clone()),
            "cursor" => {}
            "caught_up" => break frame,
            _ => panic!("{frame}"),
        }
    };
    assert_eq!(numbers, [10, 20, 30]);
    // Resuming there does not look at anything again.
    client
        .send(json!({"type": "page", "stream": "s", "from": caught_up["cursor"]}))
        .await;
    assert_eq!(client.expect("page").await["events"], json!([]));
}

#[tokio::test]
async fn a_subscription_with_an_end_ends() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    client.publish("s", json!(1)).await;
    let last = client.publish("s", json!(2)).await;
    let time = "2999-01-01T00:00:00Z";
    let forever = json!({"type": "subscribe", "stream": "s", "last": 1, "until": time});
    client.send(forever).await;
    client.expect("subscribed").await;
    assert_eq!(client.expect("event").await["cursor"], last["cursor"]);
    client.expect("caught_up").await;

    client
        .send(json!({"type": "subscribe", "stream": "s", "from": "start", "until": "0s"}))
        .await;
    client.expect("subscribed").await;
    assert_eq!(client.expect("event").await["data"], 1);
    assert_eq!(client.expect("event").await["data"], 2);
    let ended = client.until("ended").await;
    assert_eq!(ended["stream"], "s");
    // It is not followed any more.
    client
        .send(json!({"type": "unsubscribe", "ref": 1, "stream": "s"}))
        .await;
    assert_eq!(client.expect("error").await["error"]["code"], "not_subscribed");
}

#[tokio::test]
async fn nothing_comes_behind_an_unsubscribe() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    client.subscribe("s", "now").await;
    client.expect("caught_up").await;
    client
        .send(json!({"type": "unsubscribe", "ref": 5, "stream": "s"}))
        .await;
    assert_eq!(
        client.expect("unsubscribed").await,
        json!({"type": "unsubscribed", "ref": 5, "stream": "s"})
    );
    client.publish("s", json!(1)).await;
    client.send(json!({"type": "ping", "ref": 6})).await;
    assert_eq!(client.next().await, json!({"type": "pong", "ref": 6}));
}

#[tokio::test]
async fn verdicts_come_before_what_they_are_about() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    client.publish("s", json!(1)).await;
    // A cursor of another history.
    let reset = client.subscribe("s", "99999999999999-0.7").await;
    assert_eq!(reset["verdict"], json!({"kind": "reset"}));
    let told = client.expect("reset").await;
    assert_eq!(told["stream"], "s");
    client.expect("caught_up").await;
}

#[tokio::test]
async fn a_bad_frame_is_answered_and_the_socket_goes_on() {
    for encoding in Encoding::ALL {
        let edge = TestEdge::start().await;
        let mut client = Client::open_as(&edge, encoding).await;
        for (frame, code) in [
            (
                json!({"type": "subscribe", "ref": 7, "stream": "not a name"}),
                "invalid_stream",
            ),
            (
                json!({"type": "publish", "ref": 7, "stream": "s"}),
                "invalid_event",
            ),
            (json!({"type": "shout", "ref": 7}), "invalid_frame"),
            (
                json!({"type": "page", "ref": 7, "stream": "s", "from": "x"}),
                "invalid_parameter",
            ),
        ] {
            client.send(frame).await;
            let error = client.expect("error").await;
            assert_eq!(
                (&error["ref"], &error["error"]["code"]),
                (&json!(7), &json!(code)),
                "{error}"
            );
            assert!(!error["error"]["message"].as_str().unwrap().is_empty());
        }
        client
            .send_message(match encoding {
                Encoding::Json => Message::text("{"),
                Encoding::MessagePack => Message::binary(&b"\xc1"[..]),
            })
            .await;
        client.expect("error").await;
        client.publish("s", json!(1)).await;
    }
}

#[tokio::test]
async fn an_event_above_the_limit_is_refused_and_the_socket_goes_on() {
    let mut config = edge::config::Config::default();
    config.limits.event_bytes_max = 1_000;
    let edge = TestEdge::start_with(config).await;
    let mut client = Client::open(&edge).await;
    let large = json!({"type": "publish", "ref": 1, "stream": "s", "data": "x".repeat(2_000)});
    client.send(large).await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["error"]["code"], &error["stream"]),
        (&json!("too_large"), &json!("s"))
    );
    client.publish("s", json!(1)).await;
}

//! What goes through the log as it is: binary, several arguments, and what others have written.

use serde_json::{Value, json};
use shared::{Event as LogEvent, Payload, Text};

use crate::client::{Client, over};
use crate::engines::{Engine, on_both_engines};

on_both_engines! {
    binary_goes_through_the_log_and_comes_out_as_it_went_in;
    several_arguments_come_out_as_several;
    what_clients_would_choke_on_does_not_cost_them_their_connection;
    events_of_other_transports_arrive;
}

const ROUTES: &str = r#"
[[socketio.routes]]
event = "draw"
action = "publish"
stream = "img:{0}"
"#;

/// An ID and fields, as Redis has them.
type Entry = (String, Vec<(String, Vec<u8>)>);

/// An engine whose edges have the route above.
async fn with_routes(engine: Engine) -> Engine {
    let mut engine = engine;
    engine.config.socketio = edge::config::Config::from_toml(ROUTES).unwrap().socketio;
    engine
}

async fn follower(edge: &crate::support::TestEdge, transport: &str, stream: &str) -> Client {
    let mut client = Client::start_with(&edge.url(""), over(transport)).await;
    client.connected().await;
    client.ask("subscribe", json!([{"stream": stream}])).await;
    client.until_caught_up(stream).await;
    client
}

fn bin(bytes: &[u8]) -> Value {
    json!({"$bin": bytes})
}

async fn binary_goes_through_the_log_and_comes_out_as_it_went_in(engine: Engine) {
    let engine = with_routes(engine).await;
    let edge = engine.edge().await;
    let mut followers = [
        follower(&edge, "websocket", "img:7").await,
        follower(&edge, "polling", "img:7").await,
    ];
    let large: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let all = [
        json!([bin(b"\x00\x01\xff")]),
        json!([{"by": "ann", "tiles": [bin(b"a"), {"deep": bin(b"")}, 1.5]}]),
        json!([bin(&large)]),
        json!([bin(b"x"), "and", {"y": bin(b"z")}]),
    ];
    for transport in ["websocket", "polling"] {
        let mut sender = Client::start_with(&edge.url(""), over(transport)).await;
        sender.connected().await;
        for args in &all {
            let mut sent = vec![json!("7")];
            sent.extend(args.as_array().unwrap().iter().cloned());
            let answer = sender.ask("draw", json!(sent)).await;
            assert!(answer["id"].is_string(), "{answer}");
            for follower in &mut followers {
                let event = follower.event().await;
                let (meta, data) = event.args.split_last().unwrap();
                assert_eq!((event.name.as_str(), &json!(data)), ("draw", args));
                assert_eq!(meta["id"], answer["id"]);
            }
        }
        let answer = sender
            .ask(
                "publish",
                json!([{"stream": "img:7", "data": {"k": bin(b"\xfe")}}]),
            )
            .await;
        assert!(answer["id"].is_string());
        for follower in &mut followers {
            assert_eq!(follower.event().await.data(), &json!({"k": bin(b"\xfe")}));
        }
    }
    let Some(server) = &engine.redis else { return };
    // In the log it is what it is, and not text that stands for it.
    let mut xrange = redis::cmd("XRANGE");
    xrange.arg("weir:{img:7}").arg("-").arg("+");
    let mut connection = server.connection().await;
    let entries: Vec<Entry> = xrange.query_async(&mut connection).await.unwrap();
    let field = |n: usize, name: &str| {
        let fields = entries[n].1.iter().find(|(field, _)| field == name);
        fields.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!(
        (field(0, "f"), field(0, "d")),
        (b"b".to_vec(), b"\x00\x01\xff".to_vec())
    );
    assert_eq!((field(1, "f"), field(1, "a")), (b"m".to_vec(), Vec::new()));
    assert_eq!((field(3, "f"), field(3, "a")), (b"m".to_vec(), b"1".to_vec()));
}

async fn several_arguments_come_out_as_several(engine: Engine) {
    let engine = with_routes(engine).await;
    let edge = engine.edge().await;
    let mut client = follower(&edge, "websocket", "img:7").await;
    for args in [
        json!([]),
        json!([1, "two", [3], null]),
        json!([[1, 2]]),
        json!([[], []]),
    ] {
        let mut sent = vec![json!(7)];
        sent.extend(args.as_array().unwrap().iter().cloned());
        client.ask("draw", json!(sent)).await;
        let event = client.event().await;
        let (_, data) = event.args.split_last().unwrap();
        assert_eq!(&json!(data), &args);
    }
}

async fn what_clients_would_choke_on_does_not_cost_them_their_connection(engine: Engine) {
    let edge = engine.edge().await;
    let mut client = follower(&edge, "websocket", "a").await;
    let named = |name: &str| LogEvent {
        name: Some(Text::from(name)),
        ..LogEvent::new(Payload::Json("7".into()))
    };
    for name in [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "stream:gap",
    ] {
        engine.publish_event("a", named(name)).await;
        let event = client.event().await;
        assert_eq!((event.name.as_str(), event.data()), ("message", &json!(7)));
        assert_eq!(event.meta()["event"], name);
    }
    let packed = |value: &rmpv::Value| {
        let mut raw = Vec::new();
        rmpv::encode::write_value(&mut raw, value).unwrap();
        LogEvent::new(Payload::MessagePack(raw.into()))
    };
    let many = rmpv::Value::Array(vec![rmpv::Value::Binary(vec![1, 2]); 11]);
    engine.publish_event("a", packed(&many)).await;
    let event = client.event().await;
    assert_eq!(event.data(), &json!(vec![json!({"$base64": "AQI="}); 11]));
    let fake = rmpv::Value::Map(vec![
        ("_placeholder".into(), true.into()),
        ("num".into(), 99.into()),
        ("x".into(), rmpv::Value::Binary(vec![1, 2])),
    ]);
    engine.publish_event("a", packed(&fake)).await;
    let event = client.event().await;
    assert_eq!(
        event.data(),
        &json!({"_placeholder": true, "num": 99, "x": {"$base64": "AQI="}})
    );
    // A text that only says so, and one that needs every escape.
    engine
        .publish(
            "a",
            r#"[{"_placeholder":true,"num":99},"\u0000\ud83d\ude00\\\"\u2028"]"#,
        )
        .await;
    let event = client.event().await;
    assert_eq!(
        event.data(),
        &json!([{"_placeholder": true, "num": 99}, "\0😀\\\"\u{2028}"])
    );
    assert_eq!(client.events_so_far().await, []);
}

async fn events_of_other_transports_arrive(engine: Engine) {
    let edge = engine.edge().await;
    let mut client = follower(&edge, "websocket", "a").await;
    let mut stream = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    let body = r#"{"event":"note","data":{"from":"http"}}"#;
    let request = format!(
        "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .unwrap();
    let event = client.event().await;
    assert_eq!(
        (event.name.as_str(), event.data()),
        ("note", &json!({"from": "http"}))
    );
    let Some(server) = &engine.redis else { return };
    let mut connection = server.connection().await;
    let mut xadd = async |fields: &[(&str, &str)]| {
        let mut command = redis::cmd("XADD");
        command.arg("weir:{a}").arg("*");
        fields.iter().for_each(|(name, value)| {
            command.arg(name).arg(value);
        });
        command.query_async::<String>(&mut connection).await.unwrap()
    };
    let id = xadd(&[("e", "job"), ("d", "{\"n\":1}"), ("u", "ann")]).await;
    let event = client.event().await;
    assert_eq!((event.name.as_str(), event.data()), ("job", &json!({"n": 1})));
    assert_eq!(
        (&event.meta()["id"], &event.meta()["user"]),
        (&json!(id), &json!("ann"))
    );
    xadd(&[("temperature", "21.5"), ("unit", "C")]).await;
    let event = client.event().await;
    assert_eq!(
        (event.name.as_str(), event.data()),
        ("message", &json!({"temperature": "21.5", "unit": "C"}))
    );
    // Several arguments, as anybody may write them.
    xadd(&[("e", "pair"), ("d", "[1,{\"x\":2}]"), ("a", "1")]).await;
    let event = client.event().await;
    assert_eq!(event.args[..2], [json!(1), json!({"x": 2})]);
    assert_eq!(event.args.len(), 3);
}

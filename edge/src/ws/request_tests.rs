//! Frames that are understood, and frames that are refused, each with the code and the word that helps.

#![allow(clippy::unwrap_used)]

use broker::{Direction, From};
use serde_json::json;
use shared::limits::{EVENT_NAME_BYTES_MAX, NAME_BYTES_MAX, WS_REF_BYTES_MAX};
use shared::{Cursor, EntryId, Payload};

use proptest::prelude::*;

use super::*;
use crate::ws::fields::{parse_any, parse_plain};

/// A minute after the epoch.
const NOW_MS: u64 = 60_000;

fn decode_json(frame: &serde_json::Value) -> Result<(Option<Ref>, Request), Box<Refusal>> {
    let from_json = decode(Format::Json, frame.to_string().as_bytes(), || NOW_MS);
    let packed = rmp_serde::to_vec_named(frame).unwrap();
    let from_message_pack = decode(Format::MessagePack, &packed, || NOW_MS);
    // Both encodings say the same.
    match (&from_json, &from_message_pack) {
        (Ok(one), Ok(other)) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        (Err(one), Err(other)) => {
            assert_eq!(
                (&one.reference, one.error.code()),
                (&other.reference, other.error.code())
            );
        }
        _ => panic!("{from_json:?} but {from_message_pack:?}"),
    }
    from_json
}

fn targets(frame: &serde_json::Value) -> Vec<(String, From)> {
    match decode_json(frame) {
        Ok((_, Request::Subscribe(subscribe))) => subscribe
            .targets
            .into_iter()
            .map(|(stream, from)| (stream.to_string(), from))
            .collect(),
        other => panic!("{frame}: {other:?}"),
    }
}

#[test]
fn where_a_subscription_begins() {
    let id = EntryId::new(5, 0);
    for (changes, from) in [
        (json!({}), From::Now),
        (json!({"from": "now"}), From::Now),
        (json!({"from": "start"}), From::Start),
        (json!({"from": "5-0.3"}), From::Cursor(Cursor::new(id, 3))),
        (json!({"from": "5-0"}), From::Cursor(Cursor::bare(id))),
        (
            json!({"from": "other~1-0.1,s~5-0.3"}),
            From::Cursor(Cursor::new(id, 3)),
        ),
        (json!({"last": 7}), From::Last(7)),
        (json!({"since": "10s"}), From::Since(EntryId::new(50_000, 0))),
        (
            json!({"since": "1970-01-01T00:00:02Z"}),
            From::Since(EntryId::new(2_000, 0)),
        ),
        (
            json!({"from": null, "until": "1s", "event": "x", "match": "y"}),
            From::Now,
        ),
    ] {
        let mut frame = json!({"type": "subscribe", "stream": "s"});
        frame
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        assert_eq!(targets(&frame), [("s".to_owned(), from)], "{frame}");
    }
}

#[test]
fn several_streams_begin_together_or_each_on_its_own() {
    let both = |from| vec![("a".to_owned(), from), ("b".to_owned(), from)];
    let frame = |streams| json!({"type": "subscribe", "streams": streams});
    assert_eq!(targets(&frame(json!(["a", "b"]))), both(From::Now));
    let mut since = frame(json!(["a", "b"]));
    since["last"] = json!(2);
    assert_eq!(targets(&since), both(From::Last(2)));
    let mut cursor = frame(json!(["a", "b"]));
    cursor["from"] = json!("a~5-0.1,b~6-0.2");
    let own = [
        ("a".to_owned(), From::Cursor(Cursor::new(EntryId::new(5, 0), 1))),
        ("b".to_owned(), From::Cursor(Cursor::new(EntryId::new(6, 0), 2))),
    ];
    assert_eq!(targets(&cursor), own);
    assert_eq!(targets(&frame(json!({"a": "5-0.1", "b": "6-0.2"}))), own);
}

#[test]
fn data_keep_their_kind() {
    let publish = |data: rmpv::Value| {
        let map = [("type", "publish".into()), ("stream", "s".into()), ("data", data)];
        let pairs = map
            .into_iter()
            .map(|(key, value)| (rmpv::Value::from(key), value));
        let mut frame = Vec::new();
        rmpv::encode::write_value(&mut frame, &rmpv::Value::Map(pairs.collect())).unwrap();
        match decode(Format::MessagePack, &frame, || NOW_MS) {
            Ok((None, Request::Publish(_, new))) => new.event.data,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(publish(rmpv::Value::Nil), Payload::Json("null".into()));
    assert_eq!(publish("x".into()), Payload::Json("\"x\"".into()));
    assert_eq!(
        publish(rmpv::Value::Binary(vec![1, 255])),
        Payload::Bytes(vec![1, 255].into())
    );
    let mixed = rmpv::Value::Array(vec![1.into(), rmpv::Value::Binary(vec![7])]);
    assert_eq!(
        publish(mixed),
        Payload::MessagePack(vec![0x92, 1, 0xc4, 1, 7].into())
    );

    // JSON data are kept as they were written.
    let raw = br#"{"type":"publish","stream":"s","data":{"b": 1.50,"a":null}}"#;
    match decode(Format::Json, raw, || NOW_MS) {
        Ok((None, Request::Publish(_, new))) => {
            assert_eq!(new.event.data, Payload::Json(r#"{"b": 1.50,"a":null}"#.into()));
        }
        other => panic!("{other:?}"),
    }
    let null = br#"{"type":"publish","stream":"s","data":null}"#;
    assert!(matches!(
        decode(Format::Json, null, || NOW_MS),
        Ok((None, Request::Publish(..)))
    ));
}

#[test]
fn pages_forward_and_backward() {
    let direction = |frame| match decode_json(&frame) {
        Ok((_, Request::Page(_, request))) => (request.direction, request.limit),
        other => panic!("{other:?}"),
    };
    let page = |changes: serde_json::Value| {
        let mut frame = json!({"type": "page", "stream": "s"});
        frame
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        direction(frame)
    };
    assert_eq!(page(json!({})), (Direction::Forward(From::Start), 100));
    assert_eq!(page(json!({"last": 3})), (Direction::Forward(From::Last(3)), 3));
    let cursor = Cursor::new(EntryId::new(5, 0), 1);
    assert_eq!(
        page(json!({"from": "5-0.1", "limit": 2})),
        (Direction::Forward(From::Cursor(cursor)), 2)
    );
    let backward = Direction::Backward {
        before: Some(cursor),
        since: None,
    };
    assert_eq!(
        page(json!({"from": "5-0.1", "reverse": true, "limit": 2})),
        (backward, 2)
    );
}

#[test]
fn refs_come_back_as_they_are() {
    for reference in [json!(0), json!(-3), json!("x"), json!(u64::MAX), json!("")] {
        let (back, _) = decode_json(&json!({"type": "ping", "ref": reference})).unwrap();
        assert_eq!(serde_json::to_value(back).unwrap(), reference);
        // Also from a frame that is refused, as far as it can be read.
        for refused in [
            json!({"type": "publish", "ref": reference}),
            json!({"type": "nothing", "ref": reference}),
            json!({"type": 7, "ref": reference}),
            json!({"ref": reference, "sream": "x"}),
        ] {
            let refusal = decode_json(&refused).unwrap_err();
            assert_eq!(
                serde_json::to_value(refusal.reference).unwrap(),
                reference,
                "{refused}"
            );
        }
    }
    assert_eq!(decode_json(&json!({"type": "ping"})).unwrap().0, None);
}

/// Code, a word of the message, frame.
const REFUSED: &str = r#"
invalid_frame |  | []
invalid_frame |  | ["ping"]
invalid_frame | type | {}
invalid_frame | known are | {"type": "x"}
invalid_frame | stream | {"type": "ping", "stream": "s"}
invalid_frame |  | {"type": "ping", "ref": 1.5}
invalid_frame | stream | {"type": "subscribe"}
invalid_frame | form | {"type": "subscribe", "stream": "s", "form": "x"}
invalid_frame | limit | {"type": "subscribe", "stream": "s", "limit": 1}
invalid_frame | data | {"type": "subscribe", "stream": "s", "data": null}
invalid_frame | exclude | {"type": "subscribe", "stream": "s", "streams": ["t"]}
invalid_frame | no stream | {"type": "subscribe", "streams": []}
invalid_frame | twice | {"type": "subscribe", "streams": ["a", "a"]}
invalid_stream | character 2 of this one is ' ' | {"type": "subscribe", "stream": "a b"}
invalid_stream | is empty | {"type": "subscribe", "stream": ""}
invalid_parameter | from | {"type": "subscribe", "streams": ["a", "b"], "from": "5-0.1"}
invalid_parameter | cover | {"type": "subscribe", "streams": ["a", "b"], "from": "a~5-0.1"}
invalid_frame | already | {"type": "subscribe", "streams": {"a": "5-0.1"}, "last": 1}
invalid_parameter | from | {"type": "subscribe", "streams": {"a": 5}}
invalid_parameter | from | {"type": "subscribe", "stream": "s", "from": "x"}
invalid_parameter | last | {"type": "subscribe", "stream": "s", "from": "now", "last": 1}
invalid_frame |  | {"type": "subscribe", "stream": "s", "last": -1}
invalid_parameter | since | {"type": "subscribe", "stream": "s", "since": "soon"}
invalid_parameter | match | {"type": "subscribe", "stream": "s", "match": "("}
invalid_frame | event | {"type": "subscribe", "stream": "s", "event": 1}
invalid_frame | names | {"type": "unsubscribe", "streams": {"a": "now"}}
invalid_event | data | {"type": "publish", "stream": "s"}
invalid_frame | stream | {"type": "publish", "data": 1}
invalid_event | event | {"type": "publish", "stream": "s", "data": 1, "event": ["a"]}
invalid_event | name is empty | {"type": "publish", "stream": "s", "data": 1, "event": ""}
invalid_key | key | {"type": "publish", "stream": "s", "data": 1, "key": ""}
invalid_event | traceparent | {"type": "publish", "stream": "s", "data": 1, "traceparent": "00-7-7-00"}
invalid_frame | traceparent | {"type": "page", "stream": "s", "traceparent": "x"}
invalid_frame | filter | {"type": "page", "stream": "s", "match": "x"}
invalid_parameter | limit | {"type": "page", "stream": "s", "limit": 0}
invalid_parameter | 1 to 1000 | {"type": "page", "stream": "s", "limit": 1001}
invalid_parameter | last | {"type": "page", "stream": "s", "last": 2, "reverse": true}
"#;

#[test]
fn what_is_wrong_is_named() {
    for line in REFUSED.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(3, " | ");
        let (code, word) = (parts.next().unwrap(), parts.next().unwrap());
        let frame = serde_json::from_str(parts.next().unwrap()).unwrap();
        let refusal = decode_json(&frame).unwrap_err();
        assert_eq!(refusal.error.code().as_str(), code, "{line}: {}", refusal.error);
        assert!(
            refusal.error.message().contains(word),
            "{line}: {}",
            refusal.error
        );
    }
    for broken in [
        "",
        "{",
        "{\"type\":\"ping\"} x",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "nul",
    ] {
        let refusal = decode(Format::Json, broken.as_bytes(), || NOW_MS).unwrap_err();
        assert!(
            matches!(refusal.error.code(), Code::InvalidJson | Code::InvalidFrame),
            "{broken}"
        );
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let long = |bytes| "x".repeat(bytes + 1);
    for (frame, code) in [
        (
            json!({"type": "ping", "ref": long(WS_REF_BYTES_MAX)}),
            Code::InvalidFrame,
        ),
        (
            json!({"type": "subscribe", "stream": long(NAME_BYTES_MAX)}),
            Code::InvalidStream,
        ),
        (
            json!({"type": "publish", "stream": "s", "data": 1, "event": long(EVENT_NAME_BYTES_MAX)}),
            Code::InvalidEvent,
        ),
    ] {
        assert_eq!(decode_json(&frame).unwrap_err().error.code(), code);
    }
}

#[test]
fn an_error_does_not_echo_a_whole_frame() {
    let key = "y".repeat(100_000);
    let refusal = decode_json(&json!({"type": "ping", key: 1})).unwrap_err();
    assert!(refusal.error.message().len() < 1_000);
}

#[test]
fn nesting_without_end_is_refused() {
    let depth = 200_000;
    let json = [
        b"{\"type\":\"publish\",\"stream\":\"s\",\"event\":".to_vec(),
        vec![b'['; depth],
    ]
    .concat();
    assert!(decode(Format::Json, &json, || NOW_MS).is_err());
    let packed = [b"\x81\xa4data".to_vec(), vec![0x91; depth]].concat();
    assert!(decode(Format::MessagePack, &packed, || NOW_MS).is_err());
}

/// Frames that may be a publish, or nearly.
fn nearly_a_publish() -> impl Strategy<Value = String> {
    let members = [
        r#""type":"publish""#,
        r#""type":"publish""#,
        r#""type":"ping""#,
        r#""type":"subscribe""#,
        r#""ref":7"#,
        r#""ref":-7"#,
        r#""ref":1.5"#,
        r#""ref":18446744073709551616"#,
        r#""ref":"r""#,
        r#""ref":null"#,
        r#""stream":"a""#,
        r#""stream" : "doc:1""#,
        r#""stream":"""#,
        r#""stream":null"#,
        r#""data":{"at":3,"insert":"x"}"#,
        r#""data":[1, "two",
 null]"#,
        r#""data":1e5"#,
        r#""data":null"#,
        r#""event":"edit""#,
        r#""event":["a"]"#,
        r#""key":"k-1""#,
        r#""key":" ""#,
        r#""durability":"replicas:1""#,
        r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01""#,
        r#""traceparent":"x""#,
        r#""from":"start""#,
        r#""other":1"#,
    ];
    proptest::collection::vec(proptest::sample::select(members.to_vec()), 0..6)
        .prop_map(|members| format!("{{{}}}", members.join(", ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// What is taken apart in one look is what the parser makes of it, down to what is refused and why.
    #[test]
    fn a_publish_is_the_same_however_it_is_read(frame in nearly_a_publish()) {
        let told = |parsed: Result<(Fields<'_>, Data), ApiError>| {
            let request = parsed.map(|(mut fields, data)| (fields.reference.take(), fields.into_request(data, || NOW_MS)));
            format!("{request:?}")
        };
        if let Some(plain) = parse_plain(frame.as_bytes()) {
            prop_assert_eq!(told(Ok(plain)), told(parse_any(frame.as_bytes())));
        }
    }
}

#[test]
fn an_ordinary_publish_is_read_in_one_look() {
    let frame = br#"{"type":"publish","ref":1,"stream":"doc:1","event":"edit","data":{"at":3},"key":"k"}"#;
    assert!(parse_plain(frame).is_some());
}

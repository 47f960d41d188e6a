//! What a client makes of the texts: it parses them and puts the binary parts where their placeholders are.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::{EntryId, Text};

use super::*;

fn stored(event: Event) -> Entry {
    let cursor = Cursor::new(EntryId::new(1_767_225_600_000, 3), 42);
    Entry::new("doc:42".parse().unwrap(), cursor, event)
}

fn json_event(data: &str) -> Event {
    Event::new(Payload::Json(Bytes::copy_from_slice(data.as_bytes())))
}

fn message_pack_event(value: &rmpv::Value) -> Event {
    let mut raw = Vec::new();
    rmpv::encode::write_value(&mut raw, value).unwrap();
    Event::new(Payload::MessagePack(Bytes::from(raw)))
}

fn text(entry: &Entry) -> String {
    String::from_utf8(super::entry(entry).text.bytes().to_vec()).unwrap()
}

/// What the official clients do (socket.io-parser 4.2, `reconstructPacket`): binary shows as `{"binary":[…]}`.
fn received(encoded: &Encoded) -> Vec<Value> {
    fn reconstruct(value: &mut Value, attachments: &[Bytes]) {
        if value["_placeholder"] == true {
            let number = value["num"].as_u64().unwrap() as usize;
            *value = json!({"binary": attachments[number].to_vec()});
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| reconstruct(item, attachments)),
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|value| reconstruct(value, attachments)),
            _ => {}
        }
    }
    let closed = [encoded.text.bytes(), b",\"offset\"]"].concat();
    let mut array: Value = serde_json::from_slice(&closed).unwrap();
    assert!(encoded.attachments.len() <= SIO_ATTACHMENTS_MAX);
    if !encoded.attachments.is_empty() {
        reconstruct(&mut array, &encoded.attachments);
    }
    assert!(!RESERVED_EVENTS.contains(&array[0].as_str().unwrap()));
    let mut array = array.as_array().unwrap().clone();
    assert_eq!(array.pop().unwrap(), "offset");
    array
}

#[test]
fn data_then_meta_byte_for_byte() {
    let mut event = json_event(r#"{"title": "Weirs"}"#);
    event.name = Some("edit".into());
    event.user = Some(Text::from("a \"b\""));
    event.trace = Some(Text::from(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ));
    assert_eq!(
        text(&stored(event)),
        concat!(
            r#"["edit",{"title": "Weirs"},{"stream":"doc:42","user":"a \"b\"","#,
            r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","id":"1767225600000-3","#,
            r#""cursor":"1767225600000-3.42","time":"2026-01-01T00:00:00.000Z"}"#
        )
    );
    let event = json_event("1");
    let timeless = Entry::new(
        "a".parse().unwrap(),
        Cursor::new(EntryId::new(u64::MAX, 0), 1),
        event,
    );
    assert!(text(&timeless).starts_with(r#"["message",1,{"stream":"a","id":"18446744073709551615-0","#));
    assert!(text(&timeless).ends_with(r#","time":null}"#));
}

#[test]
fn several_arguments_come_as_several() {
    for (data, arguments) in [
        ("[1,[2],{}]", json!([1, [2], {}])),
        (" [ 1 ] ", json!([1])),
        ("[]", json!([])),
        ("[ ]", json!([])),
    ] {
        let event = Event {
            spread: true,
            ..json_event(data)
        };
        let mut received = received(&entry(&stored(event)));
        assert_eq!(received.pop().unwrap()["stream"], "doc:42");
        assert_eq!(received.remove(0), "message");
        assert_eq!(Value::from(received), arguments, "{data}");
        let one = self::received(&entry(&stored(json_event(data))));
        assert_eq!(one.len(), 3, "without the mark it is one argument");
    }
    // Others may set the mark on anything.
    let event = Event {
        spread: true,
        ..json_event("{\"a\":1}")
    };
    assert_eq!(received(&entry(&stored(event)))[1], json!({"a": 1}));
}

#[test]
fn binary_goes_beside_the_text_and_is_no_copy() {
    let event = Event::new(Payload::Bytes(Bytes::from_static(b"\x00\x01\xff")));
    let kept = stored(event);
    let bytes = entry(&kept);
    assert_eq!(received(&bytes)[1], json!({"binary": [0, 1, 255]}));
    let pack = rmpv::Value::Array(vec![
        rmpv::Value::Binary(vec![1; 300]),
        rmpv::Value::Map(vec![("x".into(), rmpv::Value::Binary(vec![2]))]),
        "text".into(),
    ]);
    let event = Event {
        spread: true,
        ..message_pack_event(&pack)
    };
    let raw = event.data.raw().clone();
    let entry = stored(event);
    let encoded = super::entry(&entry);
    let received = received(&encoded);
    assert_eq!(received[1], json!({"binary": vec![1; 300]}));
    assert_eq!(received[2], json!({"x": {"binary": [2]}}));
    assert_eq!(received[3], "text");
    let whole = raw.as_ptr_range();
    assert!(
        encoded
            .attachments
            .iter()
            .all(|part| whole.contains(&part.as_ptr()))
    );
    let again = super::entry(&entry);
    assert_eq!(again.attachments, encoded.attachments);
    assert_eq!(
        again.text.bytes().as_ptr_range(),
        encoded.text.bytes().as_ptr_range(),
        "made once"
    );
}

#[test]
fn what_clients_choke_on_comes_in_another_form() {
    for name in RESERVED_EVENTS.iter().chain(&Notice::NAMES) {
        let event = Event {
            name: Some(Text::from(*name)),
            ..json_event("7")
        };
        let stored = stored(event);
        let received = received(&entry(&stored));
        assert_eq!(
            (&received[0], &received[1], &received[2]["event"]),
            (&json!("message"), &json!(7), &json!(name))
        );
    }
    // More binary than clients take, and data that look like a placeholder next to binary.
    let many = rmpv::Value::Array(vec![rmpv::Value::Binary(vec![1]); SIO_ATTACHMENTS_MAX + 1]);
    let fake = rmpv::Value::Map(vec![
        ("_placeholder".into(), true.into()),
        ("num".into(), 99.into()),
        ("x".into(), rmpv::Value::Binary(vec![1])),
    ]);
    for value in [many, fake] {
        let stored = stored(message_pack_event(&value));
        let encoded = entry(&stored);
        assert!(encoded.attachments.is_empty());
        assert!(
            std::str::from_utf8(encoded.text.bytes())
                .unwrap()
                .contains("$base64")
        );
        received(&encoded);
    }
    let most = rmpv::Value::Array(vec![rmpv::Value::Binary(vec![1]); SIO_ATTACHMENTS_MAX]);
    let stored = stored(message_pack_event(&most));
    let encoded = entry(&stored);
    assert_eq!(encoded.attachments.len(), SIO_ATTACHMENTS_MAX);
}

#[test]
fn an_ephemeral_event_ends_with_an_object() {
    let event = Event {
        name: Some("typing".into()),
        user: Some("ann".into()),
        ..json_event("[1]")
    };
    let stream = "doc:42".parse().unwrap();
    let packed = pack_ephemeral(&stream, &event);
    let encoded = unpack(&packed, &event);
    let closed = [encoded.text.bytes(), b"]"].concat();
    assert_eq!(
        String::from_utf8(closed).unwrap(),
        r#"["typing",[1],{"stream":"doc:42","user":"ann","ephemeral":true}]"#
    );
}

#[test]
fn notices_byte_for_byte() {
    let told = |what: Notice| {
        let mut out = Vec::new();
        notice(
            what,
            &"a".parse().unwrap(),
            Cursor::new(EntryId::new(7, 0), 3),
            &mut out,
        );
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        told(Notice::Gap(12)),
        r#"["stream:gap",{"stream":"a","lost":12,"cursor":"7-0.3"}"#
    );
    for (what, name) in [
        (Notice::Reset, "reset"),
        (Notice::Unverified, "unverified"),
        (Notice::CaughtUp, "caught_up"),
        (Notice::Passed, "cursor"),
        (Notice::Restored, "restored"),
    ] {
        assert_eq!(
            told(what),
            format!(r#"["stream:{name}",{{"stream":"a","cursor":"7-0.3"}}"#)
        );
    }
    let mut out = Vec::new();
    degraded(&"a".parse().unwrap(), 1_767_225_600_000, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"["stream:degraded",{"stream":"a","since":"2026-01-01T00:00:00.000Z"}"#
    );
}

/// Values as publishers send them, with what a client makes of each.
fn value() -> impl Strategy<Value = (rmpv::Value, Value)> {
    let leaf = prop_oneof![
        Just((rmpv::Value::Nil, Value::Null)),
        any::<i64>().prop_map(|n| (n.into(), n.into())),
        ".{0,6}".prop_map(|text| (text.as_str().into(), text.into())),
        prop::collection::vec(any::<u8>(), 0..4)
            .prop_map(|bytes| (rmpv::Value::Binary(bytes.clone()), json!({"binary": bytes}))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| {
                let (packed, json): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                (rmpv::Value::Array(packed), Value::Array(json))
            }),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(|fields| {
                let packed = fields
                    .iter()
                    .map(|(key, (value, _))| (key.as_str().into(), value.clone()));
                let json = fields
                    .iter()
                    .map(|(key, (_, value))| (key.clone(), value.clone()));
                (rmpv::Value::Map(packed.collect()), Value::Object(json.collect()))
            }),
        ]
    })
}

fn binaries(value: &rmpv::Value) -> usize {
    match value {
        rmpv::Value::Binary(_) => 1,
        rmpv::Value::Array(items) => items.iter().map(binaries).sum(),
        rmpv::Value::Map(pairs) => pairs.iter().map(|(_, value)| binaries(value)).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn a_client_gets_what_was_published((packed, expected) in value(), name in ".{1,8}", spread: bool) {
        prop_assume!(binaries(&packed) <= SIO_ATTACHMENTS_MAX);
        let event = Event {
            name: Some(Text::from(name.as_str())),
            spread,
            ..Event::new(wire::payload_of_value(&packed))
        };
        let mut received = received(&entry(&stored(event)));
        prop_assert_eq!(received.remove(0), name);
        prop_assert_eq!(&received.pop().unwrap()["cursor"], "1767225600000-3.42");
        match (spread, expected) {
            (true, Value::Array(items)) => prop_assert_eq!(received, items),
            (_, expected) => prop_assert_eq!(received, [expected]),
        }
    }
}

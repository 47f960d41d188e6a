//! Entries and data as MessagePack.

use bytes::Bytes;
use proptest::prelude::*;
use rmpv::Value;
use serde_json::{Value as Json, json};
use shared::limits::DATA_DEPTH_MAX;
use shared::{Payload, Text, wire};

use crate::strategies::{bytes, encoded, entry, hostile, json, message_pack};

fn json_of(payload: &Payload) -> Json {
    serde_json::from_slice(&wire::json_of_payload(payload)).unwrap()
}

fn decoded(payload: &Payload) -> Value {
    wire::decode_value(&wire::message_pack_of_payload(payload)).unwrap()
}

/// The value as it comes back through JSON, which has one kind of float. A key given twice stays so.
fn normal(value: &Value) -> Value {
    match value {
        Value::F32(number) => Value::F64(f64::from(*number)),
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (normal(key), normal(value)));
            Value::Map(pairs.collect())
        }
        value => value.clone(),
    }
}

#[test]
fn values_are_stored_in_the_plainest_format_that_holds_them() {
    let map = |value: Value| Value::Map(vec![(Value::from("a"), value)]);
    let stored = |value: &Value| wire::payload_of_value(value);
    assert_eq!(
        stored(&map(Value::from(1))),
        Payload::Json(Bytes::from_static(b"{\"a\":1}"))
    );
    assert_eq!(
        stored(&Value::Binary(vec![1, 2])),
        Payload::Bytes(Bytes::from_static(&[1, 2]))
    );
    for value in [
        map(Value::Binary(vec![1])),
        Value::Ext(-1, vec![0; 4]),
        Value::F64(f64::NAN),
    ] {
        assert_eq!(stored(&value), Payload::MessagePack(Bytes::from(encoded(&value))));
    }
}

#[test]
fn what_json_cannot_say_is_told_as_documented() {
    let value = Value::Map(vec![
        (Value::from("bin"), Value::Binary(vec![255])),
        (Value::from("ext"), Value::Ext(5, vec![255])),
        (Value::from("nan"), Value::F64(f64::NAN)),
        (Value::from(7), Value::Nil),
        (Value::Nil, Value::Nil),
        (Value::Binary(vec![255]), Value::Nil),
    ]);
    let expected = json!({
        "bin": {"$base64": "/w=="}, "ext": {"$ext": [5, "/w=="]}, "nan": null, "7": null, "null": null, "xAH/": null,
    });
    assert_eq!(json_of(&wire::payload_of_value(&value)), expected);
}

#[test]
fn maps_as_keys_of_maps_do_not_grow_without_end() {
    let deep = |depth: usize| {
        let mut raw = vec![0x81; depth];
        raw.extend(vec![0; depth + 1]);
        raw
    };
    let raw = deep(DATA_DEPTH_MAX);
    assert!(wire::json_of_payload(&Payload::MessagePack(Bytes::from(raw.clone()))).len() < 2 * raw.len());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize, leaf: &[u8]| [vec![0x91; depth], leaf.to_vec()].concat();
    for leaf in [
        &b"\xc0"[..],
        b"\xa1a",
        b"\xc4\x01a",
        b"\xd4\x05a",
        b"\x90",
        b"\x80",
    ] {
        let own = usize::from(matches!(leaf[0], 0x80 | 0x90));
        let deepest = nested(DATA_DEPTH_MAX - own, leaf);
        let value = wire::decode_value(&deepest).unwrap();
        let payload = wire::payload_of_value(&value);
        assert_eq!(decoded(&payload), value);
        json_of(&payload);
        assert!(!wire::valid_message_pack(&nested(DATA_DEPTH_MAX - own + 1, leaf)));
    }
    for hostile in [vec![0x91; 1_000_000], vec![0x81; 1_000_000]] {
        assert!(wire::decode_value(&hostile).is_none());
    }
}

#[test]
fn lengths_that_promise_too_much_are_refused() {
    for head in [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff",
    ] {
        assert!(wire::decode_value(&[&head[..], b"\x01\x02"].concat()).is_none());
    }
    assert!(!wire::valid_message_pack(b""));
    assert!(!wire::valid_message_pack(b"\xc1"));
    assert!(!wire::valid_message_pack(b"\x01\x01"));
}

#[test]
fn containers_of_any_length_are_packed() {
    for count in [0, 15, 16, 65_535, 65_536] {
        let array: Json = (0..count).collect::<Vec<usize>>().into();
        let map: Json = (0..count).map(|n| (n.to_string(), Json::from(n))).collect();
        for value in [array, map] {
            let nested = json!([value, {"a": value}]);
            let payload = wire::payload_of_json(Bytes::from(nested.to_string())).unwrap();
            let packed = wire::message_pack_of_payload(&payload);
            assert_eq!(packed, rmp_serde::to_vec(&nested).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn an_entry_has_the_keys_of_its_json(entry in entry()) {
        let packed = wire::entry_message_pack(&entry);
        let Some(Value::Map(pairs)) = wire::decode_value(&packed) else {
            return Err(TestCaseError::fail("not one map"));
        };
        let get = |key: &str| pairs.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value);
        let text = |key: &str| get(key).and_then(Value::as_str);
        let json: Json = serde_json::from_slice(&wire::entry_json(&entry)).unwrap();
        let keys = pairs.iter().map(|(key, _)| key.as_str().unwrap());
        prop_assert!(json.as_object().unwrap().keys().eq(keys));
        for key in ["id", "stream", "event", "time", "user", "traceparent", "cursor"] {
            prop_assert_eq!(text(key), json.get(key).and_then(Json::as_str), "{}", key);
        }
        prop_assert_eq!(text("user"), entry.event.user.as_ref().map(Text::as_str));
        let data = decoded(&entry.event.data);
        // Compared in bytes: NaN equals nothing.
        prop_assert_eq!(get("data").map(encoded), Some(encoded(&data)));
    }

    #[test]
    fn values_come_back(value in message_pack()) {
        let payload = wire::payload_of_value(&value);
        let expected = match payload {
            Payload::Json(_) => normal(&value),
            Payload::MessagePack(_) | Payload::Bytes(_) => value,
        };
        prop_assert_eq!(encoded(&decoded(&payload)), encoded(&expected));
        json_of(&payload);
    }

    #[test]
    fn json_is_packed_as_its_value_is(value in json()) {
        let payload = wire::payload_of_json(Bytes::from(value.to_string())).unwrap();
        let expected = rmp_serde::to_vec(&value).unwrap();
        prop_assert_eq!(&wire::message_pack_of_payload(&payload)[..], &expected[..]);
    }

    #[test]
    fn json_comes_back(value in json()) {
        let payload = wire::payload_of_json(Bytes::from(value.to_string())).unwrap();
        prop_assert_eq!(json_of(&wire::payload_of_value(&decoded(&payload))), value);
    }

    #[test]
    fn what_counts_as_valid_is_what_decodes(raw in prop_oneof![bytes(24), hostile()]) {
        let value = wire::decode_value(&raw);
        prop_assert_eq!(wire::valid_message_pack(&raw), value.is_some());
        let mut rest = &raw[..];
        let oracle = rmpv::decode::read_value(&mut rest).ok().filter(|_| rest.is_empty());
        // The oracle takes the one byte that the specification never uses for nil.
        if !raw.contains(&0xc1) {
            prop_assert_eq!(value.map(|value| encoded(&value)), oracle.map(|value| encoded(&value)));
        }
    }

    #[test]
    fn hostile_message_pack_is_still_told_as_json(raw in prop_oneof![bytes(24), hostile()]) {
        for payload in [Payload::MessagePack(raw.clone()), Payload::Bytes(raw.clone())] {
            let json = wire::json_of_payload(&payload);
            prop_assert!(!json.contains(&b'\n') && !json.contains(&b'\r'));
            json_of(&payload);
        }
    }
}

//! Events as the fields of a stream entry.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use shared::limits::DATA_DEPTH_MAX;
use shared::{DEFAULT_EVENT, Event, Payload, fields, wire};

use crate::strategies::{any_fields, event};

fn stored(event: &Event) -> Vec<(Bytes, Bytes)> {
    let mut stored = Vec::new();
    fields::encode(event, |name, value| {
        stored.push((Bytes::from_static(name.as_bytes()), value.clone()));
    });
    stored
}

fn decoded(pairs: &[(&'static [u8], &'static [u8])]) -> Event {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (Bytes::from_static(name), Bytes::from_static(value)))
        .collect();
    fields::decode(&pairs)
}

fn data(pairs: &[(&'static [u8], &'static [u8])]) -> Payload {
    decoded(pairs).data
}

fn json_of(payload: &Payload) -> Json {
    serde_json::from_slice(&wire::json_of_payload(payload)).unwrap()
}

#[test]
fn an_entry_of_others_becomes_an_object_of_its_fields() {
    let event = decoded(&[
        (b"level", b"info"),
        (b"tag", b"a"),
        (b"raw", b"\xff"),
        (b"tag", b"b"),
    ]);
    assert_eq!(event.name(), DEFAULT_EVENT);
    let expected = json!({"level": "info", "tag": ["a", "b"], "raw": {"$base64": "/w=="}});
    assert_eq!(json_of(&event.data), expected);
    assert_eq!(json_of(&data(&[])), json!({}));
    // Names that are no text look alike: one key, both values.
    assert_eq!(
        json_of(&data(&[(b"\xfe", b"1"), (b"\xff", b"2")])),
        json!({"\u{fffd}": ["1", "2"]})
    );
    // What only looks like ours is theirs as long as it has no data.
    assert_eq!(
        json_of(&data(&[(b"e", b"name"), (b"u", b"me")])),
        json!({"e": "name", "u": "me"})
    );
}

#[test]
fn an_entry_of_many_fields_is_decoded_in_linear_time() {
    // A search per field would take minutes here.
    let pairs: Vec<_> = (0..200_000)
        .map(|n| (Bytes::from(format!("field{n}")), Bytes::from_static(b"v")))
        .collect();
    let event = fields::decode(&pairs);
    assert_eq!(json_of(&event.data).as_object().unwrap().len(), pairs.len());
}

#[test]
fn data_that_is_not_what_it_says_becomes_the_nearest_honest_value() {
    let text = |text: &str| Payload::Json(wire::json_string(text));
    assert_eq!(
        data(&[(b"d", b"{\"a\":\r\n1}")]),
        Payload::Json(Bytes::from_static(b"{\"a\":  1}"))
    );
    assert_eq!(data(&[(b"d", b"plain \"text\"\n")]), text("plain \"text\"\n"));
    assert_eq!(data(&[(b"d", b"1 2")]), text("1 2"));
    assert_eq!(data(&[(b"d", b"")]), text(""));
    // No parser reads it as a number.
    assert_eq!(data(&[(b"d", b"1e999")]), text("1e999"));
    assert_eq!(
        data(&[(b"d", b"\"cut \\ud83d\"")]),
        Payload::Json(Bytes::from_static(b"\"cut \\ufffd\""))
    );
    assert_eq!(
        data(&[(b"d", b"\xff")]),
        Payload::Bytes(Bytes::from_static(b"\xff"))
    );
    assert_eq!(
        data(&[(b"f", b"b"), (b"d", b"1")]),
        Payload::Bytes(Bytes::from_static(b"1"))
    );
    assert_eq!(
        data(&[(b"f", b"m"), (b"d", b"\x01")]),
        Payload::MessagePack(Bytes::from_static(b"\x01"))
    );
    assert_eq!(
        data(&[(b"f", b"m"), (b"d", b"\x92\x01")]),
        Payload::Bytes(Bytes::from_static(b"\x92\x01"))
    );
    assert_eq!(
        data(&[(b"f", b"?"), (b"d", b"1")]),
        Payload::Json(Bytes::from_static(b"1"))
    );
}

#[test]
fn data_nested_without_end_becomes_text() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    let decoded =
        |text: &str| fields::decode(&[(Bytes::from_static(b"d"), Bytes::from(text.to_owned()))]).data;
    let deepest = nested(DATA_DEPTH_MAX);
    assert_eq!(decoded(&deepest), Payload::Json(Bytes::from(deepest.clone())));
    for depth in [DATA_DEPTH_MAX + 1, 100_000] {
        assert_eq!(json_of(&decoded(&nested(depth))), Json::from(nested(depth)));
    }
}

#[test]
fn of_a_field_given_twice_the_last_counts() {
    let event = decoded(&[
        (b"d", b"1"),
        (b"e", b"a"),
        (b"d", b"2"),
        (b"e", b"b"),
        (b"u", b"x"),
        (b"u", b""),
    ]);
    assert_eq!(event.data, Payload::Json(Bytes::from_static(b"2")));
    assert_eq!(event.name(), "b");
    assert_eq!(event.user, None);
}

#[test]
fn only_an_array_is_spread() {
    let spread = |pairs: &[(&'static [u8], &'static [u8])]| decoded(pairs).spread;
    assert!(spread(&[(b"a", b"1"), (b"d", b" [1,2]")]));
    assert!(spread(&[(b"d", b"[]"), (b"a", b"1")]));
    assert!(spread(&[(b"a", b"1"), (b"f", b"m"), (b"d", b"\x92\x01\x02")]));
    assert!(spread(&[(b"a", b"1"), (b"f", b"m"), (b"d", b"\xdc\x00\x01\xc0")]));
    assert!(!spread(&[(b"d", b"[1,2]")]));
    assert!(!spread(&[(b"a", b"0"), (b"d", b"[1,2]")]));
    assert!(!spread(&[(b"a", b"1"), (b"d", b"{\"a\":[]}")]));
    assert!(!spread(&[(b"a", b"1"), (b"d", b"[1,2")]), "a text");
    assert!(!spread(&[(b"a", b"1"), (b"f", b"b"), (b"d", b"[1]")]));
    assert!(!spread(&[(b"a", b"1"), (b"f", b"m"), (b"d", b"\x92\x01")]), "cut");
    assert!(!spread(&[(b"a", b"1")]), "an entry of others");
    // What says so without being one is stored without saying so.
    let claimed = Event {
        spread: true,
        ..Event::new(Payload::Json(Bytes::from_static(b"1")))
    };
    assert!(stored(&claimed).iter().all(|(name, _)| name != "a"));
}

#[test]
fn the_default_takes_no_field() {
    let event = Event::new(Payload::Json(Bytes::from_static(b"1")));
    assert_eq!(
        stored(&event),
        [(Bytes::from_static(b"d"), Bytes::from_static(b"1"))]
    );
}

proptest! {
    #[test]
    fn events_are_read_back(event in event()) {
        prop_assert_eq!(fields::decode(&stored(&event)), event);
    }

    #[test]
    fn any_entry_becomes_an_event_that_is_stored_and_read_back(pairs in any_fields()) {
        let event = fields::decode(&pairs);
        let json = json_of(&event.data);
        prop_assert!(json.is_object() || pairs.iter().any(|(name, _)| name == "d"));
        prop_assert_eq!(fields::decode(&stored(&event)), event);
    }
}

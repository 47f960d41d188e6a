//! What the properties are tried on: names, IDs, values, events and hostile bytes.

use bytes::Bytes;
use proptest::collection::{hash_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;
use shared::trace::TraceParent;
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName, Text, wire};

pub(crate) const NAME: &str = "[a-zA-Z0-9._:/-]{1,200}";

pub(crate) fn name() -> impl Strategy<Value = StreamName> {
    NAME.prop_map(|text| text.parse().unwrap())
}

/// Small and absurd numbers as well as the times that occur.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..5u64,
        1_600_000_000_000..1_900_000_000_000u64,
        u64::MAX - 3..=u64::MAX,
        any::<u64>()
    ]
}

pub(crate) fn id() -> impl Strategy<Value = EntryId> {
    (number(), number()).prop_map(|(ms, seq)| EntryId::new(ms, seq))
}

pub(crate) fn cursor() -> impl Strategy<Value = Cursor> {
    (id(), option::of(number())).prop_map(|(id, ordinal)| match ordinal {
        Some(ordinal) => Cursor::new(id, ordinal),
        None => Cursor::bare(id),
    })
}

pub(crate) fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

/// Texts with quotes, line breaks, separators that JavaScript knows, and anything else.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\"\\\\\r\n\t\u{0}\u{2028}\u{2029}a\u{1f980}]{0,12}",
        "[a-z]{0,8}"
    ]
}

/// Any JSON value, nested a few levels.
pub(crate) fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::from),
            hash_map(text(), inner, 0..6).prop_map(|pairs| pairs.into_iter().collect::<Json>()),
        ]
    })
}

/// Any MessagePack value that a decoder gives, nested a few levels.
pub(crate) fn message_pack() -> impl Strategy<Value = rmpv::Value> {
    use rmpv::Value;
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        text().prop_map(Value::from),
        vec(any::<u8>(), 0..20).prop_map(Value::Binary),
        (any::<i8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| Value::Ext(kind, data)),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            vec((text().prop_map(Value::from), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

pub(crate) fn encoded(value: &rmpv::Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

/// Any payload that a publisher can hand in.
pub(crate) fn payload() -> impl Strategy<Value = Payload> {
    let compact = json().prop_map(|value| serde_json::to_vec(&value).unwrap());
    let spread = json().prop_map(|value| serde_json::to_vec_pretty(&value).unwrap());
    prop_oneof![
        prop_oneof![compact, spread].prop_map(|raw| wire::payload_of_json(Bytes::from(raw)).unwrap()),
        message_pack().prop_map(|value| wire::payload_of_value(&value)),
        bytes(40).prop_map(Payload::Bytes),
    ]
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let part = || option::of(text().prop_filter_map("an empty part is none", non_empty));
    // Foreign publishers may store anything as the trace.
    let trace = prop_oneof![
        part(),
        (1..=u128::MAX, 1..=u64::MAX)
            .prop_map(|(trace, parent)| Some(TraceParent::new(trace, parent).to_text())),
    ];
    let parts = (part(), payload(), any::<bool>(), part(), part(), trace);
    parts.prop_map(|(name, data, spread, user, session, trace)| Event {
        name,
        spread: spread && data.is_array(),
        data,
        user,
        session,
        trace,
    })
}

fn non_empty(text: String) -> Option<Text> {
    (!text.is_empty()).then(|| Text::from(text))
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (name(), cursor(), event()).prop_map(|(name, cursor, event)| Entry::new(name, cursor, event))
}

/// The fields of an entry that anybody wrote: ours, theirs, twice, not even text.
pub(crate) fn any_fields() -> impl Strategy<Value = Vec<(Bytes, Bytes)>> {
    let ours =
        select(vec!["d", "f", "e", "a", "u", "s", "t"]).prop_map(|name| Bytes::from_static(name.as_bytes()));
    let names = prop_oneof![ours, bytes(4), text().prop_map(Bytes::from)];
    vec((names, hostile()), 0..8)
}

/// Bytes that nearly are something: formats, JSON, cut JSON, MessagePack, cut MessagePack, noise.
pub(crate) fn hostile() -> impl Strategy<Value = Bytes> {
    let cut = |(mut raw, at): (Vec<u8>, usize)| {
        raw.truncate(at);
        Bytes::from(raw)
    };
    let packed = || message_pack().prop_map(|value| encoded(&value));
    let printed = || json().prop_map(|value| value.to_string().into_bytes());
    prop_oneof![
        select(vec!["j", "m", "b", "", "1e999", "\"\\ud800\"", "[1,\r\n2]"]).prop_map(Bytes::from),
        printed().prop_map(Bytes::from),
        (printed(), 0..20usize).prop_map(cut),
        packed().prop_map(Bytes::from),
        (packed(), 0..20usize).prop_map(cut),
        bytes(24),
        text().prop_map(Bytes::from),
    ]
}

//! An event as the fields of a Redis stream entry, and back.
//!
//! | field | holds |
//! |---|---|
//! | `d` | the data |
//! | `f` | its format: `j` JSON (the default), `m` MessagePack, `b` bytes |
//! | `a` | `1` if the data is an array of several arguments ([`Event::spread`]), absent otherwise |
//! | `e` | the event name, absent for [`crate::DEFAULT_EVENT`] |
//! | `u`, `s`, `t` | user, origin session, `traceparent`; each optional |
//!
//! Anybody may `XADD` to a stream. So decoding accepts everything: an entry without `d` becomes a JSON object of its
//! fields, data that is not what its format says becomes the nearest honest value.

use bytes::Bytes;

use crate::wire::{checked_json, json_object_of_fields, json_string, valid_message_pack};
use crate::{Event, Payload, Text};

/// Calls `field(name, value)` for each field of `event`, in the order in which they are stored.
pub fn encode(event: &Event, mut field: impl FnMut(&'static str, &Bytes)) {
    let optional = [
        ("e", &event.name),
        ("u", &event.user),
        ("s", &event.session),
        ("t", &event.trace),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            field(name, value.as_bytes());
        }
    }
    if event.is_spread() {
        field("a", &Bytes::from_static(b"1"));
    }
    match &event.data {
        Payload::Json(raw) => field("d", raw),
        Payload::MessagePack(raw) => {
            field("f", &Bytes::from_static(b"m"));
            field("d", raw);
        }
        Payload::Bytes(raw) => {
            field("f", &Bytes::from_static(b"b"));
            field("d", raw);
        }
    }
}

/// The name or value of a field, as it comes out of a reply.
pub trait FieldBytes: AsRef<[u8]> {
    /// The bytes, to be kept: shared where they can be, else copied.
    fn to_kept(&self) -> Bytes;
}

impl FieldBytes for Bytes {
    fn to_kept(&self) -> Bytes {
        self.clone()
    }
}

impl FieldBytes for &[u8] {
    fn to_kept(&self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

/// Makes an event of an entry's fields, whoever wrote them. Of a field given twice the last one counts.
pub fn decode<B: FieldBytes>(fields: &[(B, B)]) -> Event {
    let last = |name: &[u8]| {
        fields
            .iter()
            .rev()
            .find(|(f, _)| f.as_ref() == name)
            .map(|(_, value)| value)
    };
    let Some(data) = last(b"d") else {
        return Event::new(Payload::Json(json_object_of_fields(fields)));
    };
    let data = data.to_kept();
    let data = match last(b"f").map(B::as_ref) {
        Some(b"m") if valid_message_pack(&data) => Payload::MessagePack(data),
        Some(b"m" | b"b") => Payload::Bytes(data),
        _ => json_payload(data),
    };
    let text = |name: &[u8]| {
        last(name)
            .filter(|value| !value.as_ref().is_empty())
            .map(|value| Text::from_bytes_lossy(value.to_kept()))
    };
    Event {
        name: text(b"e"),
        spread: last(b"a").is_some_and(|value| value.as_ref() == b"1") && data.is_array(),
        data,
        user: text(b"u"),
        session: text(b"s"),
        trace: text(b"t"),
    }
}

/// JSON stays JSON; other text becomes a JSON string; what is not even text stays bytes.
fn json_payload(data: Bytes) -> Payload {
    if let Ok(json) = checked_json(data.clone()) {
        return Payload::Json(json);
    }
    match std::str::from_utf8(&data) {
        Ok(text) => Payload::Json(json_string(text)),
        Err(_) => Payload::Bytes(data),
    }
}

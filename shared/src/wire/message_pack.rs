//! The MessagePack form of data and of entries, and the way to and from JSON. What counts as MessagePack data is
//! decided in [`super::message_pack_check`].

use bytes::Bytes;
use rmpv::{Value, ValueRef};

use super::json::{push_base64, push_base64_text, push_json_string};
use super::message_pack_check::valid_message_pack;
use super::transcode::push_json_as_message_pack;
use crate::limits::DATA_DEPTH_MAX;
use crate::{Entry, Payload, time};

/// What the decoder takes off its depth for one container, and for a string inside it.
const DECODER_STEPS: usize = 2;

/// How deep the decoder goes into data that is nested as deep as it may be.
const DECODER_DEPTH: usize = DECODER_STEPS * (DATA_DEPTH_MAX + DECODER_STEPS);

/// Reads exactly one MessagePack value, nested at most [`DATA_DEPTH_MAX`] deep.
pub fn decode_value(raw: &[u8]) -> Option<Value> {
    if !valid_message_pack(raw) {
        return None;
    }
    rmpv::decode::read_value_with_max_depth(&mut &*raw, DECODER_DEPTH).ok()
}

/// As [`decode_value`], but the value borrows its texts and its binary from `raw`.
pub fn decode_value_ref(raw: &[u8]) -> Option<ValueRef<'_>> {
    if !valid_message_pack(raw) {
        return None;
    }
    rmpv::decode::read_value_ref_with_max_depth(&mut &*raw, DECODER_DEPTH).ok()
}

/// The payload for a value that a publisher handed in as MessagePack: bare binary is stored as bytes, data that
/// holds anything else that JSON has no way to say as MessagePack, everything else as JSON.
pub fn payload_of_value(value: &Value) -> Payload {
    match value {
        Value::Binary(bytes) => Payload::Bytes(Bytes::copy_from_slice(bytes)),
        value if needs_message_pack(value) => Payload::MessagePack(Bytes::from(encoded(value))),
        value => {
            let mut out = Vec::new();
            push_json(&mut out, &value.as_ref(), &mut push_base64);
            Payload::Json(Bytes::from(out))
        }
    }
}

/// Whether JSON has no way to say the value as it is.
fn needs_message_pack(value: &Value) -> bool {
    match value {
        Value::Binary(_) | Value::Ext(..) => true,
        Value::F32(number) => !number.is_finite(),
        Value::F64(number) => !number.is_finite(),
        Value::String(text) => text.as_str().is_none(),
        Value::Array(items) => items.iter().any(needs_message_pack),
        Value::Map(pairs) => pairs.iter().any(|(key, value)| {
            !matches!(key, Value::String(text) if text.as_str().is_some()) || needs_message_pack(value)
        }),
        Value::Nil | Value::Boolean(_) | Value::Integer(_) => false,
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into a vector has no way to fail.
    let _ = rmpv::encode::write_value(&mut out, value);
    out
}

/// Appends stored MessagePack as JSON; what is no valid MessagePack, as `{"$base64":"…"}`.
pub(super) fn push_json_of_message_pack(out: &mut Vec<u8>, raw: &[u8]) {
    match decode_value_ref(raw) {
        Some(value) => push_json(out, &value, &mut push_base64),
        None => push_base64(out, raw),
    }
}

/// Appends a MessagePack value as JSON: binary as `push_binary` writes it, an extension as
/// `{"$ext":[type,"base64"]}`, a number that is not finite as `null`. See [`push_key`] for keys.
pub fn push_json<'a>(
    out: &mut Vec<u8>,
    value: &ValueRef<'a>,
    push_binary: &mut dyn FnMut(&mut Vec<u8>, &'a [u8]),
) {
    match value {
        ValueRef::Nil => out.extend_from_slice(b"null"),
        ValueRef::Boolean(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        ValueRef::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        ValueRef::F32(number) => push_float(out, f64::from(*number)),
        ValueRef::F64(number) => push_float(out, *number),
        ValueRef::String(text) => push_json_string(out, &String::from_utf8_lossy(text.as_bytes())),
        ValueRef::Binary(bytes) => push_binary(out, bytes),
        ValueRef::Ext(kind, bytes) => {
            out.extend_from_slice(format!("{{\"$ext\":[{kind},\"").as_bytes());
            push_base64_text(out, bytes);
            out.extend_from_slice(b"\"]}");
        }
        ValueRef::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json(out, item, push_binary);
            }
            out.push(b']');
        }
        ValueRef::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_key(out, key);
                out.push(b':');
                push_json(out, value, push_binary);
            }
            out.push(b'}');
        }
    }
}

/// Appends a map key as a JSON string: text as it is, `nil`, booleans and numbers as their JSON, anything else as the
/// Base64 of its MessagePack.
fn push_key(out: &mut Vec<u8>, key: &ValueRef<'_>) {
    match key {
        ValueRef::String(text) => push_json_string(out, &String::from_utf8_lossy(text.as_bytes())),
        ValueRef::Nil | ValueRef::Boolean(_) | ValueRef::Integer(_) | ValueRef::F32(_) | ValueRef::F64(_) => {
            out.push(b'"');
            push_json(out, key, &mut push_base64);
            out.push(b'"');
        }
        // Not as the text of its JSON: keys within keys would double their quotes' escapes at every level.
        ValueRef::Binary(_) | ValueRef::Array(_) | ValueRef::Map(_) | ValueRef::Ext(..) => {
            let mut encoded = Vec::new();
            push_ref(&mut encoded, key);
            out.push(b'"');
            push_base64_text(out, &encoded);
            out.push(b'"');
        }
    }
}

fn push_float(out: &mut Vec<u8>, number: f64) {
    // serde_json writes `null` for what is not finite.
    let _ = serde_json::to_writer(out, &number);
}

/// The data as one MessagePack value.
pub fn message_pack_of_payload(payload: &Payload) -> Bytes {
    if let Payload::MessagePack(raw) = payload {
        return raw.clone();
    }
    let mut out = Vec::with_capacity(payload.raw().len() + 8);
    push_payload(&mut out, payload);
    Bytes::from(out)
}

fn push_payload(out: &mut Vec<u8>, payload: &Payload) {
    match payload {
        Payload::MessagePack(raw) => out.extend_from_slice(raw),
        Payload::Bytes(raw) => push_ref(out, &ValueRef::Binary(raw)),
        Payload::Json(raw) => {
            let start = out.len();
            if push_json_as_message_pack(out, raw).is_err() {
                // A JSON payload is valid; if it were not, its text is still told.
                out.truncate(start);
                push_str(out, &String::from_utf8_lossy(raw));
            }
        }
    }
}

/// Appends a MessagePack string.
fn push_str(out: &mut Vec<u8>, text: &str) {
    push_ref(out, &ValueRef::from(text));
}

/// Appends a MessagePack value that borrows what it holds.
pub(super) fn push_ref(out: &mut Vec<u8>, value: &ValueRef<'_>) {
    // Writing into a vector has no way to fail.
    let _ = rmpv::encode::write_value_ref(out, value);
}

/// The entry as one MessagePack map with its own cursor; same keys and order as the JSON form.
pub fn entry_message_pack(entry: &Entry) -> Bytes {
    let mut out = Vec::with_capacity(entry.encoded_bytes());
    let trace = entry.event.traceparent();
    let pairs = 6 + u8::from(entry.event.user.is_some()) + u8::from(trace.is_some());
    out.push(0x80 | pairs);
    push_str(&mut out, "id");
    push_str(&mut out, &entry.cursor.id.to_string());
    push_str(&mut out, "stream");
    push_str(&mut out, entry.stream.as_str());
    push_str(&mut out, "event");
    push_str(&mut out, entry.event.name());
    push_str(&mut out, "data");
    push_payload(&mut out, &entry.event.data);
    push_str(&mut out, "time");
    let mut time = Vec::new();
    if time::push_rfc3339(&mut time, entry.cursor.id.ms) {
        push_str(&mut out, &String::from_utf8_lossy(&time));
    } else {
        push_ref(&mut out, &ValueRef::Nil);
    }
    if let Some(user) = &entry.event.user {
        push_str(&mut out, "user");
        push_str(&mut out, user.as_str());
    }
    if let Some(trace) = trace {
        push_str(&mut out, "traceparent");
        push_str(&mut out, &trace.to_string());
    }
    push_str(&mut out, "cursor");
    push_str(&mut out, &entry.cursor.to_string());
    Bytes::from(out)
}

//! MessagePack: validation, conversion from and to JSON, and the MessagePack form of an entry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use rmpv::Value;

use super::json::{push_base64, push_json_string};
use crate::limits::DATA_DEPTH_MAX;
use crate::{Entry, Payload, time};

/// Reads exactly one MessagePack value, nested at most [`DATA_DEPTH_MAX`] deep.
pub fn decode_value(raw: &[u8]) -> Option<Value> {
    let mut rest = raw;
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, DATA_DEPTH_MAX).ok()?;
    rest.is_empty().then_some(value)
}

/// Whether `raw` is exactly one MessagePack value.
pub fn valid_message_pack(raw: &[u8]) -> bool {
    decode_value(raw).is_some()
}

/// The payload for a value that a publisher handed in as MessagePack: bare binary is stored as bytes, data that
/// holds binary anywhere as MessagePack, everything else as JSON.
pub fn payload_of_value(value: &Value) -> Payload {
    match value {
        Value::Binary(bytes) => Payload::Bytes(Bytes::copy_from_slice(bytes)),
        value if needs_message_pack(value) => Payload::MessagePack(Bytes::from(encoded(value))),
        value => {
            let mut out = Vec::new();
            push_json(&mut out, value);
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
    push_value(&mut out, value);
    out
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    // Writing into a vector has no way to fail.
    let _ = rmpv::encode::write_value(out, value);
}

/// Appends stored MessagePack as JSON; what is no valid MessagePack, as `{"$base64":"…"}`.
pub(super) fn push_json_of_message_pack(out: &mut Vec<u8>, raw: &[u8]) {
    match decode_value(raw) {
        Some(value) => push_json(out, &value),
        None => push_base64(out, raw),
    }
}

/// Appends a MessagePack value as JSON: binary as `{"$base64":"…"}`, an extension as `{"$ext":[type,"base64"]}`, a
/// number that is not finite as `null`, a map key that is no text as the text of its JSON.
fn push_json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Boolean(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::F32(number) => push_float(out, f64::from(*number)),
        Value::F64(number) => push_float(out, *number),
        Value::String(text) => push_json_string(out, &String::from_utf8_lossy(text.as_bytes())),
        Value::Binary(bytes) => push_base64(out, bytes),
        Value::Ext(kind, bytes) => {
            out.extend_from_slice(format!("{{\"$ext\":[{kind},\"{}\"]}}", BASE64.encode(bytes)).as_bytes());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json(out, item);
            }
            out.push(b']');
        }
        Value::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_key(out, key);
                out.push(b':');
                push_json(out, value);
            }
            out.push(b'}');
        }
    }
}

fn push_key(out: &mut Vec<u8>, key: &Value) {
    if let Value::String(text) = key {
        return push_json_string(out, &String::from_utf8_lossy(text.as_bytes()));
    }
    let mut json = Vec::new();
    push_json(&mut json, key);
    push_json_string(out, &String::from_utf8_lossy(&json));
}

fn push_float(out: &mut Vec<u8>, number: f64) {
    // serde_json writes `null` for what is not finite.
    let _ = serde_json::to_writer(out, &number);
}

/// The data as one MessagePack value.
pub fn message_pack_of_payload(payload: &Payload) -> Bytes {
    match payload {
        Payload::MessagePack(raw) => raw.clone(),
        Payload::Bytes(raw) => Bytes::from(encoded(&Value::Binary(raw.to_vec()))),
        Payload::Json(raw) => {
            let mut out = Vec::with_capacity(raw.len());
            match serde_json::from_slice::<serde_json::Value>(raw)
                .ok()
                .and_then(|json| rmp_serde::encode::write(&mut out, &json).ok())
            {
                Some(()) => {}
                // A JSON payload is valid; if it were not, its text is still told.
                None => {
                    out.clear();
                    push_value(&mut out, &Value::from(String::from_utf8_lossy(raw).into_owned()));
                }
            }
            Bytes::from(out)
        }
    }
}

/// Appends a MessagePack string.
fn push_str(out: &mut Vec<u8>, text: &str) {
    push_value(out, &Value::from(text));
}

/// The entry as one MessagePack map with its own cursor; same keys and order as the JSON form.
pub fn entry_message_pack(entry: &Entry) -> Bytes {
    let mut out = Vec::with_capacity(entry.event.size_bytes() + 160);
    let pairs: u8 = if entry.event.user.is_some() { 7 } else { 6 };
    out.push(0x80 | pairs);
    push_str(&mut out, "id");
    push_str(&mut out, &entry.cursor.id.to_string());
    push_str(&mut out, "stream");
    push_str(&mut out, entry.stream.as_str());
    push_str(&mut out, "event");
    push_str(&mut out, entry.event.name());
    push_str(&mut out, "data");
    out.extend_from_slice(&message_pack_of_payload(&entry.event.data));
    push_str(&mut out, "time");
    let mut time = Vec::new();
    if time::push_rfc3339(&mut time, entry.cursor.id.ms) {
        push_str(&mut out, &String::from_utf8_lossy(&time));
    } else {
        push_value(&mut out, &Value::Nil);
    }
    if let Some(user) = &entry.event.user {
        push_str(&mut out, "user");
        push_str(&mut out, user.as_str());
    }
    push_str(&mut out, "cursor");
    push_str(&mut out, &entry.cursor.to_string());
    Bytes::from(out)
}

//! The JSON form of data and of entries. What counts as JSON data is decided in [`super::json_check`].

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::BASE64_KEY;
use super::json_check::checked_json;
use super::message_pack::push_json_of_message_pack;
use crate::{Entry, Payload, time};

/// A payload of JSON text that a publisher handed in, put on one line.
///
/// The error says where the text is not JSON, or that it is nested deeper than [`crate::limits::DATA_DEPTH_MAX`].
pub fn payload_of_json(raw: Bytes) -> Result<Payload, serde_json::Error> {
    checked_json(raw).map(Payload::Json)
}

/// `text` as a JSON string.
pub fn json_string(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut out, text);
    Bytes::from(out)
}

/// Appends `text` to `out` as a JSON string, quotes included.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into a vector has no way to fail.
    let _ = serde_json::to_writer(out, text);
}

/// Appends `{"$base64":"…"}`.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(BASE64_KEY.as_bytes());
    out.extend_from_slice(b"\":\"");
    push_base64_text(out, bytes);
    out.extend_from_slice(b"\"}");
}

/// Appends `bytes` in Base64 (RFC 4648, section 4), padded.
pub(super) fn push_base64_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The space is exactly what the encoding takes, so it has no way to fail.
    let _ = BASE64.encode_slice(bytes, &mut out[start..]);
}

/// A field value as JSON: a string where it is UTF-8, else `{"$base64":"…"}`.
fn push_field_value(out: &mut Vec<u8>, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => push_json_string(out, text),
        Err(_) => push_base64(out, value),
    }
}

/// The JSON object of an entry that others wrote: field names to values; a name that stands more than once has
/// the array of its values. Names are told apart by what they look like as text, so that no key stands twice.
pub(crate) fn json_object_of_fields(fields: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> Bytes {
    // An index, not a search: anybody can write an entry of a million fields.
    let mut position = HashMap::with_capacity(fields.len());
    let mut object: Vec<(Cow<'_, str>, Vec<&[u8]>)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let (name, value) = (String::from_utf8_lossy(name.as_ref()), value.as_ref());
        let at = *position.entry(name.clone()).or_insert(object.len());
        match object.get_mut(at) {
            Some((_, values)) => values.push(value),
            None => object.push((name, vec![value])),
        }
    }
    let mut out = vec![b'{'];
    for (index, (name, values)) in object.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_json_string(&mut out, name);
        out.push(b':');
        match values.as_slice() {
            [value] => push_field_value(&mut out, value),
            values => push_field_values(&mut out, values),
        }
    }
    out.push(b'}');
    Bytes::from(out)
}

fn push_field_values(out: &mut Vec<u8>, values: &[&[u8]]) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_field_value(out, value);
    }
    out.push(b']');
}

/// Appends the data as JSON. Binary becomes `{"$base64":"…"}`.
fn push_payload(out: &mut Vec<u8>, payload: &Payload) {
    match payload {
        Payload::Json(raw) => out.extend_from_slice(raw),
        Payload::MessagePack(raw) => push_json_of_message_pack(out, raw),
        Payload::Bytes(raw) => push_base64(out, raw),
    }
}

/// The data as one line of JSON.
pub fn json_of_payload(payload: &Payload) -> Bytes {
    if let Payload::Json(raw) = payload {
        return raw.clone();
    }
    let mut out = Vec::new();
    push_payload(&mut out, payload);
    Bytes::from(out)
}

/// Appends the entry as JSON up to and including `"cursor":"`; the cursor and `"}` complete it.
pub fn entry_json_prefix(out: &mut Vec<u8>, entry: &Entry) {
    out.push(b'{');
    entry_json_members(out, entry);
}

/// The same without the brace, for objects that begin with something else.
pub fn entry_json_members(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"\"id\":\"");
    entry.cursor.id.push_to(out);
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(entry.stream.as_str().as_bytes());
    out.extend_from_slice(b"\",\"event\":");
    push_json_string(out, entry.event.name());
    out.extend_from_slice(b",\"data\":");
    push_payload(out, &entry.event.data);
    out.extend_from_slice(b",\"time\":");
    push_json_time(out, entry.cursor.id.ms);
    if let Some(user) = &entry.event.user {
        out.extend_from_slice(b",\"user\":");
        push_json_string(out, user.as_str());
    }
    if let Some(trace) = entry.event.traceparent() {
        use std::io::Write as _;
        // Writing into a vector has no way to fail.
        let _ = write!(out, ",\"traceparent\":\"{trace}\"");
    }
    out.extend_from_slice(b",\"cursor\":\"");
}

/// Appends a time (milliseconds since the Unix epoch) as a JSON string in RFC 3339, or `null` where that has no such year.
pub fn push_json_time(out: &mut Vec<u8>, ms: u64) {
    let start = out.len();
    out.push(b'"');
    if time::push_rfc3339(out, ms) {
        out.push(b'"');
    } else {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// The entry as one line of JSON with its own cursor.
pub fn entry_json(entry: &Entry) -> Bytes {
    let mut out = Vec::with_capacity(entry.encoded_bytes());
    entry_json_prefix(&mut out, entry);
    entry.cursor.push_to(&mut out);
    out.extend_from_slice(b"\"}");
    Bytes::from(out)
}

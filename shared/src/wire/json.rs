//! JSON: validation, single lines, and the JSON form of an entry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::IgnoredAny;

use super::BASE64_KEY;
use super::message_pack::push_json_of_message_pack;
use crate::{Entry, Payload, time};

/// Whether `raw` is exactly one JSON value in UTF-8.
pub(crate) fn valid_json(raw: &[u8]) -> bool {
    std::str::from_utf8(raw).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Puts valid JSON on one line. In JSON a raw line break can only stand between tokens (RFC 8259, section 2), so a
/// space says the same.
pub(crate) fn one_line_json(raw: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &raw).is_none() {
        return raw;
    }
    raw.iter()
        .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b })
        .collect()
}

/// A payload of JSON text that a publisher handed in, put on one line.
///
/// The error says where the text is not JSON.
pub fn payload_of_json(raw: Bytes) -> Result<Payload, serde_json::Error> {
    let text = std::str::from_utf8(&raw).map_err(serde::de::Error::custom)?;
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(Payload::Json(one_line_json(raw)))
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
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// A field value as JSON: a string where it is UTF-8, else `{"$base64":"…"}`.
fn push_field_value(out: &mut Vec<u8>, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => push_json_string(out, text),
        Err(_) => push_base64(out, value),
    }
}

/// The JSON object of an entry that others wrote: field names to values; a name that stands more than once has
/// the array of its values.
pub(crate) fn json_object_of_fields(fields: &[(Bytes, Bytes)]) -> Bytes {
    let mut out = vec![b'{'];
    for (index, (name, value)) in fields.iter().enumerate() {
        if fields[..index].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        push_json_string(&mut out, &String::from_utf8_lossy(name));
        out.push(b':');
        let mut values = fields[index..]
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, v)| v)
            .peekable();
        values.next();
        if values.peek().is_none() {
            push_field_value(&mut out, value);
            continue;
        }
        out.push(b'[');
        push_field_value(&mut out, value);
        for value in values {
            out.push(b',');
            push_field_value(&mut out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
    Bytes::from(out)
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
    use std::io::Write as _;
    // Writing into a vector has no way to fail.
    let _ = write!(
        out,
        "{{\"id\":\"{}\",\"stream\":\"{}\",\"event\":",
        entry.cursor.id, entry.stream
    );
    push_json_string(out, entry.event.name());
    out.extend_from_slice(b",\"data\":");
    push_payload(out, &entry.event.data);
    out.extend_from_slice(b",\"time\":");
    push_time(out, entry.cursor.id.ms);
    if let Some(user) = &entry.event.user {
        out.extend_from_slice(b",\"user\":");
        push_json_string(out, user.as_str());
    }
    out.extend_from_slice(b",\"cursor\":\"");
}

fn push_time(out: &mut Vec<u8>, ms: u64) {
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
    use std::io::Write as _;
    let mut out = Vec::with_capacity(entry.event.size_bytes() + 160);
    entry_json_prefix(&mut out, entry);
    let _ = write!(out, "{}\"}}", entry.cursor);
    Bytes::from(out)
}

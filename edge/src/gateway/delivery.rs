//! What a subscription brings, as Socket.IO events: `[name, data…, meta, offset?]`.
//!
//! The text up to the meta object is the same for everybody, so it is made once for each entry and shared. What a
//! socket adds is its offset and the bracket that closes the array; so the texts here are *open* arrays.
//!
//! An entry may hold what a client would choke on: a reserved name, more binary parts than a client takes, data that
//! look like a placeholder. Then it is delivered in another form that says the same; it must never cost a client its
//! connection, because the client would come back and meet it again.

use std::io::Write as _;

use bytes::Bytes;
use rmpv::ValueRef;
use shared::limits::SIO_ATTACHMENTS_MAX;
use shared::wire::{self, push_json_string, push_json_time};
use shared::{Cursor, DEFAULT_EVENT, Entry, Event, Payload, StreamName};
use smallvec::SmallVec;

use crate::engineio::Piece;
use crate::socketio::RESERVED_EVENTS;
use crate::wire_slots::WireSlot;

/// Bytes of what stands around the data of an event.
const FRAME_BYTES: usize = 192;

/// An event as a client gets it, except for what only this client gets.
#[derive(Debug, Clone)]
pub(crate) struct Encoded<'a> {
    /// The array of its name and arguments, open.
    pub(crate) text: Piece<'a>,
    /// Its binary parts.
    pub(crate) attachments: SmallVec<[Bytes; 1]>,
}

/// What the edge itself tells of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// So many events are gone.
    Gap(u64),
    /// This is another history.
    Reset,
    /// Whether something is missing cannot be told.
    Unverified,
    /// From here on events are live.
    CaughtUp,
    /// The filter held events back; the position moves on.
    Passed,
    /// The log is back, and what was added meanwhile has been delivered.
    Restored,
}

impl Notice {
    /// The names of all of them: an entry of such a name could be taken for one.
    const NAMES: [&str; 7] = [
        "stream:gap",
        "stream:reset",
        "stream:unverified",
        "stream:caught_up",
        "stream:cursor",
        "stream:restored",
        "stream:degraded",
    ];

    const fn name(self) -> &'static str {
        let [gap, reset, unverified, caught_up, cursor, restored, _] = Self::NAMES;
        match self {
            Self::Gap(_) => gap,
            Self::Reset => reset,
            Self::Unverified => unverified,
            Self::CaughtUp => caught_up,
            Self::Passed => cursor,
            Self::Restored => restored,
        }
    }
}

/// An entry of a stream: made on first use, shared from then on.
pub(crate) fn entry(entry: &Entry) -> Encoded<'_> {
    let packed = entry.wire(WireSlot::SocketIo.index(), |entry| {
        pack(&entry.event, |out, other_name| push_meta(out, entry, other_name))
    });
    unpack(packed, &entry.event)
}

/// An ephemeral event, to be kept as [`broker::EphemeralEvent::wire`] does.
pub(crate) fn pack_ephemeral(stream: &StreamName, event: &Event) -> Bytes {
    pack(event, |out, other_name| {
        push_origin(out, stream, event, other_name);
        out.extend_from_slice(b",\"ephemeral\":true}");
    })
}

/// What the edge tells of a stream, as an open array.
pub(crate) fn notice(notice: Notice, stream: &StreamName, cursor: Cursor, out: &mut Vec<u8>) {
    // Writing into a vector has no way to fail.
    let _ = write!(out, "[\"{}\",{{\"stream\":\"{stream}\"", notice.name());
    if let Notice::Gap(lost) = notice {
        let _ = write!(out, ",\"lost\":{lost}");
    }
    out.extend_from_slice(b",\"cursor\":\"");
    cursor.push_to(out);
    out.extend_from_slice(b"\"}");
}

/// That the log is away, as an open array: it says nothing of the position, so no offset stands behind it.
pub(crate) fn degraded(stream: &StreamName, since_ms: u64, out: &mut Vec<u8>) {
    let [.., name] = Notice::NAMES;
    let _ = write!(out, "[\"{name}\",{{\"stream\":\"{stream}\",\"since\":");
    push_json_time(out, since_ms);
    out.push(b'}');
}

/// What [`pack`] has put together.
pub(crate) fn unpack<'a>(packed: &'a Bytes, event: &Event) -> Encoded<'a> {
    let count = packed.first().copied().map_or(0, usize::from);
    let (numbers, _) = packed
        .get(1..)
        .unwrap_or_default()
        .as_chunks::<{ 2 * NUMBER_BYTES }>();
    let part = |numbers: &[u8; 2 * NUMBER_BYTES]| {
        let [a, b, c, d, e, f, g, h] = *numbers;
        let start = u32::from_le_bytes([a, b, c, d]) as usize;
        let len = u32::from_le_bytes([e, f, g, h]) as usize;
        event.data.raw().slice(start..start + len)
    };
    Encoded {
        text: Piece::SharedFrom(packed, 1 + count * 2 * NUMBER_BYTES),
        attachments: numbers.iter().take(count).map(part).collect(),
    }
}

const NUMBER_BYTES: usize = size_of::<u32>();

/// The open array of an event, behind the number of its binary parts and where each of them is in the stored data:
/// its first byte and its length.
fn pack(event: &Event, push_meta: impl FnOnce(&mut Vec<u8>, Option<&str>)) -> Bytes {
    let arguments = Arguments::of(event);
    let mut out = Vec::with_capacity(arguments.json.len() + FRAME_BYTES);
    out.push(arguments.parts.len() as u8);
    for (start, len) in &arguments.parts {
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
    }
    let name = event.name();
    let taken = RESERVED_EVENTS.contains(&name) || Notice::NAMES.contains(&name);
    out.push(b'[');
    push_json_string(&mut out, if taken { DEFAULT_EVENT } else { name });
    out.push(b',');
    if !arguments.json.is_empty() {
        out.extend_from_slice(&arguments.json);
        out.push(b',');
    }
    push_meta(&mut out, taken.then_some(name));
    Bytes::from(out)
}

/// `{"stream","event"?,"id","cursor","time","user"?,"traceparent"?}`
fn push_meta(out: &mut Vec<u8>, entry: &Entry, other_name: Option<&str>) {
    push_origin(out, &entry.stream, &entry.event, other_name);
    let _ = write!(
        out,
        ",\"id\":\"{}\",\"cursor\":\"{}\",\"time\":",
        entry.cursor.id, entry.cursor
    );
    push_json_time(out, entry.cursor.id.ms);
    out.push(b'}');
}

/// `{"stream","event"?,"user"?,"traceparent"?`: what every meta object begins with.
fn push_origin(out: &mut Vec<u8>, stream: &StreamName, event: &Event, other_name: Option<&str>) {
    let _ = write!(out, "{{\"stream\":\"{stream}\"");
    if let Some(name) = other_name {
        out.extend_from_slice(b",\"event\":");
        push_json_string(out, name);
    }
    if let Some(user) = &event.user {
        out.extend_from_slice(b",\"user\":");
        push_json_string(out, user.as_str());
    }
    if let Some(trace) = event.traceparent() {
        let _ = write!(out, ",\"traceparent\":\"{trace}\"");
    }
}

/// The data of an event as arguments: JSON separated by commas, with placeholders for binary.
struct Arguments {
    json: Bytes,
    /// First byte and length of each binary part in the stored data.
    parts: Vec<(u32, u32)>,
}

impl Arguments {
    fn of(event: &Event) -> Self {
        let mut arguments = match &event.data {
            Payload::Json(raw) => Self::text(raw.clone()),
            Payload::Bytes(raw) => match u32::try_from(raw.len()) {
                Ok(len) => Self {
                    json: Bytes::from_static(br#"{"_placeholder":true,"num":0}"#),
                    parts: vec![(0, len)],
                },
                Err(_) => Self::text(wire::json_of_payload(&event.data)),
            },
            Payload::MessagePack(raw) => {
                Self::of_message_pack(raw).unwrap_or_else(|| Self::text(wire::json_of_payload(&event.data)))
            }
        };
        if event.is_spread() {
            // Valid JSON that is an array: what is between its brackets are its items.
            let items = arguments.json.trim_ascii();
            let items = items.get(1..items.len().saturating_sub(1)).unwrap_or_default();
            arguments.json = arguments.json.slice_ref(items.trim_ascii());
        }
        arguments
    }

    fn text(json: Bytes) -> Self {
        let parts = Vec::new();
        Self { json, parts }
    }

    /// `None` if a client could not take it with binary beside the text.
    fn of_message_pack(raw: &Bytes) -> Option<Self> {
        let value = wire::decode_value_ref(raw)?;
        if is_ambiguous(&value) {
            return None;
        }
        let (mut json, mut parts) = (Vec::with_capacity(raw.len()), Vec::new());
        let first = raw.as_ptr() as usize;
        let mut push_binary = |out: &mut Vec<u8>, bytes: &[u8]| {
            let _ = write!(out, "{{\"_placeholder\":true,\"num\":{}}}", parts.len());
            parts.push((bytes.as_ptr() as usize - first, bytes.len()));
        };
        wire::push_json(&mut json, &value, &mut push_binary);
        let number = |n: usize| u32::try_from(n).ok();
        let part = |(start, len)| Some((number(start)?, number(len)?));
        let parts: Option<Vec<_>> = parts.into_iter().map(part).collect();
        parts
            .filter(|parts| parts.len() <= SIO_ATTACHMENTS_MAX)
            .map(|parts| Self {
                json: Bytes::from(json),
                parts,
            })
    }
}

/// Whether something in the data would be taken for a placeholder.
fn is_ambiguous(value: &ValueRef<'_>) -> bool {
    match value {
        ValueRef::Array(items) => items.iter().any(is_ambiguous),
        ValueRef::Map(pairs) => pairs.iter().any(|(key, value)| {
            let placeholder = matches!(key, ValueRef::String(key) if key.as_bytes() == b"_placeholder");
            placeholder || is_ambiguous(value)
        }),
        _ => false,
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;

//! Frames to the client: what the server says, encoded. Decides nothing.
//!
//! An event that several hold is encoded once per format and shared by all sockets ([`event`]). Pages are in [`super::page`].

use std::fmt::Display;
use std::sync::Arc;

use broker::{Appended, Delivery};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use shared::time::push_rfc3339;
use shared::{Cursor, Entry, EntryId, StreamName, Verdict, wire};

use super::fields::Ref;
use super::format::Format;
use crate::error::ApiError;
use crate::wire_slots::WireSlot;

/// Every frame that the server sends, except `event` and `page`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Reply<'a> {
    /// The stream is followed from `cursor` on.
    Subscribed {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
        #[serde(serialize_with = "text")]
        head: Cursor,
        verdict: Verdict,
    },
    /// The stream is not followed any more.
    Unsubscribed {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        stream: &'a StreamName,
    },
    /// The event is in the log.
    Published {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        id: EntryId,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    },
    /// Answers a ping.
    Pong {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
    },
    /// So many events are gone.
    Gap {
        stream: &'a StreamName,
        lost: u64,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// This is another history.
    Reset {
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// Whether something is missing cannot be told.
    Unverified {
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// From here on events are live.
    CaughtUp {
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// The filter held events back; the position moves on.
    Cursor {
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// The log is away. It says nothing of the position, so it has no cursor.
    Degraded {
        stream: &'a StreamName,
        #[serde(serialize_with = "time")]
        since: u64,
    },
    /// The log is back, and what was added meanwhile has been delivered.
    Restored {
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// The subscription's `until` is reached.
    Ended {
        stream: &'a StreamName,
        #[serde(serialize_with = "text")]
        cursor: Cursor,
    },
    /// A request failed.
    Error {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<&'a StreamName>,
        error: Problem<'a>,
    },
}

/// What went wrong: the same codes and messages as over HTTP.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    code: &'static str,
    message: &'a str,
    /// Where the event is, if it is in the log nevertheless.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_text")]
    id: Option<EntryId>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_text")]
    cursor: Option<Cursor>,
}

impl<'a> From<&'a ApiError> for Problem<'a> {
    fn from(error: &'a ApiError) -> Self {
        Self {
            code: error.code().as_str(),
            message: error.message(),
            id: error.appended().map(|cursor| cursor.id),
            cursor: error.appended(),
        }
    }
}

pub(super) fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn some_text<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => text(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// Milliseconds since the Unix epoch, as RFC 3339.
fn time<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let mut out = Vec::new();
    let known = push_rfc3339(&mut out, *ms);
    let text = String::from_utf8(out).ok().filter(|_| known);
    text.serialize(serializer)
}

impl Reply<'_> {
    /// The frame in `format`. It cannot fail: a reply is a map with text keys, which both formats can say.
    pub(crate) fn encode(&self, format: Format) -> Bytes {
        let encoded = match format {
            Format::Json => json_published(self).or_else(|| serde_json::to_vec(self).ok()),
            Format::MessagePack => rmp_serde::to_vec_named(self).ok(),
        };
        Bytes::from(encoded.unwrap_or_default())
    }
}

/// A `published` frame as JSON, by hand, since there is one for each event that is published.
fn json_published(reply: &Reply<'_>) -> Option<Vec<u8>> {
    let Reply::Published {
        reference,
        stream,
        cursor,
        duplicate,
        ..
    } = reply
    else {
        return None;
    };
    let mut out = Vec::with_capacity(128 + stream.as_str().len());
    out.extend_from_slice(b"{\"type\":\"published\"");
    match reference {
        Some(Ref::Unsigned(number)) => {
            out.extend_from_slice(b",\"ref\":");
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        Some(Ref::Signed(_)) | Some(Ref::Text(_)) => return None,
        None => {}
    }
    // No character of a stream's name needs to be escaped.
    out.extend_from_slice(b",\"stream\":\"");
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(b"\",");
    let (cursor, duplicate) = (*cursor, *duplicate);
    Appended { cursor, duplicate }.push_members(&mut out);
    out.push(b'}');
    Some(out)
}

/// What a subscription brings, as a frame. Ephemeral events have none: these subscriptions do not ask for them.
pub(crate) fn delivery(format: Format, delivery: &Delivery) -> Option<Bytes> {
    let reply = match delivery {
        // One that nobody else holds is not worth keeping an encoding of.
        Delivery::Event(entry) if format == Format::Json && Arc::strong_count(entry) == 1 => {
            return Some(Bytes::from(json_event(entry)));
        }
        Delivery::Event(entry) => return Some(event(format, entry)),
        Delivery::Ephemeral(_) => return None,
        Delivery::Gap { stream, lost, cursor } => Reply::Gap {
            stream,
            lost: *lost,
            cursor: *cursor,
        },
        Delivery::Reset { stream, cursor } => Reply::Reset {
            stream,
            cursor: *cursor,
        },
        Delivery::Unverified { stream, cursor } => Reply::Unverified {
            stream,
            cursor: *cursor,
        },
        Delivery::CaughtUp { stream, cursor } => Reply::CaughtUp {
            stream,
            cursor: *cursor,
        },
        Delivery::Passed { stream, cursor } => Reply::Cursor {
            stream,
            cursor: *cursor,
        },
        Delivery::Degraded { stream, since_ms } => Reply::Degraded {
            stream,
            since: *since_ms,
        },
        Delivery::Restored { stream, cursor } => Reply::Restored {
            stream,
            cursor: *cursor,
        },
        Delivery::Ended { stream, cursor } => Reply::Ended {
            stream,
            cursor: *cursor,
        },
    };
    Some(reply.encode(format))
}

/// An entry as an `event` frame: made on first use, shared from then on.
pub(crate) fn event(format: Format, entry: &Entry) -> Bytes {
    match format {
        Format::Json => entry.wire(WireSlot::WsJson.index(), kept_json_event).clone(),
        Format::MessagePack => entry
            .wire(WireSlot::WsMessagePack.index(), message_pack_event)
            .clone(),
    }
}

fn kept_json_event(entry: &Entry) -> Bytes {
    let mut event = json_event(entry);
    event.shrink_to_fit();
    Bytes::from(event)
}

fn json_event(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.event.size_bytes() + 256);
    out.extend_from_slice(b"{\"type\":\"event\",");
    wire::entry_json_members(&mut out, entry);
    entry.cursor.push_to(&mut out);
    out.extend_from_slice(b"\"}");
    out
}

fn message_pack_event(entry: &Entry) -> Bytes {
    let map = wire::entry_message_pack(entry);
    let mut out = Vec::with_capacity(map.len() + 16);
    // An entry has at most 7 pairs, so with `type` it is still a fixmap (0x80 | pairs).
    out.push(map[0] + 1);
    push_message_pack(&mut out, "type");
    push_message_pack(&mut out, "event");
    out.extend_from_slice(&map[1..]);
    Bytes::from(out)
}

pub(super) fn push_message_pack(out: &mut Vec<u8>, text: &str) {
    // Writing into a vector has no way to fail.
    let _ = rmp_serde::encode::write(out, text);
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;

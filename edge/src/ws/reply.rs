//! Frames to the client: what the server says, encoded. Decides nothing.
//!
//! An event is encoded once per format and shared by all sockets ([`event`]); everything else is small.

use std::fmt::Display;

use broker::Page;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use shared::{Cursor, Entry, EntryId, StreamName, Verdict, wire};

use super::format::Format;
use super::request::Ref;
use crate::error::ApiError;
use crate::wire_slots::WireSlot;

/// Every frame that the server sends, except `event` and `page`, which carry entries.
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
}

impl<'a> From<&'a ApiError> for Problem<'a> {
    fn from(error: &'a ApiError) -> Self {
        Self {
            code: error.code().as_str(),
            message: error.message(),
        }
    }
}

fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Reply<'_> {
    /// The frame in `format`.
    pub(crate) fn encode(&self, format: Format) -> Bytes {
        // A reply is a map with text keys, which both formats can say.
        let encoded = match format {
            Format::Json => serde_json::to_vec(self).ok(),
            Format::MessagePack => rmp_serde::to_vec_named(self).ok(),
        };
        Bytes::from(encoded.unwrap_or_default())
    }
}

/// An entry as an `event` frame: made on first use, shared from then on.
pub(crate) fn event(format: Format, entry: &Entry) -> Bytes {
    match format {
        Format::Json => entry.wire(WireSlot::WsJson.index(), json_event),
        Format::MessagePack => entry.wire(WireSlot::WsMessagePack.index(), message_pack_event),
    }
    .clone()
}

fn json_event(entry: &Entry) -> Bytes {
    let object = wire::entry_json(entry);
    let head = b"{\"type\":\"event\",";
    let mut out = Vec::with_capacity(head.len() + object.len());
    out.extend_from_slice(head);
    // Behind the brace of the entry's own object.
    out.extend_from_slice(&object[1..]);
    Bytes::from(out)
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

/// The answer to a `page` request: the HTTP answer with `type`, `ref` and `stream` before it.
pub(crate) fn page(format: Format, reference: Option<&Ref>, stream: &StreamName, page: &Page) -> Bytes {
    match format {
        Format::Json => json_page(reference, stream, page),
        Format::MessagePack => message_pack_page(reference, stream, page),
    }
}

/// What stands before and behind the events of a page.
#[derive(Serialize)]
struct PageHead<'a> {
    r#type: &'static str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a Ref>,
    stream: &'a StreamName,
}

#[derive(Serialize)]
struct PageTail {
    #[serde(serialize_with = "text")]
    cursor: Cursor,
    #[serde(serialize_with = "text")]
    head: Cursor,
    tail_reached: bool,
    verdict: Verdict,
}

impl<'a> PageHead<'a> {
    fn new(reference: Option<&'a Ref>, stream: &'a StreamName) -> Self {
        Self {
            r#type: "page",
            reference,
            stream,
        }
    }
}

impl From<&Page> for PageTail {
    fn from(page: &Page) -> Self {
        Self {
            cursor: page.cursor,
            head: page.head,
            tail_reached: page.tail_reached,
            verdict: page.verdict,
        }
    }
}

fn json_page(reference: Option<&Ref>, stream: &StreamName, page: &Page) -> Bytes {
    let head = serde_json::to_vec(&PageHead::new(reference, stream)).unwrap_or_default();
    let tail = serde_json::to_vec(&PageTail::from(page)).unwrap_or_default();
    let mut out = head;
    out.pop();
    out.extend_from_slice(b",\"events\":[");
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&wire::entry_json(entry));
    }
    out.extend_from_slice(b"],");
    out.extend_from_slice(tail.get(1..).unwrap_or_default());
    Bytes::from(out)
}

fn message_pack_page(reference: Option<&Ref>, stream: &StreamName, page: &Page) -> Bytes {
    let head = rmp_serde::to_vec_named(&PageHead::new(reference, stream)).unwrap_or_default();
    let tail = rmp_serde::to_vec_named(&PageTail::from(page)).unwrap_or_default();
    // Both are fixmaps (0x80 | pairs), and so is the whole: 3 + 1 + 4 pairs at the most.
    let pairs = |map: &[u8]| map.first().map_or(0, |byte| byte & 0x0f);
    let mut out = vec![0x80 | (pairs(&head) + 1 + pairs(&tail))];
    out.extend_from_slice(head.get(1..).unwrap_or_default());
    push_message_pack(&mut out, "events");
    // An array of 32-bit length: MessagePack allows a longer form than needed.
    out.push(0xdd);
    out.extend_from_slice(&u32::try_from(page.entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    for entry in &page.entries {
        out.extend_from_slice(&wire::entry_message_pack(entry));
    }
    out.extend_from_slice(tail.get(1..).unwrap_or_default());
    Bytes::from(out)
}

fn push_message_pack(out: &mut Vec<u8>, text: &str) {
    // Writing into a vector has no way to fail.
    let _ = rmp_serde::encode::write(out, text);
}

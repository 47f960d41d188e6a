//! The answer to a `page` request: the HTTP answer with `type`, `ref` and `stream` before it.

use broker::Page;
use bytes::Bytes;
use serde::Serialize;
use shared::{Cursor, StreamName, Verdict, wire};

use super::fields::Ref;
use super::format::Format;
use super::reply::{push_message_pack, text};
use crate::page::push_fields;

/// The frame that answers a `page` request.
pub(crate) fn encode(format: Format, reference: Option<&Ref>, stream: &StreamName, page: &Page) -> Bytes {
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
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
            degraded: page.degraded,
        }
    }
}

fn json_page(reference: Option<&Ref>, stream: &StreamName, page: &Page) -> Bytes {
    let mut out = serde_json::to_vec(&PageHead::new(reference, stream)).unwrap_or_default();
    out.pop();
    out.push(b',');
    push_fields(&mut out, page);
    out.push(b'}');
    Bytes::from(out)
}

fn message_pack_page(reference: Option<&Ref>, stream: &StreamName, page: &Page) -> Bytes {
    let head = rmp_serde::to_vec_named(&PageHead::new(reference, stream)).unwrap_or_default();
    let tail = rmp_serde::to_vec_named(&PageTail::from(page)).unwrap_or_default();
    // Both are fixmaps (0x80 | pairs), and so is the whole: 3 + 1 + 5 pairs at the most.
    let pairs = |map: &[u8]| map.first().map_or(0, |byte| byte & 0x0f);
    let mut out = vec![0x80 | (pairs(&head) + 1 + pairs(&tail))];
    out.extend_from_slice(head.get(1..).unwrap_or_default());
    push_message_pack(&mut out, "events");
    // An array of 32-bit length: MessagePack allows a longer form than needed.
    out.push(0xdd);
    out.extend_from_slice(
        &u32::try_from(page.entries.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    for entry in &page.entries {
        out.extend_from_slice(&wire::entry_message_pack(entry));
    }
    out.extend_from_slice(tail.get(1..).unwrap_or_default());
    Bytes::from(out)
}

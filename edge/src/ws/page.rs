//! The answer to a `page` request: the HTTP answer with `type`, `ref` and `stream` before it.

use std::sync::Arc;

use broker::Page;
use bytes::Bytes;
use serde::Serialize;
use shared::limits::WS_PAGE_BYTES_MAX;
use shared::{Cursor, Entry, StreamName, Verdict, wire};

use super::fields::Ref;
use super::format::Format;
use super::reply::{push_message_pack, text};

/// Shortens a page whose events are too many bytes for one frame; its cursor then leads to the rest.
pub(crate) fn bound(page: &mut Page, backward: bool) {
    let mut bytes = 0;
    let fits = |entry: &&Arc<Entry>| {
        bytes += entry.event.size_bytes();
        bytes <= WS_PAGE_BYTES_MAX
    };
    // One event always goes out, so that a reader gets on.
    let count = page.entries.iter().take_while(fits).count().max(1);
    if count >= page.entries.len() {
        return;
    }
    page.entries.truncate(count);
    page.tail_reached = false;
    if let Some(last) = page.entries.last() {
        page.cursor = last.cursor;
    }
    // Backward, what is missing lies before the oldest entry: the page that reaches it tells.
    if backward && matches!(page.verdict, Verdict::Gap { .. }) {
        page.verdict = Verdict::Continuous;
    }
}

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

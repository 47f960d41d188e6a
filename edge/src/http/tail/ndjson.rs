//! NDJSON: a JSON object a line, and nothing else.
//!
//! A line with the member `control` is about the tail, every other one is an event. A heartbeat is an empty line:
//! whitespace between JSON texts, which `jq` and other readers of JSON texts in a row pass over in silence.

use super::format::{Format, Notice, push_notice_members};
use crate::wire_slots::WireSlot;

/// The format of `application/x-ndjson`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ndjson;

fn push_control(out: &mut Vec<u8>, control: &str, cursor: &[u8]) {
    out.extend_from_slice(b"{\"control\":\"");
    out.extend_from_slice(control.as_bytes());
    out.extend_from_slice(b"\",\"cursor\":\"");
    out.extend_from_slice(cursor);
    out.extend_from_slice(b"\"}\n");
}

impl Format for Ndjson {
    const CONTENT_TYPE: &'static str = "application/x-ndjson";
    const SLOT: WireSlot = WireSlot::NdjsonLine;
    const HEARTBEAT: &'static [u8] = b"\n";

    /// Nothing: the first line is an event or a notice.
    fn push_opening(_out: &mut Vec<u8>, _retry_ms: u64, _cursor: &[u8]) {}

    fn push_event_head(_out: &mut Vec<u8>, _cursor: &[u8]) {}

    fn push_event_tail(out: &mut Vec<u8>, cursor: &[u8]) {
        out.extend_from_slice(cursor);
        out.extend_from_slice(b"\"}\n");
    }

    fn push_notice(out: &mut Vec<u8>, notice: &Notice<'_>, cursor: Option<&[u8]>) {
        out.extend_from_slice(b"{\"control\":\"");
        out.extend_from_slice(notice.kind.name().as_bytes());
        out.extend_from_slice(b"\",");
        push_notice_members(out, notice, cursor);
        out.extend_from_slice(b"}\n");
    }

    fn push_progress(out: &mut Vec<u8>, cursor: &[u8]) {
        push_control(out, "cursor", cursor);
    }

    fn push_farewell(out: &mut Vec<u8>, _retry_ms: u64, cursor: &[u8]) {
        push_control(out, "reconnect", cursor);
    }
}

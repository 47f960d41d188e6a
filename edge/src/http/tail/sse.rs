//! Server-sent events (HTML Living Standard, section 9.2): frames, and nothing else.
//!
//! Every frame with data carries the cursor as its `id:`, so that a client which is cut off after it resumes after
//! it; but for what says nothing of the position, which leaves the client's last event ID as it is. An `id:` alone, in a frame without data, moves the client's last event ID without an event ("event stream
//! interpretation": the ID is set when a frame ends, before empty data stops it from becoming an event). By the
//! letter of the same section a frame that ends before the first `id:` of a connection clears the ID that the client
//! brought along: so the very first frame has one.

use std::io::Write as _;

use super::format::{Format, Notice, push_notice_members};
use crate::wire_slots::WireSlot;

/// The format of `text/event-stream`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sse;

fn push_id(out: &mut Vec<u8>, cursor: &[u8]) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(cursor);
    out.push(b'\n');
}

fn push_retry(out: &mut Vec<u8>, retry_ms: u64) {
    // Writing into a vector has no way to fail.
    let _ = writeln!(out, "retry: {retry_ms}");
}

impl Format for Sse {
    const CONTENT_TYPE: &'static str = "text/event-stream";
    const SLOT: WireSlot = WireSlot::SseFrame;
    /// A comment (a line that begins with a colon) and the end of an empty frame.
    const HEARTBEAT: &'static [u8] = b": hb\n\n";

    fn push_opening(out: &mut Vec<u8>, retry_ms: u64, cursor: &[u8]) {
        push_retry(out, retry_ms);
        push_id(out, cursor);
        out.push(b'\n');
    }

    fn push_event_head(out: &mut Vec<u8>, cursor: &[u8]) {
        push_id(out, cursor);
        out.extend_from_slice(b"data: ");
    }

    fn push_event_tail(out: &mut Vec<u8>, cursor: &[u8]) {
        out.extend_from_slice(cursor);
        out.extend_from_slice(b"\"}\n\n");
    }

    fn push_notice(out: &mut Vec<u8>, notice: &Notice<'_>, cursor: Option<&[u8]>) {
        let _ = writeln!(out, "event: {}", notice.kind.name());
        if let Some(cursor) = cursor {
            push_id(out, cursor);
        }
        out.extend_from_slice(b"data: {");
        push_notice_members(out, notice, cursor);
        out.extend_from_slice(b"}\n\n");
    }

    fn push_progress(out: &mut Vec<u8>, cursor: &[u8]) {
        push_id(out, cursor);
        out.push(b'\n');
    }

    fn push_farewell(out: &mut Vec<u8>, retry_ms: u64, cursor: &[u8]) {
        Self::push_opening(out, retry_ms, cursor);
    }
}

//! What the two formats of a tail have in common: which pieces there are. Bytes only; no state, no I/O.

use std::io::Write as _;

use shared::StreamName;
use shared::wire::push_json_time;

use crate::wire_slots::WireSlot;

/// A format of a tail. Everything is appended to `out`; `cursor` is the text with which a client resumes.
///
/// An event is its head, the entry's JSON up to its cursor ([`shared::wire::entry_json_prefix`]), and its tail.
pub(super) trait Format: Send + Sync + 'static {
    /// The media type.
    const CONTENT_TYPE: &'static str;
    /// Where the encoding of an event for tails of one stream is kept.
    const SLOT: WireSlot;
    /// What is sent when there has been nothing to send for a while.
    const HEARTBEAT: &'static [u8];

    /// The first bytes, before anything is delivered: when to come back after a break, and the position from which
    /// the tail begins.
    fn push_opening(out: &mut Vec<u8>, retry_ms: u64, cursor: &[u8]);
    /// What stands before an event's JSON.
    fn push_event_head(out: &mut Vec<u8>, cursor: &[u8]);
    /// What stands after it: the cursor, and the ends.
    fn push_event_tail(out: &mut Vec<u8>, cursor: &[u8]);
    /// A verdict or a change of the tail. Without a cursor it says nothing of the client's position.
    fn push_notice(out: &mut Vec<u8>, notice: &Notice<'_>, cursor: Option<&[u8]>);
    /// The position has moved on without an event.
    fn push_progress(out: &mut Vec<u8>, cursor: &[u8]);
    /// The last bytes when the edge stops: come back, to whichever edge there is.
    fn push_farewell(out: &mut Vec<u8>, retry_ms: u64, cursor: &[u8]);
}

/// What a tail tells besides events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice<'a> {
    /// What happened.
    pub(super) kind: NoticeKind,
    /// To which stream; `None`: to the tail as a whole.
    pub(super) stream: Option<&'a StreamName>,
}

/// The kinds of notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoticeKind {
    /// So many events are gone.
    Gap {
        /// How many.
        lost: u64,
    },
    /// Another history than the one the client saw.
    Reset,
    /// Whether something is missing cannot be told.
    Unverified,
    /// From here on events are live, in all streams of the tail.
    CaughtUp,
    /// The log is away.
    Degraded {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// The log is back, and what was added meanwhile has been told.
    Restored,
    /// All streams of the tail have reached their `until`.
    Ended,
}

impl NoticeKind {
    /// The name it has on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::Reset => "reset",
            Self::Unverified => "unverified",
            Self::CaughtUp => "caught_up",
            Self::Degraded { .. } => "degraded",
            Self::Restored => "restored",
            Self::Ended => "ended",
        }
    }
}

/// Appends the JSON members of a notice, without braces: `"stream"?`, then `"lost"`, `"since"` or neither, then `"cursor"?`.
///
/// Neither names nor cursors hold anything that JSON escapes.
pub(super) fn push_notice_members(out: &mut Vec<u8>, notice: &Notice<'_>, cursor: Option<&[u8]>) {
    // Writing into a vector has no way to fail.
    if let Some(stream) = notice.stream {
        let _ = write!(out, "\"stream\":\"{stream}\",");
    }
    match notice.kind {
        NoticeKind::Gap { lost } => {
            let _ = write!(out, "\"lost\":{lost},");
        }
        NoticeKind::Degraded { since_ms } => {
            out.extend_from_slice(b"\"since\":");
            push_json_time(out, since_ms);
            out.push(b',');
        }
        _ => {}
    }
    match cursor {
        Some(cursor) => {
            out.extend_from_slice(b"\"cursor\":\"");
            out.extend_from_slice(cursor);
            out.push(b'"');
        }
        // The comma behind the member before.
        None => drop(out.pop()),
    }
}

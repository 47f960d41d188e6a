//! W3C Trace Context: the `traceparent` that links a publish with what led to it.

use std::fmt;
use std::str::FromStr;

use crate::Text;

/// The only flag with a meaning (W3C Trace Context, section 3.2.2.5).
const SAMPLED: u8 = 1;

/// A `traceparent` header value, version 00 (W3C Trace Context, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent {
    /// The whole trace; not zero. Serves as the correlation ID in logs.
    pub trace_id: u128,
    /// The operation within the trace; not zero.
    pub parent_id: u64,
    /// Bit 0: sampled; the others have no meaning yet.
    pub flags: u8,
}

impl TraceParent {
    /// A new trace from two random numbers; zero, which the specification forbids, becomes one.
    pub fn new(random_trace: u128, random_parent: u64) -> Self {
        Self {
            trace_id: random_trace.max(1),
            parent_id: random_parent.max(1),
            flags: 0,
        }
    }

    /// The same trace with another operation in it. Flags without a meaning are not passed on, as the specification
    /// demands.
    #[must_use]
    pub fn child(self, random_parent: u64) -> Self {
        Self {
            parent_id: random_parent.max(1),
            flags: self.flags & SAMPLED,
            ..self
        }
    }

    /// Whether its maker records it, and wants it recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value as it is stored with an event.
    pub fn to_text(self) -> Text {
        Text::from(self.to_string())
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.parent_id, self.flags
        )
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        // A later version may append fields after another dash; version ff is invalid.
        let shaped = bytes.len() == 55 || (bytes.len() > 55 && bytes[55] == b'-' && !text.starts_with("00"));
        if !shaped || !bytes[..55].is_ascii() || [bytes[2], bytes[35], bytes[52]] != [b'-'; 3] {
            return Err(TraceParentError);
        }
        let hex = |range: std::ops::Range<usize>| {
            let digits = &text[range];
            let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            lower
                .then(|| u128::from_str_radix(digits, 16).ok())
                .flatten()
                .ok_or(TraceParentError)
        };
        let narrow = |_| TraceParentError;
        if hex(0..2)? == 0xff {
            return Err(TraceParentError);
        }
        let trace_id = hex(3..35)?;
        let parent_id = u64::try_from(hex(36..52)?).map_err(narrow)?;
        let flags = u8::try_from(hex(53..55)?).map_err(narrow)?;
        if trace_id == 0 || parent_id == 0 {
            return Err(TraceParentError);
        }
        Ok(Self {
            trace_id,
            parent_id,
            flags,
        })
    }
}

/// The text is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent (W3C Trace Context): expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct TraceParentError;

//! What goes in and out of a subscriber.

use std::sync::Arc;

use shared::{Cursor, Entry, StreamName, Verdict};

use crate::{EphemeralEvent, From};

/// How entries of several streams are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By entry ID over all streams, as far as they are known at the moment: one merged tail.
    ByTime,
    /// Each stream on its own; one that catches up does not hold up the others.
    PerStream,
}

/// Bounds of one subscriber.
#[derive(Debug, Clone)]
pub struct SubscriberConfig {
    /// How entries of several streams are ordered.
    pub order: Order,
    /// Streams at the most.
    pub streams_max: usize,
    /// Whether it gets the ephemeral events of its streams too.
    pub ephemeral: bool,
}

/// What a subscription begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Where it begins: deliveries come after this position.
    pub cursor: Cursor,
    /// The head of the stream at that moment.
    pub head: Cursor,
    /// What was lost before the first delivery. A `gap` or `reset` found here is *also* delivered, first.
    pub verdict: Verdict,
}

impl Joined {
    /// The position that a client may resume from once it has seen this, which began where it `asked` to. Where something
    /// is missing that is the position it asked for, so that it is told again if it is cut off before the verdict
    /// reaches its place.
    pub fn resume_from(&self, asked: From) -> Cursor {
        match (self.verdict, asked) {
            (Verdict::Continuous, _) => self.cursor,
            (_, From::Cursor(asked)) => asked,
            (_, From::Start) => Cursor::START,
            (_, From::Now | From::Last(_) | From::Since(_)) => self.cursor,
        }
    }
}

/// What [`crate::Subscriber::next`] brings.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next event.
    Event(Arc<Entry>),
    /// An event that is not of the log, for whoever is there now; see [`crate::Log::send_ephemeral`].
    Ephemeral(Arc<EphemeralEvent>),
    /// So many events are gone; delivery goes on after `cursor`.
    Gap {
        /// In which stream.
        stream: StreamName,
        /// How many events.
        lost: u64,
        /// The position behind the gap.
        cursor: Cursor,
    },
    /// This is another history than the one that was delivered before; delivery goes on after `cursor`.
    Reset {
        /// In which stream.
        stream: StreamName,
        /// Where delivery goes on.
        cursor: Cursor,
    },
    /// The subscription began at a position without a count: whether something is missing before it goes on from
    /// `cursor` cannot be told.
    Unverified {
        /// In which stream.
        stream: StreamName,
        /// Where delivery goes on.
        cursor: Cursor,
    },
    /// Everything that was in the log has been delivered; from here on events are live. Once per subscription.
    CaughtUp {
        /// In which stream.
        stream: StreamName,
        /// Up to where.
        cursor: Cursor,
    },
    /// Events that the filter holds back were passed; resuming at `cursor` does not read them again.
    Passed {
        /// In which stream.
        stream: StreamName,
        /// Up to where.
        cursor: Cursor,
    },
    /// The log is away: nothing comes from this stream until it is [`Delivery::Restored`]. Once per outage; one that is
    /// over within [`shared::limits::OUTAGE_GRACE`] is not told.
    Degraded {
        /// Which stream.
        stream: StreamName,
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// The log is back and the stream was read again. For a subscription that was live it is live again: what was
    /// added meanwhile has been delivered. Only after [`Delivery::Degraded`].
    Restored {
        /// Which stream.
        stream: StreamName,
        /// Up to where it has been delivered.
        cursor: Cursor,
    },
    /// The subscription's `until` is reached; the stream has been removed from the subscriber.
    Ended {
        /// Which stream.
        stream: StreamName,
        /// Up to where.
        cursor: Cursor,
    },
}

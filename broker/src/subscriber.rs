//! placeholder
use crate::{Filter, From, Log, ReadError};
use shared::{Cursor, Entry, EntryId, StreamName, Verdict};
use std::sync::Arc;

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

/// What [`Subscriber::next`] brings.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next event.
    Event(Arc<Entry>),
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
    /// The subscription's `until` is reached; the stream has been removed from the subscriber.
    Ended {
        /// Which stream.
        stream: StreamName,
        /// Up to where.
        cursor: Cursor,
    },
}

/// A reader of one or many streams.
pub struct Subscriber {}

impl Subscriber {
    /// A subscriber without streams.
    pub fn new(_log: Arc<dyn Log>, _config: SubscriberConfig) -> Self {
        Self {}
    }

    /// Follows `stream` from `from` up to `until` (inclusive), through `filter`.
    ///
    /// If the stream is followed already it starts anew. On an error nothing has changed.
    pub async fn subscribe(
        &mut self,
        _stream: StreamName,
        _from: From,
        _until: Option<EntryId>,
        _filter: Filter,
    ) -> Result<Joined, ReadError> {
        unreachable!()
    }

    /// Stops following `stream`; `false` if it was not followed.
    pub fn unsubscribe(&mut self, _stream: &StreamName) -> bool {
        false
    }

    /// The streams that are followed, with the position up to which each has been delivered.
    pub fn positions(&self) -> impl Iterator<Item = (&StreamName, Cursor)> {
        std::iter::empty()
    }

    /// Waits until something can be delivered and appends it to `out`, as much as is there up to about
    /// `max_bytes`; what one call appends may go out in one write. Never returns with nothing appended.
    ///
    /// Cancel-safe: dropping the future loses nothing. While the log is away it waits, and goes on when the log is
    /// back. With no stream to follow it waits for ever.
    pub async fn next(&mut self, _max_bytes: usize, _out: &mut Vec<Delivery>) {
        std::future::pending().await
    }
}

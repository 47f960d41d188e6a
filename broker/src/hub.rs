//! placeholder
use shared::{Cursor, Entry, StreamName};
use std::sync::Arc;

/// How much recent history the hub keeps in memory.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Entries in one stream's ring.
    pub ring_entries_max: usize,
    /// Bytes in one stream's ring.
    pub ring_bytes_max: usize,
    /// Bytes in all rings together.
    pub rings_bytes_max: usize,
    /// Streams that are followed at the same time.
    pub streams_max: usize,
    /// How long a stream without subscribers is still followed.
    pub linger: std::time::Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        use shared::limits as l;
        Self {
            ring_entries_max: l::RING_ENTRIES_MAX,
            ring_bytes_max: l::RING_BYTES_MAX,
            rings_bytes_max: l::RINGS_BYTES_MAX,
            streams_max: l::STREAMS_TAILED_MAX,
            linger: l::STREAM_LINGER,
        }
    }
}

/// The side of an engine that the hub calls. Neither call may block.
pub trait Feed: Send + Sync + 'static {
    /// A stream has its first subscriber: find its head, [`Channel::open`] it, and [`Channel::publish`] what
    /// follows.
    fn watch(&self, channel: &Arc<Channel>);
    /// A stream has had no subscribers for a while: stop following it.
    fn unwatch(&self, channel: &Arc<Channel>);
}

/// All followed streams of one process.
pub struct Hub {}

impl Hub {
    /// A hub that asks `feed` for streams.
    pub fn new(_config: HubConfig, _feed: std::sync::Weak<dyn Feed>) -> Arc<Self> {
        Arc::new(Self {})
    }
}

/// One followed stream: its head, its ring of recent entries, and who waits for more.
pub struct Channel {}

impl Channel {
    /// The stream.
    pub fn stream(&self) -> &StreamName {
        unreachable!()
    }
    /// Up to where entries have been published to this channel; `None` until it is opened.
    pub fn head(&self) -> Option<Cursor> {
        None
    }
    /// Engine: the stream's head is at `head` now; entries after it will be published. Wakes whoever waits for it.
    pub fn open(&self, _head: Cursor) {}
    /// Engine: the entries that follow the head, in order and without a hole, ordinals known.
    pub fn publish(&self, _entries: &[Arc<Entry>]) {}
    /// Engine: what was published no longer joins what is in the log (trimmed past the head, deleted, re-created,
    /// rolled back, or the ordinals disagree). Following goes on from `head`. Every subscriber reads the log again
    /// from its own cursor and so finds its own verdict.
    pub fn invalidate(&self, _head: Cursor) {}
}

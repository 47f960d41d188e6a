//! The hub: on each process one [`Channel`] per followed stream, shared by all its subscribers.
//!
//! It owns which streams are followed, their rings of recent entries and the byte budget of all rings. It reads
//! nothing itself: an engine ([`Feed`]) publishes into the channels, and subscribers take from them at their own
//! pace. No subscriber has a queue here, so a slow one costs nothing.

mod bell;
mod channel;
mod history;
mod pages;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use shared::StreamName;
use shared::limits;

pub(crate) use bell::{Bell, Registration};
pub use channel::Channel;
pub(crate) use channel::{AheadMark, Epoch, Join, Lease, Pull, Sight};
pub(crate) use history::{Held, HistoryBudget};
pub(crate) use pages::Pages;

use crate::ReadError;

/// How much recent history the hub keeps in memory.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Entries in one stream's ring.
    pub ring_entries_max: usize,
    /// Bytes in one stream's ring.
    pub ring_bytes_max: usize,
    /// Bytes in all rings together.
    pub rings_bytes_max: usize,
    /// Bytes of older history that all readers who catch up hold together; beyond that each holds one entry.
    pub history_bytes_max: usize,
    /// Streams that are followed at the same time.
    pub streams_max: usize,
    /// How long an event of a stream with many events and subscribers waits at the most for those that follow it.
    pub gather_max: Duration,
    /// How long a stream without subscribers is still followed.
    pub linger: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            ring_entries_max: limits::RING_ENTRIES_MAX,
            ring_bytes_max: limits::RING_BYTES_MAX,
            rings_bytes_max: limits::RINGS_BYTES_MAX,
            history_bytes_max: limits::HISTORY_BYTES_MAX,
            streams_max: limits::STREAMS_TAILED_MAX,
            gather_max: limits::GATHER_MAX,
            linger: limits::STREAM_LINGER,
        }
    }
}

/// The side of an engine that the hub calls.
///
/// All calls are made under the hub's lock, so that they come in order: they must not block and must not call the
/// hub. They may call the channel.
pub trait Feed: Send + Sync + 'static {
    /// A stream has its first subscriber: find its head, [`Channel::open`] it, and [`Channel::publish`] what
    /// follows.
    fn watch(&self, channel: &Arc<Channel>);
    /// A stream has had no subscribers for a while: stop following it. A later `watch` of the same stream brings
    /// another channel.
    fn unwatch(&self, channel: &Arc<Channel>);
    /// A subscriber of a watched stream is the first to ask for ephemeral events:
    /// [`Channel::publish_ephemeral`] those that come, and say by [`Channel::listening`] as soon as they do, or as soon
    /// as it is clear that they cannot for the moment. Without an implementation none ever come.
    fn listen(&self, channel: &Arc<Channel>) {
        channel.listening();
    }
    /// Nobody asks for them any more.
    fn unlisten(&self, channel: &Arc<Channel>) {
        let _ = channel;
    }
}

/// Locks; a panic elsewhere while the lock was held leaves data that is still sound here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that all rings hold, against what they may hold.
#[derive(Debug)]
pub(crate) struct RingBudget {
    used_bytes: AtomicUsize,
    max_bytes: usize,
}

impl RingBudget {
    fn new(max_bytes: usize) -> Self {
        Self {
            used_bytes: AtomicUsize::new(0),
            max_bytes,
        }
    }

    fn add(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn exceeded(&self) -> bool {
        self.used_bytes.load(Ordering::Relaxed) > self.max_bytes
    }

    /// Above three quarters: idle rings are given up.
    fn tight(&self) -> bool {
        self.used_bytes.load(Ordering::Relaxed) > self.max_bytes / 4 * 3
    }
}

/// All followed streams of one process.
pub struct Hub {
    config: HubConfig,
    feed: Weak<dyn Feed>,
    budget: Arc<RingBudget>,
    history: Arc<HistoryBudget>,
    channels: Mutex<HashMap<StreamName, Arc<Channel>>>,
    pages: Pages,
}

impl Hub {
    /// A hub that asks `feed` for streams. It is weak because an engine owns its hub.
    pub fn new(config: HubConfig, feed: Weak<dyn Feed>) -> Arc<Self> {
        let budget = Arc::new(RingBudget::new(config.rings_bytes_max));
        let history = Arc::new(HistoryBudget::new(config.history_bytes_max));
        Arc::new(Self {
            config,
            feed,
            budget,
            history,
            channels: Mutex::default(),
            pages: Pages::default(),
        })
    }

    /// The channel of `stream` if it is followed.
    pub fn channel(&self, stream: &StreamName) -> Option<Arc<Channel>> {
        lock(&self.channels).get(stream).cloned()
    }

    /// All channels: what an engine reads once after it has lost its connection.
    pub fn channels(&self) -> Vec<Arc<Channel>> {
        lock(&self.channels).values().cloned().collect()
    }

    /// How many streams are followed.
    pub fn streams(&self) -> usize {
        lock(&self.channels).len()
    }

    /// Bytes of older history that readers who catch up hold, all of them together.
    pub fn history_bytes(&self) -> usize {
        self.history.held_bytes()
    }

    /// Gives up what nobody uses: streams without subscribers after their linger, and idle rings when memory gets
    /// tight. The engine calls it about once a second.
    pub fn sweep(&self) {
        let mut channels = lock(&self.channels);
        let tight = self.budget.tight();
        let mut degraded = 0_u32;
        channels.retain(|_, channel| {
            degraded += u32::from(channel.is_degraded());
            if tight {
                channel.drop_idle_ring();
            }
            let unused = channel.sweep(self.config.linger);
            let feed = || self.feed.upgrade();
            if unused.ephemerals
                && let Some(feed) = feed()
            {
                feed.unlisten(channel);
            }
            if unused.channel {
                channel.close();
                if let Some(feed) = feed() {
                    feed.unwatch(channel);
                }
            }
            !unused.channel
        });
        if channels.capacity() > 4 * channels.len() + 64 {
            channels.shrink_to_fit();
        }
        metrics::gauge!("weir_tail_streams").set(channels.len() as f64);
        metrics::gauge!("weir_degraded_streams").set(degraded);
        metrics::gauge!("weir_history_bytes").set(self.history_bytes() as f64);
        metrics::gauge!("weir_ring_bytes").set(self.budget.used_bytes.load(Ordering::Relaxed) as f64);
    }

    /// Adds a subscriber to the channel of `stream`; the stream is followed from now on if it was not. If the subscriber
    /// `listens`, so are its ephemeral events.
    pub(crate) fn attach(
        &self,
        stream: &StreamName,
        bell: &Arc<Bell>,
        slot: u32,
        listens: bool,
    ) -> Result<Attachment, ReadError> {
        let registration = Arc::new(Registration::new(bell.clone(), slot, listens));
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(stream) {
            return Ok(self.enter(channel.clone(), registration));
        }
        if channels.len() >= self.config.streams_max {
            return Err(ReadError::TooManyStreams(self.config.streams_max));
        }
        let (rings, history) = (self.budget.clone(), self.history.clone());
        let channel = Arc::new(Channel::new(stream.clone(), &self.config, rings, history));
        channels.insert(stream.clone(), channel.clone());
        if let Some(feed) = self.feed.upgrade() {
            feed.watch(&channel);
        }
        Ok(self.enter(channel, registration))
    }

    /// Call it under the lock, so that what the engine is told comes in order.
    fn enter(&self, channel: Arc<Channel>, registration: Arc<Registration>) -> Attachment {
        let listen = channel.register(registration.clone());
        if let (true, Some(feed)) = (listen, self.feed.upgrade()) {
            feed.listen(&channel);
        }
        Attachment {
            channel,
            registration,
        }
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }
}

/// A subscriber's place at a channel; dropping it leaves.
pub(crate) struct Attachment {
    pub(crate) channel: Arc<Channel>,
    pub(crate) registration: Arc<Registration>,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.channel.deregister(&self.registration);
    }
}

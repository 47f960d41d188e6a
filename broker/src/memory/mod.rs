//! The in-memory engine: the log of a process that was given no Redis. It lives and dies with the process.
//!
//! Streams behave as Redis streams do: the same IDs, counts, verdicts and errors. Each has one lock, and everything
//! that is said about a stream is said within it.
//!
//! The log is bounded and keeps what is newest. When its bytes are used up, the streams that hold the most lose
//! their oldest entries (and those entries' idempotency keys), down to a common level; readers of those are told a
//! gap, as after any trimming. Appending goes on, so [`AppendError::Full`] means that one event alone is more than
//! an eighth of the whole log, or that there are as many streams as there may be: a stream is never dropped for
//! another.

mod clock;
mod edges;
mod history;
mod keys;
mod maintenance;
mod page;
mod room;
mod sessions;
mod slot;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Instant;

use async_trait::async_trait;
use shared::limits::{
    APPEND_BATCH_ENTRIES_MAX, HUB_SWEEP_INTERVAL, MEMORY_ENGINE_BYTES_MAX, MEMORY_ENGINE_SESSIONS_MAX,
    MEMORY_ENGINE_STREAMS_MAX, MEMORY_ENGINE_SWEEP_PAUSE,
};
use shared::{Event, StreamName};
use tokio_util::task::AbortOnDropHandle;

use crate::hub::lock;
use crate::{
    AppendError, Channel, Edges, EphemeralError, Feed, Hub, HubConfig, Limits, Log, NewEvent, Page,
    ReadError, ReadRequest, Receipt, RetentionRules, Sessions, Unavailable, ephemeral,
};
pub use clock::MemoryClock;
use clock::Now;
pub use edges::MemoryEdges;
pub use maintenance::MemorySnapshot;
pub use sessions::MemorySessions;
use slot::Slot;

/// One event may be this part of the log's bytes at the most.
const EVENT_DIVISOR: usize = 8;

/// Settings of the in-memory engine.
#[derive(Debug, Clone)]
pub struct MemoryConfig {
    /// Limits on appends.
    pub limits: Limits,
    /// What is kept.
    pub retention: RetentionRules,
    /// The live side.
    pub hub: HubConfig,
    /// Bytes over all streams; the default is [`shared::limits::MEMORY_ENGINE_BYTES_MAX`].
    pub bytes_max: usize,
    /// Streams; the default is [`shared::limits::MEMORY_ENGINE_STREAMS_MAX`].
    pub streams_max: usize,
    /// Session records; the default is [`shared::limits::MEMORY_ENGINE_SESSIONS_MAX`].
    pub sessions_max: usize,
    /// What tells the time.
    pub clock: MemoryClock,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retention: RetentionRules::default(),
            hub: HubConfig::default(),
            bytes_max: MEMORY_ENGINE_BYTES_MAX,
            streams_max: MEMORY_ENGINE_STREAMS_MAX,
            sessions_max: MEMORY_ENGINE_SESSIONS_MAX,
            clock: MemoryClock::SYSTEM,
        }
    }
}

/// The in-memory engine.
pub struct MemoryLog {
    limits: Limits,
    retention: RetentionRules,
    bytes_max: usize,
    streams_max: usize,
    clock: MemoryClock,
    hub: Arc<Hub>,
    records: MemorySessions,
    sessions: Arc<dyn Sessions>,
    edges: Arc<dyn Edges>,
    slots: RwLock<HashMap<StreamName, Arc<Mutex<Slot>>>>,
    /// What all slots cost together.
    bytes: AtomicUsize,
    /// Streams that exist.
    streams: AtomicUsize,
    /// Appends so far.
    turns: AtomicU64,
    /// Held by whoever makes room.
    making_room: Mutex<()>,
    told_full: AtomicBool,
    _sweeper: Option<AbortOnDropHandle<()>>,
}

impl MemoryLog {
    /// An empty log. Within a Tokio runtime it sweeps out what has expired by itself; elsewhere, or at a time of the
    /// caller's choice, [`MemoryLog::sweep`] does.
    pub fn new(config: MemoryConfig) -> Arc<Self> {
        let records = MemorySessions::new(config.clock.clone(), config.sessions_max);
        Arc::new_cyclic(|log: &Weak<Self>| Self {
            sessions: Arc::new(records.clone()),
            records,
            edges: Arc::new(MemoryEdges::new(config.clock.clone())),
            limits: config.limits,
            retention: config.retention,
            bytes_max: config.bytes_max,
            streams_max: config.streams_max,
            clock: config.clock,
            hub: Hub::new(config.hub, Weak::clone(log) as Weak<dyn Feed>),
            slots: RwLock::default(),
            bytes: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            turns: AtomicU64::new(0),
            making_room: Mutex::new(()),
            told_full: AtomicBool::new(false),
            _sweeper: tokio::runtime::Handle::try_current()
                .ok()
                .map(|runtime| AbortOnDropHandle::new(runtime.spawn(sweep_for_ever(Weak::clone(log))))),
        })
    }

    /// Bytes that all streams cost together, as they are counted against the bound.
    pub fn bytes_used(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Lets go everything that has expired. Nothing expired is ever read or counted; this frees its memory.
    pub fn sweep(&self) {
        self.records.sweep();
        for slot in self.all_slots() {
            self.access(&slot, |_| ());
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            let mut slot = lock(slot);
            slot.retired = slot.is_vacant();
            !slot.retired
        });
    }

    fn now(&self) -> Now {
        Now {
            ms: self.clock.now_ms(),
            turn: self.turns.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn all_slots(&self) -> Vec<Arc<Mutex<Slot>>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.values().cloned().collect()
    }

    fn find(&self, stream: &StreamName) -> Option<Arc<Mutex<Slot>>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(stream).cloned()
    }

    fn find_or_create(&self, stream: &StreamName) -> Arc<Mutex<Slot>> {
        if let Some(slot) = self.find(stream) {
            return slot;
        }
        let retention = self.retention.of(stream).clone();
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Mutex::new(Slot::new(stream.clone(), retention)));
        Arc::clone(slots.entry(stream.clone()).or_insert_with(new))
    }

    /// Runs `work` within the lock of `stream`, whether the stream exists or not.
    fn with_slot<T>(&self, stream: &StreamName, work: impl FnOnce(&mut Slot) -> T) -> T {
        let mut work = Some(work);
        loop {
            let slot = self.find_or_create(stream);
            let done = self.access(&slot, |slot| work.take().map(|work| work(slot)));
            if let Some(done) = done.flatten() {
                return done;
            }
        }
    }

    /// Runs `work` within the lock of `stream` if there is anything under that name.
    fn with_existing<T>(&self, stream: &StreamName, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        // A slot that was retired meanwhile held nothing.
        let slot = self.find(stream)?;
        self.access(&slot, work)
    }

    /// The one way to a slot: locks it, lets go what has expired, and keeps the books. `None`: it was retired.
    fn access<T>(&self, slot: &Mutex<Slot>, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slot = lock(slot);
        if slot.retired {
            return None;
        }
        let (bytes, streams) = (slot.bytes(), usize::from(slot.history.is_some()));
        slot.expire(self.clock.now_ms(), &self.limits);
        let done = work(&mut slot);
        settle(&self.bytes, bytes, slot.bytes());
        settle(&self.streams, streams, usize::from(slot.history.is_some()));
        Some(done)
    }

    /// Refuses one event.
    fn admit(&self, event: &Event) -> Result<(), AppendError> {
        let (size_bytes, limit_bytes) = (event.size_bytes(), self.limits.event_bytes_max);
        if size_bytes > limit_bytes {
            return Err(AppendError::TooLarge {
                size_bytes,
                limit_bytes,
            });
        }
        if size_bytes > self.bytes_max / EVENT_DIVISOR {
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// Refuses to create one stream too many.
    fn admit_stream(&self, slot: &Slot) -> Result<(), AppendError> {
        if slot.history.is_none() && self.streams.load(Ordering::Relaxed) >= self.streams_max {
            return Err(AppendError::Full);
        }
        Ok(())
    }
}

/// Carries a change from `before` to `after` over into `sum`.
fn settle(sum: &AtomicUsize, before: usize, after: usize) {
    if after >= before {
        sum.fetch_add(after - before, Ordering::Relaxed);
    } else {
        sum.fetch_sub(before - after, Ordering::Relaxed);
    }
}

/// Once a second the hub lets go what nobody follows, more rarely the log what has expired.
async fn sweep_for_ever(log: Weak<MemoryLog>) {
    let mut swept_at = Instant::now();
    loop {
        tokio::time::sleep(HUB_SWEEP_INTERVAL).await;
        let Some(log) = log.upgrade() else { return };
        log.hub.sweep();
        if swept_at.elapsed() >= MEMORY_ENGINE_SWEEP_PAUSE {
            log.sweep();
            swept_at = Instant::now();
        }
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        let mut results = Vec::with_capacity(events.len());
        let mut events = events.into_iter();
        while events.len() > 0 {
            // Nothing here ever waits, so a busy publisher yields of its own accord.
            tokio::task::consume_budget().await;
            let batch = events.by_ref().take(APPEND_BATCH_ENTRIES_MAX);
            let now = self.now();
            results.extend(self.with_slot(stream, |slot| {
                let new_stream = self.admit_stream(slot);
                slot.append(batch, now, |event| {
                    new_stream.clone().and_then(|()| self.admit(event))
                })
            }));
            self.make_room();
        }
        Ok(Receipt::ready(results))
    }

    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        tokio::task::consume_budget().await;
        let page = self.with_existing(stream, |slot| page::read(slot.history.as_mut(), request));
        Ok(page.unwrap_or_else(|| page::read(None, request)))
    }

    fn send_ephemeral(&self, stream: &StreamName, event: Event) -> Result<(), EphemeralError> {
        ephemeral::admit(&event)?;
        if let Some(channel) = self.hub.channel(stream) {
            channel.publish_ephemeral(slot::as_stored(event));
        }
        Ok(())
    }

    fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }

    fn edges(&self) -> &Arc<dyn Edges> {
        &self.edges
    }

    async fn check(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Feed for MemoryLog {
    fn watch(&self, channel: &Arc<Channel>) {
        self.with_slot(channel.stream(), |slot| slot.watch(channel));
    }

    fn unwatch(&self, channel: &Arc<Channel>) {
        self.with_existing(channel.stream(), |slot| slot.unwatch(channel));
    }
}

//! One followed stream: its head, the ring of its most recent entries, its ephemeral events, and who waits for more.
//!
//! The ring holds consecutive entries with ordinals, from just after `floor` up to `head`. An entry's place in it is
//! a running number, so a live subscriber is nothing but the number of the entry it wants next. Whenever what was
//! published no longer joins the log, the ring is emptied and the numbers jump, which sends every subscriber to the
//! log, where it finds the verdict that is right for its own cursor.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::{Cursor, Entry, Event, Ordinal, StreamName};
use tokio::sync::Notify;

use super::ephemerals::Ephemerals;
use super::{HubConfig, Registration, RingBudget, lock};
use crate::EphemeralEvent;

/// A ring that was idle this long is given up when memory gets tight.
const RING_IDLE: Duration = Duration::from_secs(10);
/// Numbers start here, so that entries can be put in front.
const FIRST_NUMBER: u64 = 1 << 40;

/// One followed stream.
pub struct Channel {
    stream: StreamName,
    entries_max: usize,
    bytes_max: usize,
    budget: Arc<RingBudget>,
    state: Mutex<State>,
    opened: Notify,
    /// Lets one near miss of the ring at a time read from the log; the others then find what it put in front.
    pub(crate) backfill: tokio::sync::Mutex<()>,
}

struct State {
    head: Option<Cursor>,
    floor: Cursor,
    ring: VecDeque<Arc<Entry>>,
    ring_bytes: usize,
    /// The running number of `ring[0]`.
    base: u64,
    /// How often what was published turned out not to join the log.
    epoch: Epoch,
    /// Everybody who is subscribed, those that ask for ephemeral events first.
    waiting: Vec<Arc<Registration>>,
    /// How many of them ask for ephemeral events.
    listeners: usize,
    /// Set while the engine listens for ephemeral events.
    ephemerals: Option<Box<Ephemerals>>,
    unattended_since: Instant,
    published_at: Instant,
    closed: bool,
}

/// What a sweep has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unused {
    /// The engine is to stop listening for ephemeral events.
    pub(super) ephemerals: bool,
    /// Nobody has been subscribed for long enough.
    pub(super) channel: bool,
}

/// The time between two invalidations of a channel: what was read from the log in one may belong to another history
/// than what is in the ring in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Epoch(u64);

/// The outcome of [`Channel::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Join {
    /// The number of the entry that comes next.
    pub(crate) number: u64,
    /// The ordinal of the position that was asked about, as far as the channel knows it.
    pub(crate) ordinal: Option<Ordinal>,
}

/// The outcome of [`Channel::pull`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Entries were taken (or there were none); go on at `number`.
    Taken {
        /// The number of the entry that comes next.
        number: u64,
        /// Whether that was all there is.
        drained: bool,
    },
    /// The ring no longer holds the entry: read the log.
    Behind,
}

impl Channel {
    pub(super) fn new(stream: StreamName, config: &HubConfig, budget: Arc<RingBudget>) -> Self {
        let now = Instant::now();
        let state = State {
            head: None,
            floor: Cursor::START,
            ring: VecDeque::new(),
            ring_bytes: 0,
            base: FIRST_NUMBER,
            epoch: Epoch(0),
            waiting: Vec::new(),
            listeners: 0,
            ephemerals: None,
            unattended_since: now,
            published_at: now,
            closed: false,
        };
        Self {
            stream,
            entries_max: config.ring_entries_max.max(1),
            bytes_max: config.ring_bytes_max,
            budget,
            state: Mutex::new(state),
            opened: Notify::new(),
            backfill: tokio::sync::Mutex::default(),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Up to where entries have been published to this channel; `None` until it is opened.
    pub fn head(&self) -> Option<Cursor> {
        lock(&self.state).head
    }

    /// Whether the hub has given this channel up; the engine has been or is being told by `unwatch`.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Engine: the stream's head is at `head` now; entries after it will be published. Wakes whoever waits for
    /// that. A channel that is open already is [`invalidate`](Self::invalidate)d.
    pub fn open(&self, head: Cursor) {
        self.invalidate(head);
        self.opened.notify_waiters();
    }

    /// Engine: what was published no longer joins what is in the log (trimmed past the head, deleted, re-created,
    /// rolled back, or the ordinals disagree). Following goes on from `head`. Every subscriber reads the log again
    /// from its own cursor and so finds its own verdict.
    pub fn invalidate(&self, head: Cursor) {
        let mut state = lock(&self.state);
        self.empty(&mut state);
        // No number from before may be that of an entry again, also not when entries are put in front of the ring.
        state.base += self.entries_max as u64 + 1;
        state.epoch = Epoch(state.epoch.0 + 1);
        state.head = Some(head);
        state.floor = head;
        ring_all(&state);
    }

    /// Engine: the entries that follow the head, in order and without a hole, ordinals known.
    pub fn publish(&self, entries: &[Arc<Entry>]) {
        let Some(last) = entries.last() else { return };
        let mut state = lock(&self.state);
        debug_assert!(
            state.head.is_some_and(|head| head.id < entries[0].id()),
            "publish joins the head"
        );
        for entry in entries {
            let cost_bytes = entry.cost_bytes();
            state.ring.push_back(entry.clone());
            state.ring_bytes += cost_bytes;
            self.budget.add(cost_bytes);
            while self.overfull(&state) {
                self.pop_front(&mut state);
            }
        }
        state.head = Some(last.cursor);
        state.published_at = Instant::now();
        ring_all(&state);
    }

    /// Engine: an ephemeral event of this stream has come. Subscribers that ask for such events are woken.
    pub fn publish_ephemeral(&self, event: Event) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        if let (Some(ephemerals), 1..) = (&mut state.ephemerals, state.listeners) {
            ephemerals.push(Arc::new(EphemeralEvent::new(self.stream.clone(), event)));
            for registration in &state.waiting[..state.listeners] {
                registration.ring();
            }
        }
    }

    /// Engine: ephemeral events come from now on, or it has turned out that they cannot for the moment. Wakes whoever
    /// waits for that.
    pub fn listening(&self) {
        if let Some(ephemerals) = &mut lock(&self.state).ephemerals {
            ephemerals.arranged = true;
        }
        self.opened.notify_waiters();
    }

    /// Waits for that. Cancel-safe.
    pub(crate) async fn arranged(&self) {
        loop {
            let told = self.opened.notified();
            let arranged = |ephemerals: &Ephemerals| ephemerals.arranged;
            if lock(&self.state).ephemerals.as_deref().is_none_or(arranged) {
                return;
            }
            told.await;
        }
    }

    /// The number of the ephemeral event that comes next.
    pub(crate) fn ephemeral_end(&self) -> u64 {
        let end = |ephemerals: &Ephemerals| ephemerals.end();
        lock(&self.state).ephemerals.as_deref().map_or(0, end)
    }

    /// Takes the ephemeral events from `number` on that fit into `bytes_max`, the newest if there are more. Returns the
    /// number to go on at.
    pub(crate) fn pull_ephemeral(
        &self,
        number: u64,
        bytes_max: usize,
        take: impl FnMut(&Arc<EphemeralEvent>),
    ) -> u64 {
        let state = lock(&self.state);
        let Some(ephemerals) = &state.ephemerals else {
            return number;
        };
        ephemerals.since(number, bytes_max).for_each(take);
        ephemerals.end()
    }

    /// Waits until the channel is open. Cancel-safe.
    pub(crate) async fn opened(&self) -> Cursor {
        loop {
            let opened = self.opened.notified();
            if let Some(head) = self.head() {
                return head;
            }
            opened.await;
        }
    }

    /// What a read of the log that begins now belongs to.
    pub(crate) fn epoch(&self) -> Epoch {
        lock(&self.state).epoch
    }

    /// Finds the place of `cursor` in the ring, so that a subscriber can go on from there without reading the log.
    ///
    /// A cursor that has come out of the log by a read that began in this `read_in` may also lie between entries,
    /// beyond the head, or be without an ordinal. Any other must be an entry of the ring with its very ordinal:
    /// everything else is for the log to judge. An ordinal below the channel's means that something was lost. One above
    /// it means that another edge has told the reader of a loss that this one has yet to find, of entries which the
    /// ring may still hold; or that the ring is of another history by now.
    pub(crate) fn join(&self, cursor: Cursor, read_in: Option<Epoch>) -> Option<Join> {
        let state = lock(&self.state);
        let head = state.head?;
        let trusted = read_in == Some(state.epoch);
        if cursor.id < state.floor.id || (cursor.id > head.id && !trusted) {
            return None;
        }
        let index = state.ring.partition_point(|entry| entry.id() <= cursor.id);
        let before = if index == 0 {
            state.floor
        } else {
            state.ring[index - 1].cursor
        };
        if cursor.id > head.id {
            return Some(Join {
                number: state.base + index as u64,
                ordinal: cursor.ordinal,
            });
        }
        if !trusted && (before != cursor || cursor.ordinal.is_none()) {
            return None;
        }
        if cursor.ordinal.is_some() && cursor.ordinal < before.ordinal {
            return None;
        }
        Some(Join {
            number: state.base + index as u64,
            ordinal: cursor.ordinal.or(before.ordinal),
        })
    }

    /// Takes entries from `number` on, up to about `bytes_max` of data (at least one).
    pub(crate) fn pull(&self, number: u64, bytes_max: usize, mut take: impl FnMut(&Arc<Entry>)) -> Pull {
        let state = lock(&self.state);
        let Some(start) = number.checked_sub(state.base) else {
            return Pull::Behind;
        };
        let end = state.ring.len();
        let mut index = usize::try_from(start).unwrap_or(end).min(end);
        let mut bytes = 0;
        while index < end && bytes < bytes_max {
            let entry = &state.ring[index];
            bytes += entry.event.size_bytes();
            take(entry);
            index += 1;
        }
        Pull::Taken {
            number: state.base + index as u64,
            drained: index == end,
        }
    }

    /// How many entries lie between `ordinal` and the first entry of the ring, if `ordinal` is older.
    pub(crate) fn distance_below(&self, ordinal: Ordinal) -> Option<u64> {
        let state = lock(&self.state);
        state.head?;
        state
            .floor
            .ordinal
            .and_then(|floor| floor.0.checked_sub(ordinal.0))
            .filter(|d| *d > 0)
    }

    /// Entries that a backfill may put in front of the ring: half of it, the rest is for what comes.
    pub(crate) fn backfill_entries_max(&self) -> usize {
        self.entries_max / 2
    }

    /// Puts entries that were read from the log after `from` in front of the ring, where they join it and as many
    /// as there is room for, so that the next who resumes there need not read them.
    pub(crate) fn extend_back(&self, from: Cursor, entries: &[Arc<Entry>]) {
        let mut state = lock(&self.state);
        if state.head.is_none() || from.ordinal.is_none() {
            return;
        }
        let end = entries.partition_point(|entry| entry.id() <= state.floor.id);
        // The floor must be the last of them, with the same ordinal: only then nothing is between them and the ring.
        if end == 0 || entries[end - 1].cursor != state.floor {
            return;
        }
        for index in (0..end).rev() {
            let entry = &entries[index];
            let cost_bytes = entry.cost_bytes();
            let full = state.ring.len() >= self.backfill_entries_max()
                || state.ring_bytes + cost_bytes > self.bytes_max / 2
                || self.budget.tight();
            if full {
                return;
            }
            state.ring.push_front(entry.clone());
            state.ring_bytes += cost_bytes;
            self.budget.add(cost_bytes);
            state.base -= 1;
            state.floor = if index == 0 {
                from
            } else {
                entries[index - 1].cursor
            };
        }
    }

    /// Lets go ephemeral events that nobody has taken in time, and says what nobody needs any more.
    pub(super) fn sweep(&self, linger: Duration) -> Unused {
        let mut state = lock(&self.state);
        if state.listeners > 0 {
            state.ephemerals.iter_mut().for_each(|e| e.sweep());
            return Unused::default();
        }
        Unused {
            ephemerals: state.ephemerals.take().is_some(),
            channel: state.waiting.is_empty() && state.unattended_since.elapsed() >= linger,
        }
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// Empties a ring to which nothing was published for a while.
    pub(super) fn drop_idle_ring(&self) {
        let mut state = lock(&self.state);
        let (Some(head), true) = (state.head, state.published_at.elapsed() >= RING_IDLE) else {
            return;
        };
        self.empty(&mut state);
        state.floor = head;
    }

    /// Adds a subscriber. Returns whether the engine has to begin to listen for ephemeral events.
    pub(super) fn register(&self, registration: Arc<Registration>) -> bool {
        let mut state = lock(&self.state);
        let listens = registration.listens();
        let last = state.waiting.len();
        state.waiting.push(registration);
        state.place(last);
        if !listens {
            return false;
        }
        let listeners = state.listeners;
        state.swap(last, listeners);
        state.listeners += 1;
        let begin = state.ephemerals.is_none();
        state.ephemerals.get_or_insert_default();
        begin
    }

    pub(super) fn deregister(&self, registration: &Arc<Registration>) {
        let mut state = lock(&self.state);
        let mut place = registration.place.load(Ordering::Relaxed) as usize;
        if registration.listens() {
            state.listeners -= 1;
            let last_listener = state.listeners;
            state.swap(place, last_listener);
            place = last_listener;
        }
        state.waiting.swap_remove(place);
        state.place(place);
        if state.waiting.is_empty() {
            state.unattended_since = Instant::now();
            state.waiting = Vec::new();
        }
    }

    fn overfull(&self, state: &State) -> bool {
        state.ring.len() > self.entries_max
            || (state.ring.len() > 1 && (state.ring_bytes > self.bytes_max || self.budget.exceeded()))
    }

    fn pop_front(&self, state: &mut State) {
        if let Some(entry) = state.ring.pop_front() {
            let cost_bytes = entry.cost_bytes();
            state.ring_bytes -= cost_bytes;
            self.budget.remove(cost_bytes);
            state.base += 1;
            state.floor = entry.cursor;
        }
    }

    /// Drops all entries; the numbers go on behind them.
    fn empty(&self, state: &mut State) {
        self.budget.remove(state.ring_bytes);
        state.ring_bytes = 0;
        state.base += state.ring.len() as u64;
        state.ring = VecDeque::new();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        self.empty(&mut state);
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("stream", &self.stream)
            .field("head", &self.head())
            .finish()
    }
}

impl State {
    /// Exchanges two subscribers.
    fn swap(&mut self, a: usize, b: usize) {
        if a != b {
            self.waiting.swap(a, b);
            self.place(a);
            self.place(b);
        }
    }

    /// Tells the subscriber at `index`, if there is one, where it is.
    fn place(&self, index: usize) {
        if let (Some(registration), Ok(place)) = (self.waiting.get(index), u32::try_from(index)) {
            registration.place.store(place, Ordering::Relaxed);
        }
    }
}

fn ring_all(state: &State) {
    for registration in &state.waiting {
        registration.ring();
    }
}

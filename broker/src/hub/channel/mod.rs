//! One followed stream: its head, the ring of its most recent entries, its ephemeral events, and who waits for more.
//!
//! The ring holds consecutive entries with ordinals, from just after `floor` up to `head`. An entry's place in it is
//! a running number, so a live subscriber is nothing but the number of the entry it wants next. Whenever what was
//! published no longer joins the log, the ring is emptied and the numbers jump, which sends every subscriber to the
//! log, where it finds the verdict that is right for its own cursor.

//!
//! | module | owns |
//! |---|---|
//! | [`ring`] | the ring of recent entries, and who finds its place in it |
//! | [`ahead`] | who has read further in the log than the engine has published |
//! | [`waiting`] | who is subscribed |
//! | [`gather`] | when subscribers are told what was published |
//! | [`ephemeral`] | ephemeral events |
//! | [`outage`] | whether the log is away |
//! | [`recall`] | pages out of the ring while it is |

mod ahead;
mod ephemeral;
mod gather;
mod outage;
mod recall;
mod ring;
mod waiting;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::{Cursor, Entry, StreamName};
use tokio::sync::Notify;

use super::{HistoryBudget, HubConfig, Registration, RingBudget, lock};
use ahead::Ahead;
pub(crate) use ahead::AheadMark;
use ephemeral::Ephemerals;
use gather::Gather;
pub(crate) use outage::Sight;
pub(crate) use ring::{Epoch, Join, Pull};

/// A ring that was idle this long is given up when memory gets tight.
const RING_IDLE: Duration = Duration::from_secs(10);
/// Numbers start here, so that entries can be put in front.
const FIRST_NUMBER: u64 = 1 << 40;

/// One followed stream.
pub struct Channel {
    stream: StreamName,
    entries_max: usize,
    bytes_max: usize,
    gather_max: Duration,
    budget: Arc<RingBudget>,
    /// What its readers may hold of the log.
    pub(crate) history: Arc<HistoryBudget>,
    state: Mutex<State>,
    /// The number of the ephemeral event that comes next, so that nobody needs to look who has them all.
    ephemeral_end: AtomicU64,
    /// A [`Sight`], changed under the lock and looked at without it.
    sight: AtomicU32,
    opened: Notify,
    /// Lets one near miss of the ring at a time read from the log; the others then find what it put in front.
    pub(crate) backfill: tokio::sync::Mutex<()>,
}

struct State {
    head: Option<Cursor>,
    /// Who may publish.
    lease: Lease,
    floor: Cursor,
    ring: VecDeque<Arc<Entry>>,
    ring_bytes: usize,
    /// The running number of `ring[0]`.
    base: u64,
    /// How often what was published turned out not to join the log.
    epoch: Epoch,
    ahead: Ahead,
    gather: Gather,
    /// Everybody who is subscribed, those that ask for ephemeral events first.
    waiting: Vec<Arc<Registration>>,
    /// How many of them ask for ephemeral events.
    listeners: usize,
    /// Set while the engine listens for ephemeral events.
    ephemerals: Option<Box<Ephemerals>>,
    unattended_since: Instant,
    published_at: Instant,
    /// Since when sight of the stream has been lost, if it is: milliseconds since the Unix epoch.
    lost_since_ms: u64,
    closed: bool,
}

/// The right to publish to a channel; see [`Channel::lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lease(u32);

/// What a sweep has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unused {
    /// The engine is to stop listening for ephemeral events.
    pub(super) ephemerals: bool,
    /// Nobody has been subscribed for long enough.
    pub(super) channel: bool,
}

impl Channel {
    pub(super) fn new(
        stream: StreamName,
        config: &HubConfig,
        budget: Arc<RingBudget>,
        history: Arc<HistoryBudget>,
    ) -> Self {
        let now = Instant::now();
        let state = State {
            head: None,
            lease: Lease::default(),
            floor: Cursor::START,
            ring: VecDeque::new(),
            ring_bytes: 0,
            base: FIRST_NUMBER,
            epoch: Epoch::default(),
            ahead: Ahead::default(),
            gather: Gather::default(),
            waiting: Vec::new(),
            listeners: 0,
            ephemerals: None,
            unattended_since: now,
            published_at: now,
            lost_since_ms: 0,
            closed: false,
        };
        Self {
            stream,
            entries_max: config.ring_entries_max.max(1),
            bytes_max: config.ring_bytes_max,
            gather_max: config.gather_max,
            budget,
            history,
            state: Mutex::new(state),
            ephemeral_end: AtomicU64::new(0),
            sight: AtomicU32::new(0),
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

    /// Engine: from now on nobody but the holder of this lease publishes to the channel by one; everything by an earlier
    /// one is left out. Also brings the head, from which the holder goes on.
    ///
    /// So a channel can pass from one publisher to another without either waiting for the other.
    pub(crate) fn lease(&self) -> (Lease, Option<Cursor>) {
        let mut state = lock(&self.state);
        state.lease = Lease(state.lease.0.wrapping_add(1));
        (state.lease, state.head)
    }

    /// [`Channel::open`] by the holder of a lease.
    pub(crate) fn open_by(&self, lease: Lease, head: Cursor) {
        self.invalidate_by(lease, head);
        self.opened.notify_waiters();
    }

    /// [`Channel::invalidate`] by the holder of a lease.
    pub(crate) fn invalidate_by(&self, lease: Lease, head: Cursor) {
        let mut state = lock(&self.state);
        if state.lease == lease {
            self.begin_anew(&mut state, head);
        }
    }

    /// [`Channel::publish`] by the holder of a lease.
    pub(crate) fn publish_by(self: &Arc<Self>, lease: Lease, entries: &[Arc<Entry>]) {
        let mut state = lock(&self.state);
        if state.lease == lease {
            self.publish_to(&mut state, entries);
        }
    }

    /// Engine: what was published no longer joins what is in the log (trimmed past the head, deleted, re-created,
    /// rolled back, or the ordinals disagree). Following goes on from `head`. Every subscriber reads the log again
    /// from its own cursor and so finds its own verdict.
    pub fn invalidate(&self, head: Cursor) {
        self.begin_anew(&mut lock(&self.state), head);
    }

    fn begin_anew(&self, state: &mut State, head: Cursor) {
        self.empty(state);
        state.ahead.clear();
        // No number from before may be that of an entry again, also not when entries are put in front of the ring.
        state.base += self.entries_max as u64 + 1;
        state.epoch.end();
        state.head = Some(head);
        state.floor = head;
        state.ring_all();
    }

    /// Engine: the entries that follow the head, in order and without a hole, ordinals known.
    pub fn publish(self: &Arc<Self>, entries: &[Arc<Entry>]) {
        self.publish_to(&mut lock(&self.state), entries);
    }

    fn publish_to(self: &Arc<Self>, state: &mut State, entries: &[Arc<Entry>]) {
        let Some(last) = entries.last() else { return };
        debug_assert!(
            state.head.is_some_and(|head| head.id < entries[0].id()),
            "publish joins the head"
        );
        if !state.ahead.agrees(entries) {
            // Some reader has read another history; whose, the log knows.
            return self.begin_anew(state, last.cursor);
        }
        let mut bytes = 0;
        for entry in entries {
            let cost_bytes = entry.cost_bytes();
            bytes += cost_bytes;
            state.ring.push_back(entry.clone());
            state.ring_bytes += cost_bytes;
            self.budget.add(cost_bytes);
            while self.overfull(state) {
                self.pop_front(state);
            }
        }
        state.head = Some(last.cursor);
        self.tell(state, entries.len(), bytes, Instant::now());
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

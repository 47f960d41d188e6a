//! One reader of one or many streams: joins history to live, reads at its own pace, tells every verdict.
//!
//! A subscriber holds a position per stream and, while it catches up, at most two pages of entries for it. Live it
//! holds nothing: it takes entries from the [`crate::Channel`]'s ring when its reader asks for more. When the reader
//! is so slow that the ring has moved on, the subscriber pages through the log until it reaches the ring again.
//!
//! Sockets are many, and most of them wait: an idle subscriber of one stream takes about half a kilobyte
//! (`tests/idle_subscribers.rs`). So there are lists and not maps, what few have is boxed, and buffers go when they are
//! empty.

mod delivery;
mod fetch;
mod slot;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use shared::limits::{EPHEMERAL_LISTEN_WAIT, READ_TIMEOUT};
use shared::{Cursor, EntryId, StreamName, time};

pub use delivery::{Delivery, Joined, Order, SubscriberConfig};
use slot::{Slot, Step};
use tokio::time::{Instant, Sleep};

use crate::hub::Bell;
use crate::{Filter, From, Log, ReadError, Unavailable};

/// A stream whose `until` lies this far back by this machine's clock has ended: clocks differ a little.
const UNTIL_GRACE: Duration = Duration::from_secs(1);

/// So many slots take no room for further ones.
const SLOTS_EXACT_MAX: usize = 4;
/// So many places in the list of ready slots are kept by an idle subscriber.
const READY_KEPT_MAX: usize = 4;

/// A reader of one or many streams.
pub struct Subscriber {
    log: Arc<dyn Log>,
    config: SubscriberConfig,
    bell: Arc<Bell>,
    /// What a stream is registered under is its place in here.
    slots: Vec<Option<Box<Slot>>>,
    /// How many of the slots are taken.
    followed: usize,
    /// How many of them have an `until`.
    bounded: usize,
    /// Slots that may have something to deliver, each at most once.
    ready: VecDeque<u32>,
    /// Whether the last deliveries ended because there were enough of them.
    full: bool,
    /// Goes off when the first `until` is reached; there while some stream has one.
    until_timer: Option<Pin<Box<Sleep>>>,
}

impl Subscriber {
    /// A subscriber without streams.
    pub fn new(log: Arc<dyn Log>, config: SubscriberConfig) -> Self {
        Self {
            log,
            config,
            bell: Arc::default(),
            slots: Vec::new(),
            followed: 0,
            bounded: 0,
            ready: VecDeque::new(),
            full: false,
            until_timer: None,
        }
    }

    /// Follows `stream` from `from` up to `until` (inclusive), through `filter`.
    ///
    /// If the stream is followed already it starts anew. On an error, or if the future is dropped, nothing has
    /// changed. A gap, a reset or an unverified start is in the answer and is also delivered, first.
    pub async fn subscribe(
        &mut self,
        stream: StreamName,
        from: From,
        until: Option<EntryId>,
        filter: Filter,
    ) -> Result<Joined, ReadError> {
        if self.followed >= self.config.streams_max && self.find(&stream).is_none() {
            return Err(ReadError::TooManySubscriptions(self.config.streams_max));
        }
        let index = self
            .slots
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.slots.len());
        let listens = self.config.ephemeral;
        let attachment = self
            .log
            .hub()
            .attach(&stream, &self.bell, number(index), listens)?;
        let channel = attachment.channel.clone();
        let opened = tokio::time::timeout(READ_TIMEOUT, channel.opened()).await;
        let head = opened.map_err(|_| Unavailable("the stream could not be opened in time".into()))?;
        let (mut slot, joined) = Slot::begin(&self.log, attachment, head, from, until, filter).await?;
        if listens {
            // Who cannot hear yet begins all the same.
            let _ = tokio::time::timeout(EPHEMERAL_LISTEN_WAIT, channel.arranged()).await;
            slot.skip_ephemeral();
        }
        self.unsubscribe(&stream);
        if index == self.slots.len() {
            if index < SLOTS_EXACT_MAX {
                self.slots.reserve_exact(1);
            }
            self.slots.push(None);
        }
        self.followed += 1;
        self.bounded += usize::from(slot.until().is_some());
        self.slots[index] = Some(Box::new(slot));
        self.make_ready(index);
        Ok(joined)
    }

    /// Stops following `stream`; `false` if it was not followed.
    pub fn unsubscribe(&mut self, stream: &StreamName) -> bool {
        let found = self.find(stream);
        found.into_iter().for_each(|index| self.remove(index));
        found.is_some()
    }

    fn find(&self, stream: &StreamName) -> Option<usize> {
        let follows = |slot: &Option<Box<Slot>>| slot.as_ref().is_some_and(|slot| slot.stream() == stream);
        self.slots.iter().position(follows)
    }

    /// The streams that are followed, with the position up to which each has been delivered.
    pub fn positions(&self) -> impl Iterator<Item = (&StreamName, Cursor)> {
        self.slots
            .iter()
            .flatten()
            .map(|slot| (slot.stream(), slot.cursor()))
    }

    /// Waits until something can be delivered and appends it to `out`, as much as is there up to about
    /// `max_bytes`; what one call appends may go out in one write. Never returns with nothing appended.
    ///
    /// Cancel-safe: dropping the future loses nothing. While the log is away it waits, and goes on when the log is
    /// back. With no stream to follow it waits for ever.
    pub async fn next(&mut self, max_bytes: usize, out: &mut Vec<Delivery>) {
        std::future::poll_fn(|cx| self.poll_next(cx, max_bytes, out)).await;
    }

    /// [`Subscriber::next`] for a task that polls. `Pending`: nothing was appended, and the task is woken when it is to
    /// poll again; whoever polled last is.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, max_bytes: usize, out: &mut Vec<Delivery>) -> Poll<()> {
        let before = out.len();
        loop {
            let left = self.take_rung(max_bytes, out);
            if out.len() == before && self.starts_to_read() {
                // A task that is started runs on this thread before any other can have it. So it must be let run before
                // what is there is encoded and written, else it would begin when that is done.
                ready!(self.poll_wake(cx));
                continue;
            }
            self.full = match self.config.order {
                Order::ByTime if self.followed > 1 => self.merge(left, out),
                Order::ByTime | Order::PerStream => self.take_turns(left, out),
            };
            if out.len() > before {
                return Poll::Ready(());
            }
            ready!(self.poll_wake(cx));
        }
    }

    /// For a task that has just been given deliveries: whether to call [`Subscriber::poll_next`] once more. `Pending`:
    /// it would bring nothing, and the task is woken when that changes.
    pub fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.full || !self.ready.is_empty() {
            return Poll::Ready(());
        }
        self.poll_wake(cx)
    }

    /// Passes over the ephemeral events that have come so far. For a reader that could take nothing for a while, at the
    /// moment when it can again: what came meanwhile is not news any more.
    pub fn skip_ephemeral(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.skip_ephemeral();
        }
    }

    /// Waits for a stream to ring, or for the clock to reach the end of one.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bell.poll_rung(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(pause) = self.next_until() else {
            self.until_timer = None;
            if self.ready.is_empty() && self.ready.capacity() > READY_KEPT_MAX {
                self.ready = VecDeque::new();
            }
            return Poll::Pending;
        };
        // Everything that is due now has been looked at, so this is in the future.
        let due = Instant::now() + pause;
        let timer = self
            .until_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        // Not where it has gone off: that would put off the end again and again.
        if !timer.is_elapsed() && due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(cx));
        self.until_timer = None;
        self.make_all_ready();
        Poll::Ready(())
    }

    /// Looks at what has rung: ephemeral events are delivered at once, streams become ready. Returns the bytes left,
    /// one at the least, so that the log is heard too.
    fn take_rung(&mut self, max_bytes: usize, out: &mut Vec<Delivery>) -> usize {
        let mut left = max_bytes;
        for index in self.bell.take(self.slots.len()) {
            // A slot that is gone may still have been rung for.
            if let Some(Some(slot)) = self.slots.get_mut(index) {
                slot.deliver_ephemeral(out, &mut left);
                self.make_ready(index);
            }
        }
        left.max(1)
    }

    /// Has the next pages read, where that is due. `true` if a read was started that has not begun yet.
    fn starts_to_read(&mut self) -> bool {
        let mut starts = false;
        for index in &self.ready {
            if let Some(Some(slot)) = self.slots.get_mut(*index as usize) {
                starts |= slot.read_ahead(&self.log);
            }
        }
        starts
    }

    fn make_ready(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !std::mem::replace(&mut slot.ready, true)
        {
            self.ready.push_back(number(index));
        }
    }

    fn make_all_ready(&mut self) {
        for index in 0..self.slots.len() {
            self.make_ready(index);
        }
    }

    /// How long until the first stream that has an `until` reaches it by the clock.
    fn next_until(&self) -> Option<Duration> {
        if self.bounded == 0 {
            return None;
        }
        let now_ms = time::now_ms();
        let untils = self
            .slots
            .iter()
            .flatten()
            .filter(|slot| slot.is_live())
            .filter_map(|slot| slot.until());
        let due_ms = untils
            .map(|until| until.ms)
            .min()?
            .saturating_add(UNTIL_GRACE.as_millis() as u64);
        Some(Duration::from_millis(
            due_ms.saturating_sub(now_ms).clamp(1, 3_600_000),
        ))
    }

    /// Each ready stream delivers in its turn. Whether it ended because there was no room for more.
    fn take_turns(&mut self, max_bytes: usize, out: &mut Vec<Delivery>) -> bool {
        let mut budget = max_bytes;
        let turns = self.ready.len().max(1);
        let share = (max_bytes / turns).max(1_024).min(max_bytes);
        while budget > 0
            && let Some(index) = self.ready.pop_front()
        {
            let index = index as usize;
            let Some(Some(slot)) = self.slots.get_mut(index) else {
                continue;
            };
            slot.ready = false;
            let mut left = share.min(budget);
            let given = left;
            let step = loop {
                let step = slot.step(&self.log, given, out, &mut left);
                if step != Step::More || left == 0 {
                    break step;
                }
            };
            budget = budget.saturating_sub(given - left);
            self.settle(index, step);
        }
        budget == 0
    }

    /// What a slot's step means for its place among the ready ones.
    fn settle(&mut self, index: usize, step: Step) {
        match step {
            Step::More => self.make_ready(index),
            Step::Idle => {}
            Step::Ended => self.remove(index),
        }
    }

    fn remove(&mut self, index: usize) {
        let Some(slot) = self.slots[index].take() else {
            return;
        };
        self.followed -= 1;
        self.bounded -= usize::from(slot.until().is_some());
        self.ready.retain(|ready| *ready != number(index));
        // A merged tail may have just one stream left, which from now on delivers when it is ready, not in a merge.
        self.make_all_ready();
    }

    /// Delivers by entry ID over all streams. A stream that is catching up and has no page yet holds the others up:
    /// its next entry may be older than theirs. Whether it ended because there was no room for more.
    fn merge(&mut self, max_bytes: usize, out: &mut Vec<Delivery>) -> bool {
        let mut left = max_bytes;
        while let Some(index) = self.ready.pop_front() {
            if let Some(Some(slot)) = self.slots.get_mut(index as usize) {
                slot.ready = false;
                slot.tell_degraded(out, &mut left);
                slot.refill(&self.log, max_bytes);
            }
        }
        while left > 0 {
            let mut oldest: Option<(EntryId, usize)> = None;
            for (index, slot) in self.slots.iter_mut().enumerate() {
                let Some(slot) = slot else { continue };
                if slot.is_empty() {
                    slot.refill(&self.log, left);
                }
                match slot.front_id() {
                    Some(id) if oldest.is_none_or(|(least, _)| id < least) => oldest = Some((id, index)),
                    None if !slot.is_live() => return false,
                    _ => {}
                }
            }
            let Some((_, index)) = oldest else {
                self.end_the_idle(out);
                return false;
            };
            let Some(slot) = &mut self.slots[index] else {
                return false;
            };
            if slot.deliver_one(out, &mut left) == Step::Ended {
                self.settle(index, Step::Ended);
            }
        }
        true
    }

    /// Nothing is left to merge: streams whose `until` has passed by the clock are at their end.
    fn end_the_idle(&mut self, out: &mut Vec<Delivery>) {
        for index in 0..self.slots.len() {
            let step = self.slots[index].as_mut().map(|slot| slot.idle(out));
            if step == Some(Step::Ended) {
                self.settle(index, Step::Ended);
            }
        }
    }
}

/// A slot as its stream's registration knows it.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.positions()).finish()
    }
}

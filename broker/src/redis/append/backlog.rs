//! Which events go to Redis next: one queue per stream, served in turn. Decides, but sends nothing.
//!
//! The order of a stream is kept by two rules. What is sent over one connection is done in the order in which it was
//! sent, so batches without keys may follow each other without waiting: none of them is ever sent again. A batch
//! with idempotency keys may have to be sent again, so nothing of its stream is sent before it is answered.

use std::collections::{HashMap, VecDeque};

use shared::StreamName;
use shared::limits::{APPEND_BATCH_BYTES_MAX, APPEND_BATCH_ENTRIES_MAX, APPEND_BATCHES_PER_STREAM_MAX};
use tokio::time::Instant;

use super::job::Item;

/// Events of one stream that go to Redis together: all with a key or all without.
pub(super) struct Batch {
    pub(super) stream: StreamName,
    pub(super) items: Vec<Item>,
    pub(super) keyed: bool,
}

/// Everything that waits in one lane.
#[derive(Default)]
pub(super) struct Backlog {
    streams: HashMap<StreamName, Queue>,
    /// Streams that may send, in the order of their turns; each is listed once.
    turns: VecDeque<StreamName>,
    /// Items in all queues.
    waiting: usize,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    batches_in_flight: usize,
    keyed_in_flight: bool,
    listed: bool,
}

impl Queue {
    fn may_send(&self) -> bool {
        !self.items.is_empty()
            && !self.keyed_in_flight
            && self.batches_in_flight < APPEND_BATCHES_PER_STREAM_MAX
    }

    /// The longest run from the front that fits into one batch: of one kind, within the limits.
    fn take_run(&mut self) -> (Vec<Item>, bool) {
        let keyed = self.items.front().is_some_and(|item| item.key.is_some());
        let mut bytes = 0;
        let fits = |item: &&Item| {
            bytes += item.size_bytes();
            item.key.is_some() == keyed && bytes <= APPEND_BATCH_BYTES_MAX
        };
        let run = self
            .items
            .iter()
            .take(APPEND_BATCH_ENTRIES_MAX)
            .take_while(fits)
            .count();
        // An event that is larger than a batch goes alone.
        (self.items.drain(..run.max(1)).collect(), keyed)
    }
}

impl Backlog {
    /// Items behind those of the same stream.
    pub(super) fn push(&mut self, stream: &StreamName, items: Vec<Item>) {
        self.waiting += items.len();
        self.streams
            .entry(stream.clone())
            .or_default()
            .items
            .extend(items);
        self.list(stream);
    }

    /// The batch whose turn it is, in flight from now on until it is [`answered`](Self::answered).
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        let stream = self.turns.pop_front()?;
        let queue = self.streams.get_mut(&stream)?;
        queue.listed = false;
        let (items, keyed) = queue.take_run();
        queue.batches_in_flight += 1;
        queue.keyed_in_flight = keyed;
        self.waiting -= items.len();
        self.list(&stream);
        Some(Batch { stream, items, keyed })
    }

    /// Something else is in flight for the stream, until it is [`answered`](Self::answered).
    pub(super) fn extra_in_flight(&mut self, stream: &StreamName) {
        self.streams.entry(stream.clone()).or_default().batches_in_flight += 1;
    }

    /// The batch is not in flight any more.
    pub(super) fn answered(&mut self, stream: &StreamName, keyed: bool) {
        if let Some(queue) = self.streams.get_mut(stream) {
            queue.batches_in_flight = queue.batches_in_flight.saturating_sub(1);
            queue.keyed_in_flight &= !keyed;
        }
        self.list(stream);
    }

    /// The batch, which had keys, is to be sent again: its items are the first of their stream as before.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let items: Vec<Item> = batch.items.into_iter().filter(|i| !i.is_settled()).collect();
        self.waiting += items.len();
        let queue = self.streams.entry(batch.stream.clone()).or_default();
        for item in items.into_iter().rev() {
            queue.items.push_front(item);
        }
        self.answered(&batch.stream, batch.keyed);
    }

    /// Takes out the items that have waited too long.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Item> {
        let mut expired = Vec::new();
        for queue in self.streams.values_mut() {
            while queue.items.front().is_some_and(|item| item.deadline <= now) {
                expired.extend(queue.items.pop_front());
            }
        }
        self.waiting -= expired.len();
        self.turns.retain(|stream| {
            let sends = self.streams.get(stream).is_some_and(Queue::may_send);
            if !sends && let Some(queue) = self.streams.get_mut(stream) {
                queue.listed = false;
            }
            sends
        });
        self.streams
            .retain(|_, queue| !queue.items.is_empty() || queue.batches_in_flight > 0);
        expired
    }

    /// Whether nothing waits. Batches may be in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Gives the stream a turn if it may send, forgets it if there is nothing left of it.
    fn list(&mut self, stream: &StreamName) {
        let Some(queue) = self.streams.get_mut(stream) else {
            return;
        };
        if !queue.listed && queue.may_send() {
            queue.listed = true;
            self.turns.push_back(stream.clone());
        } else if queue.items.is_empty() && queue.batches_in_flight == 0 {
            self.streams.remove(stream);
        }
    }
}

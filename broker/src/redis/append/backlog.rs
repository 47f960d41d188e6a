//! Which events go to Redis next: one queue per stream, served in turn. Decides, but sends nothing.
//!
//! The order of a stream is kept by three rules. What is sent over one connection is done in the order in which it was
//! sent, so batches without keys may follow each other without waiting: of those whose answer is lost none is ever sent
//! again. A batch with idempotency keys may have to be sent again, so nothing of its stream is sent before it is answered.
//! And what a node did not do, because it serves the stream no more or not now, comes back to the front of its queue:
//! from there it goes on when everything of its stream is answered, wherever the stream is served then.

use std::collections::{HashMap, VecDeque};

use shared::StreamName;
use shared::limits::{
    APPEND_BATCH_BYTES_MAX, APPEND_BATCH_ENTRIES_MAX, APPEND_BATCHES_PER_STREAM_MAX,
    REDIS_CLUSTER_REDIRECTS_AT_ONCE,
};

use super::super::topology::NodeId;
use super::job::Item;

/// Events of one stream that go to Redis together: all with a key or all without.
pub(super) struct Batch {
    pub(super) stream: StreamName,
    pub(super) items: Vec<Item>,
    pub(super) keyed: bool,
    /// Whether the node is to be told that another one sends this, while the slot is being moved to it (`ASKING`).
    pub(super) asking: bool,
    /// Whether the expiry of the stream is set along with it.
    pub(super) expires: bool,
}

/// Where a stream is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: NodeId,
    /// See [`Batch::asking`].
    pub(super) asking: bool,
}

impl Place {
    /// At the node that has the stream's slot.
    pub(super) fn at(node: NodeId) -> Self {
        Self { node, asking: false }
    }
}

/// Everything that waits in one lane.
#[derive(Default)]
pub(super) struct Backlog {
    streams: HashMap<StreamName, Queue>,
    /// For each node the streams that may send to it, in the order of their turns. A stream whose queue says that it is
    /// listed elsewhere, or not at all, is passed over.
    turns: HashMap<NodeId, VecDeque<StreamName>>,
    /// Items in all queues.
    waiting: usize,
    /// Whether some queue is paused.
    paused: bool,
}

struct Queue {
    items: VecDeque<Item>,
    /// What has come back while other batches of the stream are still in flight.
    returned: Vec<Item>,
    place: Place,
    /// Where the batches in flight have gone.
    sent_to: NodeId,
    batches_in_flight: usize,
    keyed_in_flight: bool,
    /// Among whose turns it is.
    listed: Option<NodeId>,
    /// Set until the next [`Backlog::resume`].
    paused: bool,
    /// How often it was sent elsewhere since something was done.
    redirects: u32,
}

impl Queue {
    fn new(place: Place) -> Self {
        Self {
            items: VecDeque::new(),
            returned: Vec::new(),
            place,
            sent_to: place.node,
            batches_in_flight: 0,
            keyed_in_flight: false,
            listed: None,
            paused: false,
            redirects: 0,
        }
    }

    fn may_send(&self) -> bool {
        !self.items.is_empty()
            && !self.keyed_in_flight
            && !self.paused
            && self.returned.is_empty()
            && (self.batches_in_flight == 0 || self.sent_to == self.place.node)
            && self.batches_in_flight < APPEND_BATCHES_PER_STREAM_MAX
    }

    fn is_over(&self) -> bool {
        self.items.is_empty() && self.batches_in_flight == 0
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
    /// Items behind those of the same stream, which is served at `node` if nothing else is known of it.
    pub(super) fn push(&mut self, stream: &StreamName, items: Vec<Item>, node: impl FnOnce() -> NodeId) {
        self.waiting += items.len();
        self.streams
            .entry(stream.clone())
            .or_insert_with(|| Queue::new(Place::at(node())))
            .items
            .extend(items);
        self.list(stream);
    }

    /// The batch for `node` whose turn it is, in flight from now on until it is [`answered`](Self::answered) or
    /// [returned](Self::returned).
    pub(super) fn next_batch(&mut self, node: NodeId) -> Option<Batch> {
        let turns = self.turns.get_mut(&node)?;
        loop {
            let stream = turns.pop_front()?;
            let Some(queue) = self.streams.get_mut(&stream) else {
                continue;
            };
            if queue.listed != Some(node) {
                continue;
            }
            queue.listed = None;
            if !queue.may_send() {
                continue;
            }
            let (items, keyed) = queue.take_run();
            queue.batches_in_flight += 1;
            queue.keyed_in_flight = keyed;
            queue.sent_to = node;
            let asking = queue.place.asking;
            self.waiting -= items.len();
            self.list(&stream);
            return Some(Batch {
                stream,
                items,
                keyed,
                asking,
                expires: false,
            });
        }
    }

    /// Something else is in flight for the stream, at `node`, until it is [`answered`](Self::answered).
    pub(super) fn extra_in_flight(&mut self, stream: &StreamName, node: NodeId) {
        let queue = self.streams.entry(stream.clone());
        let queue = queue.or_insert_with(|| Queue::new(Place::at(node)));
        queue.sent_to = node;
        queue.batches_in_flight += 1;
    }

    /// The batch is not in flight any more.
    pub(super) fn answered(&mut self, stream: &StreamName, keyed: bool) {
        if let Some(queue) = self.streams.get_mut(stream) {
            queue.batches_in_flight = queue.batches_in_flight.saturating_sub(1);
            queue.keyed_in_flight &= !keyed;
            if queue.batches_in_flight == 0 {
                for item in std::mem::take(&mut queue.returned).into_iter().rev() {
                    queue.items.push_front(item);
                }
            }
        }
        self.list(stream);
    }

    /// The batch was done. Brings the items that were to be done before it and were not, which cannot be made up for: they
    /// are out of the backlog.
    pub(super) fn done(&mut self, stream: &StreamName, keyed: bool) -> Vec<Item> {
        let mut overtaken = Vec::new();
        if let Some(queue) = self.streams.get_mut(stream) {
            queue.redirects = 0;
            overtaken = std::mem::take(&mut queue.returned);
            self.waiting -= overtaken.len();
        }
        self.answered(stream, keyed);
        overtaken
    }

    /// The batch was not done, or has keys, and is to be sent again: its items are the first of their stream as before.
    pub(super) fn returned(&mut self, batch: Batch) {
        let Some(queue) = self.streams.get_mut(&batch.stream) else {
            return;
        };
        let before = queue.returned.len();
        queue
            .returned
            .extend(batch.items.into_iter().filter(|item| !item.is_settled()));
        self.waiting += queue.returned.len() - before;
        self.answered(&batch.stream, batch.keyed);
    }

    /// Nothing of the stream is sent before the next [`resume`](Self::resume).
    pub(super) fn pause(&mut self, stream: &StreamName) {
        if let Some(queue) = self.streams.get_mut(stream) {
            queue.paused = true;
            queue.listed = None;
            self.paused = true;
        }
    }

    /// What was paused goes on.
    pub(super) fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        let paused = self.streams.iter_mut().filter(|(_, queue)| queue.paused);
        let streams: Vec<StreamName> = paused
            .map(|(stream, queue)| {
                queue.paused = false;
                stream.clone()
            })
            .collect();
        streams.iter().for_each(|stream| self.list(stream));
    }

    /// The stream is served elsewhere. A stream that is sent to and fro is paused.
    pub(super) fn redirect(&mut self, stream: &StreamName, place: Place) {
        let Some(queue) = self.streams.get_mut(stream) else {
            return;
        };
        queue.place = place;
        queue.redirects = queue.redirects.saturating_add(1);
        if queue.redirects > REDIS_CLUSTER_REDIRECTS_AT_ONCE {
            self.pause(stream);
        }
        self.list(stream);
    }

    /// Every stream is served where `node_of` says.
    pub(super) fn place_all(&mut self, node_of: impl Fn(&StreamName) -> NodeId) {
        let streams: Vec<StreamName> = self.streams.keys().cloned().collect();
        for stream in &streams {
            let node = node_of(stream);
            if let Some(queue) = self.streams.get_mut(stream)
                && queue.place.node != node
            {
                queue.place = Place::at(node);
            }
            self.list(stream);
        }
        self.drop_stale_turns();
    }

    fn drop_stale_turns(&mut self) {
        let listed = |stream: &StreamName| self.streams.get(stream).and_then(|queue| queue.listed);
        self.turns.retain(|node, turns| {
            turns.retain(|stream| listed(stream) == Some(*node));
            !turns.is_empty()
        });
    }

    /// Takes out the items that are not to wait any longer, as far as they are the first of their stream.
    pub(super) fn given_up(&mut self, is_given_up: impl Fn(&Item, NodeId) -> bool) -> Vec<(Item, NodeId)> {
        let mut given_up = Vec::new();
        for queue in self.streams.values_mut() {
            let node = queue.place.node;
            while queue.items.front().is_some_and(|item| is_given_up(item, node)) {
                given_up.extend(queue.items.pop_front().map(|item| (item, node)));
            }
        }
        if !given_up.is_empty() {
            self.waiting -= given_up.len();
            self.streams.retain(|_, queue| !queue.is_over());
            self.drop_stale_turns();
        }
        given_up
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
        if queue.may_send() {
            if queue.listed != Some(queue.place.node) {
                queue.listed = Some(queue.place.node);
                self.turns
                    .entry(queue.place.node)
                    .or_default()
                    .push_back(stream.clone());
            }
        } else if queue.is_over() {
            self.streams.remove(stream);
        }
    }
}

#[cfg(test)]
mod tests;

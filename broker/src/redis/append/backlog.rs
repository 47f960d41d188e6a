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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::super::job::testing::{number, numbered};
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn name(n: usize) -> StreamName {
        format!("doc:{n}").parse().unwrap()
    }

    fn push(backlog: &mut Backlog, stream: usize, numbers: std::ops::Range<u64>, keyed: bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let (items, _) = numbered(numbers, keyed, deadline);
        backlog.push(&name(stream), items, || A);
    }

    fn numbers(batch: &Batch) -> Vec<u64> {
        batch.items.iter().map(number).collect()
    }

    #[test]
    fn streams_take_turns_and_batches_are_of_one_kind() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 1, 0..2, false);
        push(&mut backlog, 1, 2..4, true);
        push(&mut backlog, 1, 4..5, false);
        push(&mut backlog, 2, 0..3, false);
        let mut batches = Vec::new();
        while let Some(batch) = backlog.next_batch(A) {
            batches.push((batch.stream.clone(), numbers(&batch), batch.keyed));
        }
        let expected = [
            (name(1), vec![0, 1], false),
            (name(2), vec![0, 1, 2], false),
            (name(1), vec![2, 3], true),
        ];
        assert_eq!(batches, expected, "what is behind a batch with keys waits");
        backlog.answered(&name(1), true);
        assert_eq!(numbers(&backlog.next_batch(A).unwrap()), [4]);
        assert!(backlog.is_empty() && backlog.next_batch(A).is_none());
    }

    #[test]
    fn batches_are_bounded() {
        let mut backlog = Backlog::default();
        let many = 2 * APPEND_BATCH_ENTRIES_MAX as u64 + 1;
        push(&mut backlog, 1, 0..many, false);
        let sizes: Vec<_> = std::iter::from_fn(|| backlog.next_batch(A).map(|b| b.items.len())).collect();
        assert_eq!(sizes, [APPEND_BATCH_ENTRIES_MAX, APPEND_BATCH_ENTRIES_MAX, 1]);
    }

    #[test]
    fn late_items_leave_and_nothing_is_left_behind() {
        let mut backlog = Backlog::default();
        let now = Instant::now();
        let (items, mut results) = numbered(0..3, false, now);
        backlog.push(&name(1), items, || A);
        push(&mut backlog, 1, 3..4, false);
        let expired = backlog.given_up(|item, _| item.deadline <= now);
        assert_eq!(
            expired.iter().map(|(item, _)| number(item)).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        drop(expired);
        assert_eq!(results.try_recv().unwrap().len(), 3);
        assert_eq!(numbers(&backlog.next_batch(A).unwrap()), [3]);
        backlog.answered(&name(1), false);
        assert!(backlog.streams.is_empty() && backlog.turns.values().all(VecDeque::is_empty));
    }

    #[test]
    fn what_comes_back_keeps_its_place_and_what_overtook_it_is_told() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 1, 0..1, false);
        let first = backlog.next_batch(A).unwrap();
        push(&mut backlog, 1, 1..2, true);
        let second = backlog.next_batch(A).unwrap();
        push(&mut backlog, 1, 2..3, true);
        backlog.returned(first);
        backlog.redirect(
            &name(1),
            Place {
                node: B,
                asking: true,
            },
        );
        assert!(backlog.next_batch(B).is_none(), "its answer is still to come");
        backlog.returned(second);
        let first = backlog.next_batch(B).unwrap();
        assert_eq!((numbers(&first), first.asking), (vec![0], true));
        let second = backlog.next_batch(B).unwrap();
        assert_eq!(numbers(&second), [1, 2]);
        backlog.returned(first);
        let overtaken = backlog.done(&name(1), true);
        assert_eq!(overtaken.iter().map(number).collect::<Vec<_>>(), [0]);
        assert!(backlog.is_empty() && backlog.streams.is_empty());
    }

    #[test]
    fn a_stream_that_is_sent_to_and_fro_waits() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 1, 0..1, false);
        let (mut sent, mut at) = (0, A);
        while let Some(batch) = backlog.next_batch(at) {
            (sent, at) = (sent + 1, if at == A { B } else { A });
            backlog.returned(batch);
            backlog.redirect(&name(1), Place::at(at));
        }
        assert_eq!(sent, REDIS_CLUSTER_REDIRECTS_AT_ONCE + 1);
        backlog.resume();
        assert!(backlog.next_batch(at).is_some());
    }

    #[test]
    fn turns_are_forgotten_with_their_streams() {
        let mut backlog = Backlog::default();
        for round in 0..3 {
            push(&mut backlog, 1, 0..2, false);
            if round == 1 {
                backlog.place_all(|_| B);
            }
            assert_eq!(backlog.given_up(|_, _| true).len(), 2);
            assert!(backlog.turns.is_empty());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push {
            stream: usize,
            count: u64,
            keyed: bool,
        },
        Send,
        /// The oldest batch in flight is answered.
        Answer,
        /// The connection is lost: what has keys comes back.
        Lose,
        /// The stream of the oldest batch in flight is served by the other node, and so were those of all others of it.
        Move,
        Resume,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3usize, 1..5u64, any::<bool>()).prop_map(|(stream, count, keyed)| Step::Push {
                stream,
                count,
                keyed
            }),
            Just(Step::Send),
            Just(Step::Send),
            Just(Step::Answer),
            Just(Step::Lose),
            Just(Step::Move),
            Just(Step::Resume),
        ]
    }

    proptest! {
        /// Whatever happens in between, what is done of each stream is done in the order in which it came; only
        /// what had no key can be lost.
        #[test]
        fn order_is_kept(steps in prop::collection::vec(step(), 1..200)) {
            let mut backlog = Backlog::default();
            let mut in_flight: VecDeque<Batch> = VecDeque::new();
            let mut pushed = [0u64; 3];
            let mut keyed_pushed: Vec<(usize, u64)> = Vec::new();
            let mut done: Vec<(StreamName, u64)> = Vec::new();
            let mut answer = |backlog: &mut Backlog, batch: Batch| {
                done.extend(batch.items.iter().map(|item| (batch.stream.clone(), number(item))));
                assert!(backlog.done(&batch.stream, batch.keyed).is_empty());
            };
            for step in steps {
                match step {
                    Step::Push { stream, count, keyed } => {
                        let numbers = pushed[stream]..pushed[stream] + count;
                        keyed_pushed.extend(numbers.clone().filter(|_| keyed).map(|n| (stream, n)));
                        push(&mut backlog, stream, numbers, keyed);
                        pushed[stream] += count;
                    }
                    Step::Send => {
                        let batch = backlog.next_batch(A);
                        in_flight.extend(batch.or_else(|| backlog.next_batch(B)));
                    }
                    Step::Resume => backlog.resume(),
                    Step::Move => {
                        let Some(stream) = in_flight.front().map(|batch| batch.stream.clone()) else { continue };
                        let node = backlog.streams[&stream].sent_to;
                        let (moved, others) = in_flight.drain(..).partition(|batch| batch.stream == stream);
                        in_flight = others;
                        for batch in Vec::from(moved) {
                            backlog.returned(batch);
                            let place = Place { node: if node == A { B } else { A }, asking: false };
                            backlog.redirect(&stream, place);
                        }
                    }
                    Step::Answer => {
                        if let Some(batch) = in_flight.pop_front() {
                            answer(&mut backlog, batch);
                        }
                    }
                    Step::Lose => {
                        for batch in in_flight.drain(..) {
                            if batch.keyed {
                                backlog.returned(batch);
                            } else {
                                backlog.answered(&batch.stream, false);
                            }
                        }
                    }
                }
            }
            loop {
                backlog.resume();
                let batch = backlog.next_batch(A);
                in_flight.extend(batch.or_else(|| backlog.next_batch(B)));
                let Some(batch) = in_flight.pop_front() else { break };
                answer(&mut backlog, batch);
            }
            for stream in 0..3 {
                let order: Vec<u64> = done.iter().filter(|(of, _)| *of == name(stream)).map(|(_, n)| *n).collect();
                prop_assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
            }
            for (stream, n) in keyed_pushed {
                prop_assert!(done.contains(&(name(stream), n)));
            }
            prop_assert!(backlog.is_empty() && backlog.streams.is_empty());
        }
    }
}

//! Which events go to Redis next: one queue per stream, served in turn. Decides, but sends nothing.
//!
//! The order of a stream is kept by two rules. What is sent over one connection is done in the order in which it was
//! sent, so batches without keys may follow each other without waiting: none of them is ever sent again. A batch
//! with idempotency keys may have to be sent again, so nothing of its stream is sent before it is answered.

use std::collections::{HashMap, VecDeque};

use shared::StreamName;
use shared::limits::{APPEND_BATCH_BYTES_MAX, APPEND_BATCH_ENTRIES_MAX, APPEND_BATCHES_PER_STREAM_MAX};

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

    /// Takes out the items that are not to wait any longer, as far as they are the first of their stream.
    pub(super) fn given_up(&mut self, is_given_up: impl Fn(&Item) -> bool) -> Vec<Item> {
        let mut given_up = Vec::new();
        for queue in self.streams.values_mut() {
            while queue.items.front().is_some_and(&is_given_up) {
                given_up.extend(queue.items.pop_front());
            }
        }
        self.waiting -= given_up.len();
        self.turns.retain(|stream| {
            let sends = self.streams.get(stream).is_some_and(Queue::may_send);
            if !sends && let Some(queue) = self.streams.get_mut(stream) {
                queue.listed = false;
            }
            sends
        });
        self.streams
            .retain(|_, queue| !queue.items.is_empty() || queue.batches_in_flight > 0);
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
        if !queue.listed && queue.may_send() {
            queue.listed = true;
            self.turns.push_back(stream.clone());
        } else if queue.items.is_empty() && queue.batches_in_flight == 0 {
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

    fn name(n: usize) -> StreamName {
        format!("doc:{n}").parse().unwrap()
    }

    fn push(backlog: &mut Backlog, stream: usize, numbers: std::ops::Range<u64>, keyed: bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let (items, _) = numbered(numbers, keyed, deadline);
        backlog.push(&name(stream), items);
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
        while let Some(batch) = backlog.next_batch() {
            batches.push((batch.stream.clone(), numbers(&batch), batch.keyed));
        }
        let expected = [
            (name(1), vec![0, 1], false),
            (name(2), vec![0, 1, 2], false),
            (name(1), vec![2, 3], true),
        ];
        assert_eq!(batches, expected, "what is behind a batch with keys waits");
        backlog.answered(&name(1), true);
        assert_eq!(numbers(&backlog.next_batch().unwrap()), [4]);
        assert!(backlog.is_empty() && backlog.next_batch().is_none());
    }

    #[test]
    fn batches_are_bounded() {
        let mut backlog = Backlog::default();
        let many = 2 * APPEND_BATCH_ENTRIES_MAX as u64 + 1;
        push(&mut backlog, 1, 0..many, false);
        let sizes: Vec<_> = std::iter::from_fn(|| backlog.next_batch().map(|b| b.items.len())).collect();
        assert_eq!(sizes, [APPEND_BATCH_ENTRIES_MAX, APPEND_BATCH_ENTRIES_MAX, 1]);
    }

    #[test]
    fn late_items_leave_and_nothing_is_left_behind() {
        let mut backlog = Backlog::default();
        let now = Instant::now();
        let (items, mut results) = numbered(0..3, false, now);
        backlog.push(&name(1), items);
        push(&mut backlog, 1, 3..4, false);
        let expired = backlog.given_up(|item| item.deadline <= now);
        assert_eq!(expired.iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
        drop(expired);
        assert_eq!(results.try_recv().unwrap().len(), 3);
        assert_eq!(numbers(&backlog.next_batch().unwrap()), [3]);
        backlog.answered(&name(1), false);
        assert!(backlog.streams.is_empty() && backlog.turns.is_empty());
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
                backlog.answered(&batch.stream, batch.keyed);
            };
            for step in steps {
                match step {
                    Step::Push { stream, count, keyed } => {
                        let numbers = pushed[stream]..pushed[stream] + count;
                        keyed_pushed.extend(numbers.clone().filter(|_| keyed).map(|n| (stream, n)));
                        push(&mut backlog, stream, numbers, keyed);
                        pushed[stream] += count;
                    }
                    Step::Send => in_flight.extend(backlog.next_batch()),
                    Step::Answer => {
                        if let Some(batch) = in_flight.pop_front() {
                            answer(&mut backlog, batch);
                        }
                    }
                    Step::Lose => {
                        for batch in in_flight.drain(..) {
                            if batch.keyed {
                                backlog.put_back(batch);
                            } else {
                                backlog.answered(&batch.stream, false);
                            }
                        }
                    }
                }
            }
            loop {
                in_flight.extend(backlog.next_batch());
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

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::redis::append::job::testing::{number, numbered};

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

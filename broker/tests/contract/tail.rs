//! A subscriber under observation: every delivery is checked against what was delivered before it.
//!
//! Per stream IDs rise, ordinals go up by one, a gap moves the ordinal by what it says is lost, and nothing but a
//! reset breaks that. So a case that ends with the position of the log's head has missed nothing, and got nothing
//! twice or out of order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use broker::{Delivery, Filter, From, Joined, Log, Order, Subscriber, SubscriberConfig};
use shared::{Cursor, Entry, EntryId, Ordinal, StreamName};

use crate::{in_time, value};

/// Bytes that one call of `next` may bring.
const TAKE_BYTES: usize = 64 * 1024;

pub(crate) struct Tail {
    subscriber: Subscriber,
    /// Up to where deliveries have been looked at, per stream.
    positions: HashMap<StreamName, Position>,
    /// Not looked at yet.
    pending: VecDeque<Delivery>,
    take_bytes: usize,
}

struct Position {
    cursor: Cursor,
    filtered: bool,
    caught_up: bool,
    /// It was told that the log is away.
    away: bool,
}

impl Tail {
    pub(crate) fn new(log: &Arc<dyn Log>) -> Self {
        Self::with_order(log, Order::PerStream)
    }

    pub(crate) fn with_order(log: &Arc<dyn Log>, order: Order) -> Self {
        let config = SubscriberConfig {
            order,
            streams_max: 100,
            ephemeral: false,
        };
        Self {
            subscriber: Subscriber::new(log.clone(), config),
            positions: HashMap::new(),
            pending: VecDeque::new(),
            take_bytes: TAKE_BYTES,
        }
    }

    /// A reader that takes about this much at a time.
    pub(crate) fn taking(mut self, bytes: usize) -> Self {
        self.take_bytes = bytes;
        self
    }

    pub(crate) async fn follow(&mut self, stream: &StreamName, from: From) -> Joined {
        self.follow_part(stream, from, None, Filter::default()).await
    }

    pub(crate) async fn follow_part(
        &mut self,
        stream: &StreamName,
        from: From,
        until: Option<EntryId>,
        filter: Filter,
    ) -> Joined {
        let filtered = !filter.passes_all();
        let subscribing = self.subscriber.subscribe(stream.clone(), from, until, filter);
        let joined = in_time("the subscription", subscribing).await.unwrap();
        self.pending.retain(|delivery| stream_of(delivery) != stream);
        let position = Position {
            cursor: joined.cursor,
            filtered,
            caught_up: false,
            away: false,
        };
        self.positions.insert(stream.clone(), position);
        joined
    }

    pub(crate) fn subscriber(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }

    /// The position up to which everything was delivered, by this observer's count.
    pub(crate) fn position(&self, stream: &StreamName) -> Cursor {
        self.positions[stream].cursor
    }

    /// The next delivery.
    pub(crate) async fn next(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.pop() {
                return delivery;
            }
            let mut out = Vec::new();
            in_time("a delivery", self.subscriber.next(self.take_bytes, &mut out)).await;
            assert!(!out.is_empty(), "next never returns with nothing");
            self.push(out);
        }
    }

    /// Keeps what a call of `next` brought.
    pub(crate) fn push(&mut self, out: Vec<Delivery>) {
        self.pending.extend(out);
    }

    /// Checks and returns the first delivery that was kept.
    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.pending.pop_front()?;
        self.check(&delivery);
        Some(delivery)
    }

    /// The next event, whatever else comes before it except a verdict.
    pub(crate) async fn entry(&mut self, stream: &StreamName) -> Arc<Entry> {
        loop {
            match self.next().await {
                Delivery::Event(entry) => {
                    assert_eq!(&entry.stream, stream);
                    return entry;
                }
                Delivery::CaughtUp { .. } | Delivery::Passed { .. } => {}
                other => panic!("an event was due, not {other:?}"),
            }
        }
    }

    /// The next event must hold this number.
    pub(crate) async fn value(&mut self, stream: &StreamName, expected: u64) {
        assert_eq!(value(&*self.entry(stream).await), expected);
    }

    /// The next events must hold these numbers.
    pub(crate) async fn expect(&mut self, stream: &StreamName, expected: impl IntoIterator<Item = u64>) {
        for n in expected {
            self.value(stream, n).await;
        }
    }

    /// The next delivery must say that everything was delivered.
    pub(crate) async fn caught_up(&mut self, stream: &StreamName) -> Cursor {
        match self.next().await {
            Delivery::CaughtUp { stream: of, cursor } if &of == stream => cursor,
            other => panic!("caught up was due, not {other:?}"),
        }
    }

    /// Takes deliveries until the event with `last` has come. Returns the numbers, and how many were told lost.
    pub(crate) async fn through(&mut self, stream: &StreamName, last: u64) -> (Vec<u64>, u64) {
        let (mut numbers, mut lost_sum) = (Vec::new(), 0);
        while numbers.last() != Some(&last) {
            match self.next().await {
                Delivery::Event(entry) if &entry.stream == stream => numbers.push(value(&entry)),
                Delivery::Gap { stream: of, lost, .. } if &of == stream => lost_sum += lost,
                Delivery::CaughtUp { .. } | Delivery::Passed { .. } => {}
                other => panic!("an event or a gap of {stream} was due, not {other:?}"),
            }
        }
        (numbers, lost_sum)
    }

    /// Takes deliveries until a reset comes. Returns where delivery goes on.
    pub(crate) async fn reset(&mut self, stream: &StreamName) -> Cursor {
        loop {
            match self.next().await {
                Delivery::Reset { stream: of, cursor } if &of == stream => return cursor,
                Delivery::CaughtUp { .. } => {}
                other => panic!("a reset was due, not {other:?}"),
            }
        }
    }

    fn check(&mut self, delivery: &Delivery) {
        let stream = stream_of(delivery);
        let position = self.positions.get_mut(stream).expect("a stream that is followed");
        position.check(delivery);
        if matches!(delivery, Delivery::Ended { .. }) {
            self.positions.remove(stream);
        }
    }
}

fn stream_of(delivery: &Delivery) -> &StreamName {
    match delivery {
        Delivery::Event(entry) => &entry.stream,
        Delivery::Ephemeral(event) => &event.stream,
        Delivery::Gap { stream, .. }
        | Delivery::Reset { stream, .. }
        | Delivery::Unverified { stream, .. }
        | Delivery::CaughtUp { stream, .. }
        | Delivery::Passed { stream, .. }
        | Delivery::Degraded { stream, .. }
        | Delivery::Restored { stream, .. }
        | Delivery::Ended { stream, .. } => stream,
    }
}

impl Position {
    fn check(&mut self, delivery: &Delivery) {
        let at = self.cursor;
        let told = |cursor: Cursor| at.ordinal.zip(cursor.ordinal).map(|(a, b)| (a.0, b.0));
        match delivery {
            Delivery::Event(entry) => {
                assert!(entry.id() > at.id, "{:?} after {at}", entry.cursor);
                if let Some((from, to)) = told(entry.cursor) {
                    let joins = if self.filtered { to > from } else { to == from + 1 };
                    assert!(joins, "{:?} does not follow {at}", entry.cursor);
                }
                self.cursor = entry.cursor;
            }
            Delivery::Ephemeral(_) => panic!("nobody asked for ephemeral events"),
            Delivery::Gap { lost, cursor, .. } => {
                assert!(*lost > 0 && cursor.id >= at.id, "{delivery:?} at {at}");
                if let (Some((from, to)), false) = (told(*cursor), self.filtered) {
                    // The gap that a subscription begins with lies before its position.
                    assert!(to == from + lost || *cursor == at, "{delivery:?} at {at}");
                }
                self.cursor = *cursor;
            }
            Delivery::Reset { cursor, .. } | Delivery::Unverified { cursor, .. } => self.cursor = *cursor,
            Delivery::CaughtUp { cursor, .. } => {
                assert!(!std::mem::replace(&mut self.caught_up, true), "caught up once");
                self.forward(*cursor);
            }
            Delivery::Passed { cursor, .. } => {
                assert!(self.filtered, "only a filter passes over events");
                self.forward(*cursor);
            }
            Delivery::Degraded { .. } => assert!(!std::mem::replace(&mut self.away, true), "once"),
            Delivery::Restored { cursor, .. } => {
                assert!(std::mem::take(&mut self.away), "behind `degraded` alone");
                self.forward(*cursor);
            }
            Delivery::Ended { cursor, .. } => self.forward(*cursor),
        }
    }

    /// Moves on over what the filter held back; without one the position stands where it was.
    fn forward(&mut self, cursor: Cursor) {
        let at = self.cursor;
        if self.filtered {
            assert!(
                cursor.id >= at.id && cursor.ordinal >= at.ordinal,
                "{cursor} after {at}"
            );
        } else {
            assert_eq!(cursor.id, at.id, "nothing was skipped");
            if let (Some(Ordinal(was)), Some(Ordinal(is))) = (at.ordinal, cursor.ordinal) {
                assert_eq!(was, is);
            }
        }
        self.cursor = cursor;
    }
}

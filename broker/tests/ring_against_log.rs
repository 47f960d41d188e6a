//! What a ring holds against what the log holds, where the two disagree.
//!
//! An edge whose tail lags behind has entries in its ring that were trimmed: a reader who was told of their loss by
//! another edge, was cut off, and resumes here, must not be given them. And a reader who was live when the history
//! changed must be told, also if the ring was filled anew before it looked.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AppendError, Channel, Delivery, Direction, Edges, EphemeralError, Feed, Filter, From, Hub, HubConfig,
    Log, MemoryEdges, MemorySessions, NewEvent, Order, Page, ReadError, ReadRequest, Receipt, Sessions,
    Subscriber, SubscriberConfig, Unavailable,
};
use bytes::Bytes;
use futures_util::FutureExt;
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName, Verdict};

/// Entries that were added before the first one of these tests, and are gone.
const EARLIER: u64 = 1_000;

fn entry(n: u64) -> Arc<Entry> {
    entry_at(Cursor::new(EntryId::new(n, 0), EARLIER + n))
}

fn entry_at(cursor: Cursor) -> Arc<Entry> {
    let event = Event::new(Payload::Json(Bytes::from_static(b"1")));
    Arc::new(Entry::new(stream(), cursor, event))
}

fn stream() -> StreamName {
    "s".parse().unwrap()
}

/// A log of which the hub has found entries 1 to 6, and which answers as `read` says.
struct Scripted {
    hub: Arc<Hub>,
    sessions: Arc<dyn Sessions>,
    edges: Arc<dyn Edges>,
    reads: AtomicUsize,
    read: fn(usize, Direction) -> Page,
}

impl Scripted {
    fn new(read: fn(usize, Direction) -> Page) -> Arc<Self> {
        Arc::new_cyclic(|own: &Weak<Self>| Self {
            hub: Hub::new(HubConfig::default(), own.clone()),
            sessions: Arc::new(MemorySessions::default()),
            edges: Arc::new(MemoryEdges::default()),
            reads: AtomicUsize::new(0),
            read,
        })
    }

    async fn subscriber(self: &Arc<Self>, from: Cursor) -> Subscriber {
        self.subscriber_from(From::Cursor(from)).await
    }

    async fn subscriber_from(self: &Arc<Self>, from: From) -> Subscriber {
        let config = SubscriberConfig {
            order: Order::ByTime,
            streams_max: 1,
            ephemeral: false,
        };
        let mut subscriber = Subscriber::new(self.clone(), config);
        subscriber
            .subscribe(stream(), from, None, Filter::default())
            .await
            .unwrap();
        subscriber
    }
}

impl Feed for Scripted {
    fn watch(&self, channel: &Arc<Channel>) {
        channel.open(Cursor::new(EntryId::ZERO, EARLIER));
        channel.publish(&(1..=6).map(entry).collect::<Vec<_>>());
    }
    fn unwatch(&self, _: &Arc<Channel>) {}
}

#[async_trait]
impl Log for Scripted {
    async fn submit(&self, _: &StreamName, _: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        Err(AppendError::Closed)
    }
    async fn read(&self, _: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        let before = self.reads.fetch_add(1, Ordering::Relaxed);
        Ok((self.read)(before, request.direction))
    }
    async fn check(&self) -> Result<(), Unavailable> {
        Ok(())
    }
    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
    fn send_ephemeral(&self, _: &StreamName, _: Event) -> Result<(), EphemeralError> {
        Err(Unavailable("not in this test".into()).into())
    }
    fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }
    fn edges(&self) -> &Arc<dyn Edges> {
        &self.edges
    }
}

/// What a subscriber is given next: the IDs of events, 0 for a reset.
async fn next(subscriber: &mut Subscriber) -> Vec<u64> {
    let mut out = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), subscriber.next(1_000_000, &mut out))
        .await
        .unwrap();
    let id = |delivery: &Delivery| match delivery {
        Delivery::Event(entry) => Some(entry.id().ms),
        Delivery::Reset { .. } => Some(0),
        _ => None,
    };
    out.iter().filter_map(id).collect()
}

/// The page of a log that holds only 8 and 9 by now.
fn trimmed(_: usize, _: Direction) -> Page {
    Page {
        entries: vec![entry(8), entry(9)],
        cursor: entry(9).cursor,
        head: entry(9).cursor,
        tail_reached: true,
        verdict: Verdict::Continuous,
        degraded: false,
    }
}

#[tokio::test]
async fn a_reader_that_was_told_of_a_loss_elsewhere_goes_on_behind_it() {
    // Seen up to 3, then told that 4 to 7 are gone.
    let mut subscriber = Scripted::new(trimmed)
        .subscriber(Cursor::new(EntryId::new(3, 0), EARLIER + 7))
        .await;
    assert_eq!(next(&mut subscriber).await, [8, 9]);
}

#[tokio::test]
async fn a_reader_that_was_told_of_nothing_is_served_from_the_ring() {
    let mut subscriber = Scripted::new(trimmed).subscriber(entry(3).cursor).await;
    assert_eq!(next(&mut subscriber).await, [4, 5, 6]);
}

/// The `n`-th entry of the history that follows; it has 32 by the end.
fn anew(n: u64) -> Arc<Entry> {
    entry_at(Cursor::new(EntryId::new(100 + n, 0), n))
}

fn created_anew(_: usize, direction: Direction) -> Page {
    let (count, verdict) = match direction {
        Direction::Backward { .. } => (0, Verdict::Continuous),
        Direction::Forward(From::Cursor(Cursor::START)) => (31, Verdict::Continuous),
        Direction::Forward(_) => (32, Verdict::Reset),
    };
    Page {
        entries: (1..=count).map(anew).collect(),
        cursor: anew(count.max(1)).cursor,
        head: anew(32).cursor,
        tail_reached: true,
        verdict,
        degraded: false,
    }
}

#[tokio::test]
async fn a_live_reader_is_told_of_another_history_also_if_the_ring_has_been_filled_with_it() {
    let log = Scripted::new(created_anew);
    let mut live = log.subscriber(entry(3).cursor).await;
    assert_eq!(next(&mut live).await, [4, 5, 6]);
    let channel = log.hub().channel(&stream()).unwrap();
    channel.invalidate(anew(31).cursor);
    // Another reader begins at the start, which puts what it reads in front of the ring.
    let mut other = log.subscriber(Cursor::START).await;
    assert_eq!(next(&mut other).await, (101..=131).collect::<Vec<_>>());
    channel.publish(&[anew(32)]);
    let expected: Vec<u64> = std::iter::once(0).chain(101..=132).collect();
    assert_eq!(next(&mut live).await, expected);
}

/// The end of a log which holds 7 when it is read first, and from then on 8 in its place: a roll-back.
fn rolled_back(reads_before: usize, direction: Direction) -> Page {
    let seven = entry(7).cursor;
    let eight = other_seventh();
    let (entries, head, verdict) = match (reads_before, direction) {
        (0, _) => (Vec::new(), seven, Verdict::Continuous),
        (_, Direction::Backward { .. }) => (vec![entry(6)], eight.cursor, Verdict::Continuous),
        (_, Direction::Forward(_)) => (vec![eight.clone()], eight.cursor, Verdict::Reset),
    };
    Page {
        entries,
        cursor: head,
        head,
        tail_reached: true,
        verdict,
        degraded: false,
    }
}

/// What was added instead of the entry 7, later.
fn other_seventh() -> Arc<Entry> {
    entry_at(Cursor::new(EntryId::new(8, 0), EARLIER + 7))
}

#[tokio::test]
async fn a_reader_who_is_ahead_of_the_tail_is_told_if_what_it_has_read_is_gone_before_the_tail_gets_there() {
    let log = Scripted::new(rolled_back);
    let mut ahead = log.subscriber_from(From::Now).await;
    assert_eq!(next(&mut ahead).now_or_never(), Some(Vec::new()), "caught up");
    let channel = log.hub().channel(&stream()).unwrap();
    channel.publish(&[other_seventh()]);
    assert_eq!(next(&mut ahead).await, [0, 8]);
}

#[tokio::test]
async fn a_reader_who_is_ahead_of_the_tail_waits_for_it_in_the_ring() {
    let log = Scripted::new(rolled_back);
    let mut ahead = log.subscriber_from(From::Now).await;
    assert_eq!(next(&mut ahead).now_or_never(), Some(Vec::new()), "caught up");
    let channel = log.hub().channel(&stream()).unwrap();
    channel.publish(&[entry(7), entry(8)]);
    assert_eq!(next(&mut ahead).await, [8]);
    channel.publish(&[entry(9)]);
    assert_eq!(next(&mut ahead).await, [9]);
    assert_eq!(log.reads.load(Ordering::Relaxed), 1, "just to find the end");
}

/// The end of a log that holds 40.
fn forty(_: usize, _: Direction) -> Page {
    Page {
        entries: Vec::new(),
        cursor: entry(40).cursor,
        head: entry(40).cursor,
        tail_reached: true,
        verdict: Verdict::Continuous,
        degraded: false,
    }
}

#[tokio::test]
async fn a_reader_who_is_far_ahead_and_takes_little_at_a_time_passes_over_all_that_it_has_read() {
    let log = Scripted::new(forty);
    let mut ahead = log.subscriber_from(From::Now).await;
    assert_eq!(next(&mut ahead).now_or_never(), Some(Vec::new()), "caught up");
    let channel = log.hub().channel(&stream()).unwrap();
    channel.publish(&(7..=41).map(entry).collect::<Vec<_>>());
    let mut out = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), ahead.next(1, &mut out))
        .await
        .unwrap();
    assert!(matches!(&out[..], [Delivery::Event(entry)] if entry.id().ms == 41));
}

/// First the end of the old history, from then on the new one.
fn changing(reads_before: usize, direction: Direction) -> Page {
    if reads_before > 0 {
        return created_anew(reads_before, direction);
    }
    Page {
        entries: Vec::new(),
        cursor: entry(6).cursor,
        head: entry(6).cursor,
        tail_reached: true,
        verdict: Verdict::Continuous,
        degraded: false,
    }
}

#[tokio::test]
async fn a_page_that_was_read_before_the_history_changed_does_not_lead_into_the_new_one() {
    let log = Scripted::new(changing);
    let mut live = log.subscriber(entry(3).cursor).await;
    assert_eq!(next(&mut live).await, [4, 5, 6]);
    let channel = log.hub().channel(&stream()).unwrap();
    // Something makes it read the log again, and it finds nothing new.
    channel.invalidate(entry(6).cursor);
    assert_eq!(next(&mut live).now_or_never(), None);
    while log.reads.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Before it looks at that, the stream is created anew.
    channel.invalidate(Cursor::START);
    channel.publish(&(1..=32).map(anew).collect::<Vec<_>>());
    let expected: Vec<u64> = std::iter::once(0).chain(101..=132).collect();
    assert_eq!(next(&mut live).await, expected);
}

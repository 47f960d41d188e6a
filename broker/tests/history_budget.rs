//! Readers who ask for history and do not take it hold no more of it than they may together, and in the end have
//! everything.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use broker::{
    AppendError, Delivery, Edges, EphemeralError, Filter, From, Hub, HubConfig, Log, MemoryConfig, MemoryLog,
    NewEvent, Order, Page, ReadError, ReadRequest, Receipt, Sessions, Subscriber, SubscriberConfig,
    Unavailable,
};
use bytes::Bytes;
use shared::{Entry, Event, Payload, StreamName};

const EVENTS: usize = 2_000;
const EVENT_BYTES: usize = 1_000;
const READERS: usize = 200;
const RING_ENTRIES: usize = 16;
/// What an event counts beside its data.
const BESIDE_BYTES: usize = size_of::<Entry>() + 200;
/// Rounds in which all tasks that can run have run, however they wait for each other.
const ROUNDS: usize = 1_000;

/// A log with a stream of [`EVENTS`] events, of which the ring has few.
async fn log(history_bytes_max: usize) -> (Arc<MemoryLog>, StreamName) {
    let log = MemoryLog::new(MemoryConfig {
        hub: HubConfig {
            ring_entries_max: RING_ENTRIES,
            history_bytes_max,
            ..HubConfig::default()
        },
        ..MemoryConfig::default()
    });
    let stream: StreamName = "log:api".parse().unwrap();
    let data = Bytes::from(format!("\"{}\"", "x".repeat(EVENT_BYTES)));
    let event = NewEvent::new(Event::new(Payload::Json(data)));
    log.submit(&stream, vec![event; EVENTS]).await.unwrap().await;
    (log, stream)
}

async fn reader<L: Log>(log: &Arc<L>, stream: &StreamName) -> Subscriber {
    let config = SubscriberConfig {
        order: Order::ByTime,
        streams_max: 1,
        ephemeral: false,
    };
    let mut reader = Subscriber::new(log.clone(), config);
    let joined = reader.subscribe(stream.clone(), From::Start, None, Filter::default());
    joined.await.unwrap();
    reader
}

/// The ordinals of the events that a reader gets until it has caught up.
async fn ordinals(reader: &mut Subscriber) -> Vec<u64> {
    let (mut ordinals, mut out) = (Vec::new(), Vec::new());
    loop {
        reader.next(4 * EVENT_BYTES, &mut out).await;
        for delivery in out.drain(..) {
            match delivery {
                Delivery::Event(entry) => ordinals.push(entry.cursor.ordinal.unwrap().0),
                Delivery::CaughtUp { .. } => return ordinals,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn readers_who_do_not_read_hold_no_more_than_they_may_together() {
    let budget = 100 * EVENT_BYTES;
    let (log, stream) = log(budget).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(reader(&log, &stream).await);
    }
    let held = log.hub().history_bytes();
    // Each has something, and the last ones have one event.
    assert!(held >= READERS * EVENT_BYTES, "{held}");
    assert!(held <= budget + READERS * (EVENT_BYTES + BESIDE_BYTES), "{held}");
    let all: Vec<u64> = (1..=EVENTS as u64).collect();
    for reader in &mut readers[READERS - 3..] {
        assert_eq!(ordinals(reader).await, all);
    }
    drop(readers);
    assert_eq!(log.hub().history_bytes(), 0);
}

#[tokio::test]
async fn a_reader_who_may_hold_nothing_gets_one_event_after_the_other() {
    let (log, stream) = log(0).await;
    let mut reader = reader(&log, &stream).await;
    let all: Vec<u64> = (1..=EVENTS as u64).collect();
    assert_eq!(ordinals(&mut reader).await, all);
    assert_eq!(log.hub().history_bytes(), 0);
}

/// The in-memory engine, whose pages have entries of their own as those of Redis have; and all of these.
struct Copies {
    log: Arc<MemoryLog>,
    read: Mutex<Vec<Weak<Entry>>>,
}

impl Copies {
    /// How many of the entries that were read are still in memory.
    fn in_memory(&self) -> usize {
        let read = self.read.lock().unwrap();
        read.iter().filter(|entry| entry.strong_count() > 0).count()
    }
}

#[async_trait]
impl Log for Copies {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        self.log.submit(stream, events).await
    }
    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        let mut page = self.log.read(stream, request).await?;
        for entry in &mut page.entries {
            *entry = Arc::new(Entry::new(
                entry.stream.clone(),
                entry.cursor,
                entry.event.clone(),
            ));
        }
        self.read
            .lock()
            .unwrap()
            .extend(page.entries.iter().map(Arc::downgrade));
        Ok(page)
    }
    async fn check(&self) -> Result<(), Unavailable> {
        self.log.check().await
    }
    fn hub(&self) -> &Arc<Hub> {
        self.log.hub()
    }
    fn send_ephemeral(&self, stream: &StreamName, event: Event) -> Result<(), EphemeralError> {
        self.log.send_ephemeral(stream, event)
    }
    fn sessions(&self) -> &Arc<dyn Sessions> {
        self.log.sessions()
    }
    fn edges(&self) -> &Arc<dyn Edges> {
        self.log.edges()
    }
}

/// A reader that has been given all that it holds has the next page read. It may not come back for it.
#[tokio::test]
async fn what_was_read_for_a_reader_who_does_not_come_back_is_within_the_bound_too() {
    let budget = 100 * EVENT_BYTES;
    let (log, stream) = log(budget).await;
    let log = Arc::new(Copies {
        log,
        read: Mutex::default(),
    });
    let (mut readers, mut taken) = (Vec::new(), 0);
    for _ in 0..READERS {
        let mut reader = reader(&log, &stream).await;
        let (mut events, mut out) = (0, Vec::new());
        // More than it holds, so that it goes on to read.
        while events < 10 {
            reader.next(64 * EVENT_BYTES, &mut out).await;
            events += out.drain(..).count();
        }
        taken = events as u64;
        readers.push(reader);
    }
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await;
    }
    assert!(log.read.lock().unwrap().len() > READERS * 20);
    let (held, in_memory) = (log.hub().history_bytes(), log.in_memory());
    assert!(
        in_memory <= 100 + READERS + RING_ENTRIES,
        "{in_memory} of which {held} bytes are counted"
    );
    assert!(in_memory >= READERS, "{in_memory}");
    assert!(
        held >= (in_memory.saturating_sub(RING_ENTRIES)) * EVENT_BYTES,
        "{in_memory}, {held}"
    );
    assert!(held <= budget + READERS * (EVENT_BYTES + BESIDE_BYTES), "{held}");
    let reader = readers.last_mut().unwrap();
    let left: Vec<u64> = (taken + 1..=EVENTS as u64).collect();
    assert_eq!(ordinals(reader).await, left);
    drop(readers);
    assert_eq!(log.hub().history_bytes(), 0);
    assert!(log.in_memory() <= RING_ENTRIES);
}

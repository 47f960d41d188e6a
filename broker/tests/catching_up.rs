//! How a subscriber reads what it has missed: without pauses, and one page ahead of its reader.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AppendError, Delivery, Direction, Edges, EphemeralError, Filter, From, Hub, Log, MemoryConfig, MemoryLog,
    NewEvent, Order, Page, ReadError, ReadRequest, Receipt, Sessions, Subscriber, SubscriberConfig,
    Unavailable,
};
use bytes::Bytes;
use shared::limits::PAGE_ENTRIES_MAX;
use shared::{Event, Payload, StreamName};

const EVENTS: usize = 30_000;
/// Bytes that the reader takes at once: a small part of a page.
const TAKE_BYTES: usize = 4 * 1024;

/// The in-memory engine, and what was read from it: how many entries each read asked for.
struct Watched {
    log: Arc<MemoryLog>,
    asked: Mutex<Vec<usize>>,
}

#[async_trait]
impl Log for Watched {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        self.log.submit(stream, events).await
    }
    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        assert!(matches!(request.direction, Direction::Forward(_)));
        self.asked.lock().unwrap().push(request.limit);
        self.log.read(stream, request).await
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

/// A subscriber to a stream with [`EVENTS`] events, from its start.
async fn behind() -> (Arc<Watched>, Subscriber) {
    let log = Arc::new(Watched {
        log: MemoryLog::new(MemoryConfig::default()),
        asked: Mutex::default(),
    });
    let stream: StreamName = "log:api".parse().unwrap();
    let event = NewEvent::new(Event::new(Payload::Json(Bytes::from_static(b"1"))));
    log.submit(&stream, vec![event; EVENTS]).await.unwrap().await;
    let config = SubscriberConfig {
        order: Order::ByTime,
        streams_max: 1,
        ephemeral: false,
    };
    let mut subscriber = Subscriber::new(log.clone(), config);
    subscriber
        .subscribe(stream, From::Start, None, Filter::default())
        .await
        .unwrap();
    (log, subscriber)
}

/// Takes everything; calls `each` after every take with how many events there were so far.
async fn take_all(subscriber: &mut Subscriber, mut each: impl FnMut(usize)) {
    let (mut taken, mut out) = (0, Vec::new());
    while taken < EVENTS {
        subscriber.next(TAKE_BYTES, &mut out).await;
        let events = |delivery: &Delivery| matches!(delivery, Delivery::Event(_));
        taken += out.drain(..).filter(events).count();
        each(taken);
    }
}

#[tokio::test(start_paused = true)]
async fn no_page_waits_for_a_clock() {
    let (_, mut subscriber) = behind().await;
    // Between two ticks of the timer, which knows whole milliseconds: whoever waits for it waits for the next one.
    tokio::time::advance(Duration::from_micros(300)).await;
    let begun = tokio::time::Instant::now();
    take_all(&mut subscriber, |_| {}).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// On one thread the next read can only have begun if the reader let it.
#[tokio::test]
async fn the_next_page_is_being_read_while_this_one_is_taken() {
    let (log, mut subscriber) = behind().await;
    let (mut seen, mut before) = (0, 0);
    take_all(&mut subscriber, |taken| {
        let asked = log.asked.lock().unwrap();
        let ahead = asked.iter().sum::<usize>() - before;
        if asked.last() == Some(&PAGE_ENTRIES_MAX) && before + ahead < EVENTS {
            assert!(ahead >= PAGE_ENTRIES_MAX, "{ahead} were asked for after {before}");
            assert!(
                ahead <= 3 * PAGE_ENTRIES_MAX,
                "{ahead} were asked for after {before}"
            );
            seen += 1;
        }
        before = taken;
    })
    .await;
    assert!(seen > 100, "{seen} takes from full pages");
}

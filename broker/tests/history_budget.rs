//! Readers who ask for history and do not take it hold no more of it than they may together, and in the end have
//! everything.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use broker::{
    Delivery, Filter, From, HubConfig, Log, MemoryConfig, MemoryLog, NewEvent, Order, Subscriber,
    SubscriberConfig,
};
use bytes::Bytes;
use shared::{Event, Payload, StreamName};

const EVENTS: usize = 2_000;
const EVENT_BYTES: usize = 1_000;
const READERS: usize = 200;
/// What an event counts beside its data.
const BESIDE_BYTES: usize = 200;

/// A log with a stream of [`EVENTS`] events, of which the ring has few.
async fn log(history_bytes_max: usize) -> (Arc<MemoryLog>, StreamName) {
    let log = MemoryLog::new(MemoryConfig {
        hub: HubConfig {
            ring_entries_max: 16,
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

async fn reader(log: &Arc<MemoryLog>, stream: &StreamName) -> Subscriber {
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

//! An edge whose tail lags behind: its ring still holds entries that were trimmed. A reader who was told of their loss
//! by another edge, was cut off, and resumes here, must not be given them.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AppendError, Channel, Delivery, Feed, Filter, From, Hub, HubConfig, Log, NewEvent, Order, Page,
    ReadError, ReadRequest, Receipt, Subscriber, SubscriberConfig, Unavailable,
};
use bytes::Bytes;
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName, Verdict};

fn entry(n: u64) -> Arc<Entry> {
    let cursor = Cursor::new(EntryId::new(n, 0), n);
    Arc::new(Entry::new(
        stream(),
        cursor,
        Event::new(Payload::Json(Bytes::from_static(b"1"))),
    ))
}

fn stream() -> StreamName {
    "s".parse().unwrap()
}

/// Entries 1 to 9 were added. The tail has found 1 to 6; the log holds only 8 and 9 by now.
struct Lagging {
    hub: Arc<Hub>,
    asked: Mutex<Vec<ReadRequest>>,
}

impl Feed for Lagging {
    fn watch(&self, channel: &Arc<Channel>) {
        channel.open(Cursor::START);
        channel.publish(&(1..=6).map(entry).collect::<Vec<_>>());
    }
    fn unwatch(&self, _: &Arc<Channel>) {}
}

#[async_trait]
impl Log for Lagging {
    async fn submit(&self, _: &StreamName, _: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        Err(AppendError::Closed)
    }
    async fn read(&self, _: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        self.asked.lock().unwrap().push(*request);
        Ok(Page {
            entries: vec![entry(8), entry(9)],
            cursor: entry(9).cursor,
            head: entry(9).cursor,
            tail_reached: true,
            verdict: Verdict::Continuous,
        })
    }
    async fn check(&self) -> Result<(), Unavailable> {
        Ok(())
    }
    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

/// The IDs of what a subscriber is given first after `from`.
async fn first_after(from: Cursor) -> Vec<u64> {
    let log = Arc::new_cyclic(|own: &Weak<Lagging>| Lagging {
        hub: Hub::new(HubConfig::default(), own.clone()),
        asked: Mutex::default(),
    });
    let config = SubscriberConfig {
        order: Order::ByTime,
        streams_max: 1,
    };
    let mut subscriber = Subscriber::new(log.clone(), config);
    let from = From::Cursor(from);
    subscriber
        .subscribe(stream(), from, None, Filter::default())
        .await
        .unwrap();
    let mut out = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), subscriber.next(1_000_000, &mut out))
        .await
        .unwrap();
    let id = |delivery: &Delivery| match delivery {
        Delivery::Event(entry) => Some(entry.id().ms),
        _ => None,
    };
    out.iter().filter_map(id).collect()
}

#[tokio::test]
async fn a_reader_that_was_told_of_the_loss_goes_on_behind_it() {
    // Seen up to 3, then told that 4 to 7 are gone.
    assert_eq!(first_after(Cursor::new(EntryId::new(3, 0), 7)).await, [8, 9]);
}

#[tokio::test]
async fn a_reader_that_was_told_of_nothing_is_served_from_the_ring() {
    assert_eq!(first_after(Cursor::new(EntryId::new(3, 0), 3)).await, [4, 5, 6]);
}

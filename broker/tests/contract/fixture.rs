//! What a case is given: a log of one engine, its hidden side, and small words for events and pages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    Appended, Direction, From, HubConfig, Limits, Log, NewEvent, Page, ReadRequest, Retention, RetentionRules,
};
use bytes::Bytes;
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName};

/// How long a case waits for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A fresh log of one engine, and the hidden side of its streams.
#[async_trait]
pub(crate) trait Fixture: Send + Sync + Sized + 'static {
    /// A stream as it was at one moment.
    type Snapshot: Send + Sync + Clone;

    /// Randomised runs per test, where no number is given from outside.
    const MODEL_CASES: u32;

    async fn start(settings: Settings) -> Self;
    fn log(&self) -> Arc<dyn Log>;
    /// An `XADD` by another client. The fields are not empty, and `id` is above every other ID of the stream.
    async fn append_raw(&self, stream: &StreamName, id: Option<EntryId>, fields: &Fields) -> EntryId;
    /// Trims to exactly `keep` entries.
    async fn trim(&self, stream: &StreamName, keep: u64);
    /// Deletes one entry.
    async fn delete_entry(&self, stream: &StreamName, id: EntryId);
    /// Deletes the stream.
    async fn delete_stream(&self, stream: &StreamName);
    async fn snapshot(&self, stream: &StreamName) -> Self::Snapshot;
    /// Puts the stream back to what it was.
    async fn restore(&self, stream: &StreamName, snapshot: Self::Snapshot);
    /// Lets at least `by` go by on the clock of the log.
    async fn advance(&self, by: Duration);
}

/// The fields of an entry.
pub(crate) type Fields = [(Bytes, Bytes)];

/// Settings of a log that both engines have.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) retention: RetentionRules,
    pub(crate) hub: HubConfig,
}

impl Default for Settings {
    /// Everything is kept.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retention: RetentionRules {
                rules: Vec::new(),
                default: KEEP_ALL,
            },
            hub: HubConfig::default(),
        }
    }
}

impl Settings {
    /// With a ring of so few entries that everybody falls off it.
    pub(crate) fn tiny_ring(entries: usize) -> Self {
        let mut settings = Self::default();
        settings.hub.ring_entries_max = entries;
        settings
    }
}

pub(crate) const KEEP_ALL: Retention = Retention {
    entries_max: None,
    age_max: None,
    idle_max: None,
};

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// An event whose data is a number.
pub(crate) fn number(n: u64) -> NewEvent {
    NewEvent::new(Event::new(Payload::Json(Bytes::from(n.to_string()))))
}

/// An event with a name whose data is a number.
pub(crate) fn named(event: &str, n: u64) -> NewEvent {
    let mut new = number(n);
    new.event.name = Some(event.into());
    new
}

pub(crate) fn keyed(key: &str, n: u64) -> NewEvent {
    NewEvent {
        key: Some(key.parse().unwrap()),
        ..number(n)
    }
}

/// The number that is an entry's data.
pub(crate) fn value(entry: &Entry) -> u64 {
    std::str::from_utf8(entry.event.data.raw())
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) fn values(entries: &[Arc<Entry>]) -> Vec<u64> {
    entries.iter().map(|entry| value(entry)).collect()
}

pub(crate) fn cursors(entries: &[Arc<Entry>]) -> Vec<Cursor> {
    entries.iter().map(|entry| entry.cursor).collect()
}

/// Publishes the numbers in order; all must be new.
pub(crate) async fn publish(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<Cursor> {
    let events = numbers.into_iter().map(number).collect();
    let results = log.submit(stream, events).await.unwrap().await;
    let new = |appended: Appended| {
        assert!(!appended.duplicate);
        appended.cursor
    };
    results.into_iter().map(|result| new(result.unwrap())).collect()
}

/// A page forward with the largest limit.
pub(crate) async fn page(log: &Arc<dyn Log>, stream: &StreamName, from: From) -> Page {
    page_of(log, stream, from, shared::limits::PAGE_ENTRIES_MAX).await
}

/// A page forward.
pub(crate) async fn page_of(log: &Arc<dyn Log>, stream: &StreamName, from: From, limit: usize) -> Page {
    log.read(stream, &ReadRequest::forward(from, limit))
        .await
        .unwrap()
}

/// A page backward.
pub(crate) async fn page_back(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    before: Option<Cursor>,
    since: Option<EntryId>,
    limit: usize,
) -> Page {
    let request = ReadRequest {
        direction: Direction::Backward { before, since },
        until: None,
        limit,
    };
    log.read(stream, &request).await.unwrap()
}

/// Reads forward page by page to the tail.
pub(crate) async fn pages_to_tail(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    from: From,
    limit: usize,
) -> Vec<Page> {
    let mut pages = vec![page_of(log, stream, from, limit).await];
    while let Some(last) = pages.last()
        && !last.tail_reached
    {
        let from = From::Cursor(last.cursor);
        pages.push(page_of(log, stream, from, limit).await);
    }
    pages
}

/// Every entry of some pages, in order.
pub(crate) fn entries(pages: &[Page]) -> Vec<Arc<Entry>> {
    pages.iter().flat_map(|page| page.entries.clone()).collect()
}

/// Waits for `work` under the deadline of the suite.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("not in time: {what}"),
    }
}

//! What all subscribers of a run look at.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use shared::{EntryId, StreamName};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longest wait for all subscribers to reach the end.
const FINISH: Duration = Duration::from_secs(120);

/// What all subscribers look at.
#[derive(Debug)]
pub struct Surroundings {
    /// Where edges are reached.
    pub edges: Vec<SocketAddr>,
    /// Events that producers are done with so far, over all streams.
    pub published: Arc<AtomicU64>,
    /// The latest time in an ID that anyone has received, in milliseconds since 1970.
    pub seen_ms: Arc<AtomicU64>,
    /// Subscribers that have received something.
    pub receiving: AtomicUsize,
    /// Faults done so far.
    pub faults: watch::Receiver<usize>,
    /// Subscribers that take nothing at present, though they are connected.
    pub asleep: AtomicUsize,
    /// Set once nothing goes wrong any more.
    pub calm: CancellationToken,
    /// The last event of each stream, once nothing more will happen.
    pub last: watch::Receiver<Option<BTreeMap<StreamName, EntryId>>>,
    /// Stops everyone who has not reached the end.
    pub give_up: CancellationToken,
}

/// Where the end of each stream is told to all subscribers.
pub type End = watch::Sender<Option<BTreeMap<StreamName, EntryId>>>;

impl Surroundings {
    /// Edges that are reached here, and nothing that goes wrong. The sender tells where the streams end.
    pub fn new(edges: Vec<SocketAddr>) -> (End, Self) {
        let (end, last) = watch::channel(None);
        let surroundings = Self {
            edges,
            published: Arc::default(),
            seen_ms: Arc::default(),
            receiving: AtomicUsize::new(0),
            faults: watch::channel(0).1,
            asleep: AtomicUsize::new(0),
            calm: CancellationToken::new(),
            last,
            give_up: CancellationToken::new(),
        };
        (end, surroundings)
    }

    /// Waits until all subscribers have come to the end, or has them give up when that takes too long.
    pub async fn finish<T>(&self, subscribers: impl Future<Output = T>) -> T {
        let watchdog = async {
            sleep(FINISH).await;
            self.give_up.cancel();
            std::future::pending().await
        };
        tokio::select! {
            records = subscribers => records,
            never = watchdog => never,
        }
    }
}

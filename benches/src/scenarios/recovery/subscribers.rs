//! Subscribers: each follows two streams over one connection, and when that ends comes back to any edge with what it has
//! seen last, after the pauses of the official Socket.IO client, whatever it speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

use super::sequences::Sequences;
use crate::client::Options;
use crate::client::backoff::Backoff;
use crate::scenarios::follower::{Dialect, Follower, Line};

/// Subscribers that open their first connection at the same time.
const OPENING_MAX: usize = 100;
/// How long it may take until something holds for all.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection may take to open.
const OPENING: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
const DIALECTS: [Dialect; 3] = [Dialect::WebSocket, Dialect::SocketIo, Dialect::Sse];

/// A subscriber.
type Subscriber = Follower<Sequences>;

/// Running subscribers.
pub(super) struct Subscribers {
    tasks: JoinSet<Subscriber>,
    shared: Arc<Shared>,
    number: usize,
}

/// What all of them have in common.
struct Shared {
    edges: Vec<SocketAddr>,
    options: Options,
    opening: Semaphore,
    /// Those that have something of each stream.
    begun: AtomicUsize,
    /// Those that have all marks.
    marked: AtomicUsize,
    /// Open connections.
    connected: AtomicUsize,
    /// Connections that ended, or could not be opened.
    ended: AtomicUsize,
    /// How many events each stream has, once that is known.
    totals: watch::Sender<Option<Arc<Vec<u64>>>>,
    /// What has not come until now never will.
    give_up: watch::Sender<bool>,
}

/// What became of all subscribers.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// When each had all marks, the first first.
    pub(super) marked: Vec<Instant>,
    pub(super) missing: u64,
    pub(super) doubled: u64,
    /// Socket.IO sessions that were not recovered.
    pub(super) unrecovered: u64,
}

impl Subscribers {
    /// Starts so many. Each follows the first stream and one of the others.
    pub(super) fn start(number: usize, streams: &[String], edges: &[SocketAddr]) -> anyhow::Result<Self> {
        ensure!(streams.len() > 1 && !edges.is_empty(), "nothing to follow");
        let shared = Arc::new(Shared {
            edges: edges.to_vec(),
            options: Options::new(edges[0]),
            opening: Semaphore::new(OPENING_MAX),
            begun: AtomicUsize::new(0),
            marked: AtomicUsize::new(0),
            connected: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            totals: watch::channel(None).0,
            give_up: watch::channel(false).0,
        });
        let mut tasks = JoinSet::new();
        for subscriber in 0..number {
            let follows = [0, 1 + subscriber % (streams.len() - 1)];
            let names = follows.iter().map(|stream| streams[*stream].clone()).collect();
            let dialect = DIALECTS[subscriber % DIALECTS.len()];
            let follower = Follower::new(dialect, names, Sequences::of(&follows));
            tasks.spawn(run(follower, subscriber, shared.clone()));
        }
        Ok(Self {
            tasks,
            shared,
            number,
        })
    }

    /// Waits until each has something of each of its streams.
    pub(super) async fn begun(&self) -> anyhow::Result<()> {
        self.all(&self.shared.begun, "get events").await
    }

    /// Waits until each has the marks of its streams.
    pub(super) async fn marked(&self) -> anyhow::Result<()> {
        self.all(&self.shared.marked, "are live again").await
    }

    /// Waits until nobody is connected any more.
    pub(super) async fn cut_off(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.shared.connected.load(Ordering::Relaxed) > 0 {
            ensure!(Instant::now() < deadline, "connections outlive their edges");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Connections that ended so far, or could not be opened.
    pub(super) fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::Relaxed)
    }

    async fn all(&self, count: &AtomicUsize, what: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while count.load(Ordering::Relaxed) < self.number {
            let so_far = count.load(Ordering::Relaxed);
            ensure!(
                Instant::now() < deadline,
                "{so_far} of {} subscribers {what}",
                self.number
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until each has everything, or for [`PATIENCE`].
    pub(super) async fn finish(mut self, totals: Vec<u64>) -> anyhow::Result<Received> {
        self.shared.totals.send_replace(Some(Arc::new(totals.clone())));
        let mut received = Received::default();
        let late = tokio::time::sleep(PATIENCE);
        tokio::pin!(late);
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = &mut late, if !*self.shared.give_up.borrow() => {
                    self.shared.give_up.send_replace(true);
                    continue;
                }
            };
            let Some(ended) = ended else { break };
            let subscriber = ended?;
            let sequences = &subscriber.tally;
            received.missing += sequences.missing + sequences.outstanding(&totals);
            received.doubled += sequences.doubled;
            received.unrecovered += subscriber.unrecovered();
            received.marked.extend(sequences.marked());
        }
        received.marked.sort_unstable();
        Ok(received)
    }
}

/// What a subscriber shares, and hears.
struct Life {
    shared: Arc<Shared>,
    totals: watch::Receiver<Option<Arc<Vec<u64>>>>,
}

async fn run(mut subscriber: Subscriber, number: usize, shared: Arc<Shared>) -> Subscriber {
    let mut give_up = shared.give_up.subscribe();
    let totals = shared.totals.subscribe();
    let mut life = Life { shared, totals };
    tokio::select! {
        () = life.run(&mut subscriber, number) => {}
        _ = give_up.wait_for(|give_up| *give_up) => {}
    }
    subscriber
}

impl Life {
    async fn run(&mut self, subscriber: &mut Subscriber, number: usize) {
        let shared = self.shared.clone();
        let mut backoff = Backoff::new(number as u64);
        // The first connections are spread evenly; afterwards a balancer may give any edge.
        let mut edge = number;
        // A closed semaphore would open everything at once.
        let mut permit = shared.opening.acquire().await.ok();
        while !self.has_everything(subscriber) {
            let address = shared.edges[edge % shared.edges.len()];
            if self.connection(subscriber, address, &mut permit).await.is_ok() {
                return;
            }
            permit = None;
            edge = fastrand::usize(..shared.edges.len());
            shared.ended.fetch_add(1, Ordering::Relaxed);
            if subscriber.is_open() {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next(&shared.options)).await;
        }
    }

    /// One connection, until there is nothing left to receive; an error is its end.
    async fn connection(
        &mut self,
        subscriber: &mut Subscriber,
        address: SocketAddr,
        permit: &mut Option<SemaphorePermit<'_>>,
    ) -> anyhow::Result<()> {
        let mut line = tokio::time::timeout(OPENING, Line::open(subscriber, address)).await??;
        self.shared.connected.fetch_add(1, Ordering::Relaxed);
        let received = self.receive(&mut line, permit).await;
        self.shared.connected.fetch_sub(1, Ordering::Relaxed);
        received
    }

    async fn receive(
        &mut self,
        line: &mut Line<'_, Sequences>,
        permit: &mut Option<SemaphorePermit<'_>>,
    ) -> anyhow::Result<()> {
        let mut has_begun = line.client.tally.has_begun();
        let mut is_marked = line.client.tally.marked().is_some();
        while !self.has_everything(line.client) {
            tokio::select! {
                stepped = line.step() => stepped?,
                Ok(()) = self.totals.changed() => {}
            }
            if line.client.follows() {
                *permit = None;
            }
            let tally = &line.client.tally;
            if tally.has_begun() && !std::mem::replace(&mut has_begun, true) {
                self.shared.begun.fetch_add(1, Ordering::Relaxed);
            }
            if tally.marked().is_some() && !std::mem::replace(&mut is_marked, true) {
                self.shared.marked.fetch_add(1, Ordering::Relaxed);
            }
        }
        // What comes twice would come now.
        line.drain().await
    }

    fn has_everything(&self, subscriber: &Subscriber) -> bool {
        let totals = self.totals.borrow();
        let outstanding = |totals: &Arc<Vec<u64>>| subscriber.tally.outstanding(totals);
        totals.as_ref().map(outstanding) == Some(0)
    }
}

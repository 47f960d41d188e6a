//! Publishers: each publishes its events one after the other at a steady pace, over HTTP or over a WebSocket, with
//! idempotency keys or without, and notes what it was told of each. They judge nothing.
//!
//! What is refused is not published again, so that it can be looked for. What is in doubt (`unconfirmed`, or a lost
//! connection) is sent again if it has a key, until it is acknowledged; without a key it stays in doubt.

mod http;
mod websocket;

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use shared::{EntryId, StreamName};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause between two events of a publisher.
const PACE: Duration = Duration::from_millis(40);
/// Pause before a publisher goes to the next edge.
const PAUSE: Duration = Duration::from_millis(50);
/// An event without an answer for so long counts as hung: twice as long as an edge may take.
pub const HUNG: Duration = shared::limits::APPEND_TIMEOUT.saturating_mul(2);

/// How a publisher publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A request for each event.
    Http,
    /// Several events on their way over one WebSocket.
    WebSocket,
}

/// A publisher.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Identifies it in its events.
    pub number: u16,
    /// Where it publishes.
    pub stream: StreamName,
    /// How.
    pub way: Way,
    /// Whether its events have idempotency keys.
    pub keyed: bool,
    /// Through which edges: the first, and the next of them when that one is lost.
    pub edges: Vec<SocketAddr>,
}

/// What a publisher was told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log, there.
    Acknowledged(EntryId),
    /// It is not in the log.
    Refused,
    /// It may be in the log.
    Doubtful,
}

/// One try to publish an event.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// When it was sent.
    pub at: Instant,
    /// How long the answer took, or the end of the connection.
    pub took: Duration,
    /// What it was.
    pub outcome: Outcome,
}

/// What a publisher was told.
#[derive(Debug)]
pub struct Record {
    /// Who.
    pub plan: Plan,
    /// Events that were acknowledged, and the ID of the entry.
    pub acknowledged: Vec<(u32, EntryId)>,
    /// Events that were refused.
    pub refused: Vec<u32>,
    /// Events of which nobody has said what became of them.
    pub doubtful: Vec<u32>,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// Events that had no answer for [`HUNG`].
    pub hung: u64,
    /// Answers that should not have come.
    pub strange: Vec<String>,
}

/// How far a publisher has come; others look at it.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

impl Progress {
    /// Events acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Events refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Starts publishers. Each ends when `stop` is cancelled and it has nothing left to send again.
pub fn start(plans: Vec<Plan>, stop: &CancellationToken) -> (JoinSet<Record>, Vec<Arc<Progress>>) {
    let (mut tasks, mut all) = (JoinSet::new(), Vec::new());
    for plan in plans {
        let progress = Arc::<Progress>::default();
        all.push(progress.clone());
        let ledger = Ledger::new(plan, progress, stop.clone());
        match ledger.record.plan.way {
            Way::Http => tasks.spawn(http::publish(ledger)),
            Way::WebSocket => tasks.spawn(websocket::publish(ledger)),
        };
    }
    (tasks, all)
}

/// What is to be sent next, and what became of what was.
struct Ledger {
    record: Record,
    progress: Arc<Progress>,
    stop: CancellationToken,
    /// The next event that was never sent.
    next: u32,
    /// Events that are to be sent again, oldest first.
    again: VecDeque<u32>,
    /// Those of which nobody knows whether they are in the log.
    in_doubt: HashSet<u32>,
    /// Which of the edges it uses.
    edge: usize,
}

impl Ledger {
    fn new(plan: Plan, progress: Arc<Progress>, stop: CancellationToken) -> Self {
        Self {
            record: Record {
                plan,
                acknowledged: Vec::new(),
                refused: Vec::new(),
                doubtful: Vec::new(),
                attempts: Vec::new(),
                hung: 0,
                strange: Vec::new(),
            },
            progress,
            stop,
            next: 0,
            again: VecDeque::new(),
            in_doubt: HashSet::new(),
            edge: 0,
        }
    }

    /// The event to send now.
    fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.again.pop_front() {
            return Some(number);
        }
        if self.stop.is_cancelled() {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    /// Whether nothing is to be sent any more.
    fn is_done(&self) -> bool {
        self.stop.is_cancelled() && self.again.is_empty()
    }

    /// The event has not been sent after all.
    fn put_back(&mut self, number: u32) {
        self.again.push_front(number);
    }

    fn settle(&mut self, number: u32, at: Instant, outcome: Outcome) {
        let took = at.elapsed();
        self.record.hung += u64::from(took >= HUNG);
        self.record.attempts.push(Attempt { at, took, outcome });
        match outcome {
            Outcome::Acknowledged(id) => {
                self.in_doubt.remove(&number);
                self.record.acknowledged.push((number, id));
                self.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused => {
                self.progress.refused.fetch_add(1, Ordering::Relaxed);
                if self.in_doubt.contains(&number) {
                    // This try was refused; an earlier one may have come through.
                    self.again.push_back(number);
                } else {
                    self.record.refused.push(number);
                }
            }
            Outcome::Doubtful if self.record.plan.keyed => {
                self.in_doubt.insert(number);
                self.again.push_back(number);
            }
            Outcome::Doubtful => self.record.doubtful.push(number),
        }
    }

    fn edge(&self) -> SocketAddr {
        let edges = &self.record.plan.edges;
        edges[self.edge % edges.len()]
    }

    fn next_edge(&mut self) {
        self.edge += 1;
    }

    fn key(&self, number: u32) -> Option<String> {
        let plan = &self.record.plan;
        // Streams are new in each case, so keys need not tell cases apart.
        plan.keyed.then(|| format!("{}-{number}", plan.number))
    }

    /// What an answer says of its event. One that it should not be is noted, and leaves the event in doubt.
    fn outcome(&mut self, answer: &Answer) -> Outcome {
        let code = answer.error.as_ref().map(|error| error.code.as_str());
        match (code, answer.id.as_deref().map(str::parse)) {
            (None, Some(Ok(id))) => Outcome::Acknowledged(id),
            (Some("unavailable" | "closing"), None) => Outcome::Refused,
            (Some("unconfirmed"), None) => Outcome::Doubtful,
            _ => {
                self.record.strange.push(format!("{answer:?}"));
                Outcome::Doubtful
            }
        }
    }
}

/// The answer to an event, over either way.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "ref")]
    reference: Option<u32>,
    id: Option<String>,
    error: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
}

//! Appends: a few lanes, each with one connection, that everybody shares.
//!
//! A stream always uses the same lane, and a lane sends in order, so the order of a stream is the order in which
//! events were submitted. A lane drains what has come, groups it by stream, and sends one transaction per stream
//! ([`transaction`]; with idempotency keys one script, [`idempotency`]), many of them without waiting for answers.
//!
//! | module | owns |
//! |---|---|
//! | [`job`] | events on their way, and their results |
//! | [`backlog`] | what goes next |
//! | [`lane`] | the task: sends, settles, watches the clock |
//! | [`in_flight`] | what was sent, and its answers |
//! | [`upkeep`] | when a stream is due for trimming by age and a new expiry |

mod backlog;
mod idempotency;
mod in_flight;
mod job;
mod lane;
mod transaction;
mod upkeep;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use shared::StreamName;
use shared::limits::{
    APPEND_BATCHES_IN_FLIGHT_MAX, APPEND_BYTES_QUEUED_MAX, APPEND_TIMEOUT, APPENDS_QUEUED_MAX,
    CONNECT_TIMEOUT,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::Connector;
use super::fault::Fault;
use super::keys::KeyTemplate;
use super::link::{self, Link, LinkState};
use crate::{AppendError, Limits, NewEvent, Receipt, RetentionRules, Unavailable};
use job::{Candidate, Room};
use lane::{Arrival, Lane, Rules};

/// Handle of the lanes.
pub(super) struct Lanes {
    lanes: Vec<LaneHandle>,
    event_bytes_max: usize,
    probe: redis::Cmd,
    stop: CancellationToken,
}

struct LaneHandle {
    arrivals: mpsc::Sender<Arrival>,
    entries: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    link: watch::Receiver<LinkState>,
}

impl Lanes {
    /// Starts `count` lanes. They end when `stop` is cancelled, after what is queued then is settled.
    pub(super) fn start(
        count: usize,
        connector: &Connector,
        keys: &KeyTemplate,
        retention: RetentionRules,
        limits: &Limits,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let rules = Arc::new(Rules {
            keys: keys.clone(),
            retention,
            idempotency_window: limits.idempotency_window,
        });
        let start = |_| {
            let (arrivals, arriving) = mpsc::channel(APPENDS_QUEUED_MAX);
            // As many as there can be in flight: so a batch is always handed over at once, and in order.
            let queued_max = APPEND_BATCHES_IN_FLIGHT_MAX * 2;
            let (link, seen) = Link::new(connector.clone(), keys, "appends", queued_max);
            let lane = Lane::new(Arc::clone(&rules), arriving, link);
            tracker.spawn(lane.run(stop.clone()));
            LaneHandle {
                arrivals,
                entries: Arc::new(Semaphore::new(APPENDS_QUEUED_MAX)),
                bytes: Arc::new(Semaphore::new(APPEND_BYTES_QUEUED_MAX)),
                link: seen,
            }
        };
        Self {
            lanes: (0..count.max(1)).map(start).collect(),
            event_bytes_max: limits.event_bytes_max,
            probe: link::probe(keys),
            stop,
        }
    }

    /// See [`crate::Log::submit`].
    pub(super) async fn submit(
        &self,
        stream: &StreamName,
        events: Vec<NewEvent>,
    ) -> Result<Receipt, AppendError> {
        if self.stop.is_cancelled() {
            return Err(AppendError::Closed);
        }
        let deadline = Instant::now() + APPEND_TIMEOUT;
        let (mut entries, mut bytes) = (0, 0);
        let candidate = |new: NewEvent| {
            let size_bytes = new.event.size_bytes();
            if size_bytes > self.event_bytes_max {
                return Candidate::Refuse(AppendError::TooLarge {
                    size_bytes,
                    limit_bytes: self.event_bytes_max,
                });
            }
            entries += 1;
            bytes += size_bytes;
            Candidate::Take(new.event, new.key)
        };
        let candidates: Vec<_> = events.into_iter().map(candidate).collect();
        let lane = self.lane(stream);
        let room = lane.room(entries, bytes, deadline).await?;
        let (reply, receipt) = Receipt::new();
        let items = job::items(candidates, deadline, reply, room);
        if items.is_empty() {
            return Ok(receipt);
        }
        let stream = stream.clone();
        match lane.arrivals.try_send(Arrival { stream, items }) {
            Ok(()) => Ok(receipt),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AppendError::Closed),
            // There is a place for each entry that may be queued.
            Err(mpsc::error::TrySendError::Full(_)) => Err(too_slow()),
        }
    }

    /// Whether every lane can append now.
    pub(super) async fn check(&self) -> Result<(), Unavailable> {
        for lane in &self.lanes {
            let link = lane.link.borrow().clone();
            let mut link = link.map_err(|why| Unavailable(why.into()))?;
            match link::run_probe(&mut link.connection, &self.probe, CONNECT_TIMEOUT).await {
                Ok(()) => {}
                Err(Fault::Lost(why) | Fault::NotNow(why) | Fault::Refused(why)) => {
                    return Err(Unavailable(why.into()));
                }
                Err(Fault::Full) => return Err(Unavailable("Redis is out of memory".into())),
                Err(_) => return Err(Unavailable("Redis answers with something unexpected".into())),
            }
        }
        Ok(())
    }

    fn lane(&self, stream: &StreamName) -> &LaneHandle {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        &self.lanes[usize::try_from(hasher.finish() % lanes).unwrap_or_default()]
    }
}

impl LaneHandle {
    /// Waits for places in the queue. First come, first served.
    async fn room(&self, entries: usize, bytes: usize, deadline: Instant) -> Result<Room, AppendError> {
        // What is larger than the whole queue waits until it has the queue for itself.
        let permits = |wanted: usize, all: usize| u32::try_from(wanted.min(all)).unwrap_or(u32::MAX);
        let entries = permits(entries, APPENDS_QUEUED_MAX);
        let bytes = permits(bytes, APPEND_BYTES_QUEUED_MAX);
        let room = async {
            Ok(Room {
                _entries: Arc::clone(&self.entries).acquire_many_owned(entries).await?,
                _bytes: Arc::clone(&self.bytes).acquire_many_owned(bytes).await?,
            })
        };
        match timeout_at(deadline, room).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(tokio::sync::AcquireError { .. })) => Err(AppendError::Closed),
            Err(_) => match &*self.link.borrow() {
                Ok(_) => Err(too_slow()),
                Err(why) => Err(Unavailable((*why).into()).into()),
            },
        }
    }
}

fn too_slow() -> AppendError {
    Unavailable("more is appended than Redis takes".into()).into()
}

//! Appends: a few lanes, each with one connection to each node, that everybody shares.
//!
//! A stream always uses the same lane, and a lane sends in order, so the order of a stream is the order in which
//! events were submitted. A lane drains what has come, groups it by stream, and sends one transaction per stream
//! ([`transaction`]; with idempotency keys one script, [`idempotency`]), many of them without waiting for answers. A
//! stream whose slot moves to another node of a Redis Cluster stays in its lane, and so in its order.
//!
//! | module | owns |
//! |---|---|
//! | [`job`] | events on their way, and their results |
//! | [`backlog`] | what goes next |
//! | [`lane`] | the task: sends, settles, watches the clock |
//! | [`route`] | the way of a lane to one node |
//! | [`in_flight`] | what was sent, and its answers |
//! | [`upkeep`] | when a stream is due for trimming by age and a new expiry |

mod backlog;
mod idempotency;
mod in_flight;
mod job;
mod lane;
mod route;
mod transaction;
mod upkeep;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use shared::StreamName;
use shared::limits::{APPEND_BYTES_QUEUED_MAX, APPEND_TIMEOUT, APPENDS_QUEUED_MAX};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::RedisConfig;
use super::keys::KeyTemplate;
use super::topology::Topology;
use crate::{AppendError, NewEvent, Receipt, Unavailable};
use job::{Candidate, Room};
use lane::{Arrival, Lane, Rules};

/// Handle of the lanes.
pub(super) struct Lanes {
    lanes: Vec<LaneHandle>,
    topology: Arc<Topology>,
    event_bytes_max: usize,
    stop: CancellationToken,
}

struct LaneHandle {
    arrivals: mpsc::Sender<Arrival>,
    entries: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Lanes {
    /// Starts the lanes. They end when `stop` is cancelled, after what is queued then is settled.
    pub(super) fn start(
        topology: &Arc<Topology>,
        keys: &KeyTemplate,
        config: &RedisConfig,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let rules = Arc::new(Rules {
            keys: keys.clone(),
            retention: config.retention.clone(),
            idempotency_window: config.limits.idempotency_window,
        });
        let start = |index| {
            let (arrivals, arriving) = mpsc::channel(APPENDS_QUEUED_MAX);
            let lane = Lane::new(index, Arc::clone(&rules), arriving, Arc::clone(topology));
            tracker.spawn(lane.run(stop.clone()));
            LaneHandle {
                arrivals,
                entries: Arc::new(Semaphore::new(APPENDS_QUEUED_MAX)),
                bytes: Arc::new(Semaphore::new(APPEND_BYTES_QUEUED_MAX)),
            }
        };
        Self {
            lanes: (0..config.append_connections.max(1)).map(start).collect(),
            topology: Arc::clone(topology),
            event_bytes_max: config.limits.event_bytes_max,
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
        let index = self.lane(stream);
        let lane = &self.lanes[index];
        let Some(room) = lane.room(entries, bytes, deadline).await? else {
            let away = self.topology.owner(stream).appends_away(index);
            return Err(away.map_or_else(too_slow, |why| Unavailable(why.into()).into()));
        };
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

    fn lane(&self, stream: &StreamName) -> usize {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        usize::try_from(hasher.finish() % lanes).unwrap_or_default()
    }
}

impl LaneHandle {
    /// Waits for places in the queue, until `deadline`. First come, first served.
    async fn room(
        &self,
        entries: usize,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Option<Room>, AppendError> {
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
            Ok(Ok(room)) => Ok(Some(room)),
            Ok(Err(tokio::sync::AcquireError { .. })) => Err(AppendError::Closed),
            Err(_) => Ok(None),
        }
    }
}

fn too_slow() -> AppendError {
    Unavailable("more is appended than Redis takes".into()).into()
}

//! Appends: a few lanes, each with one connection to each node, that everybody shares.
//!
//! A stream always uses the same lane, and a lane sends in order, so the order of a stream is the order in which
//! events were submitted. A lane drains what has come, groups it by stream, and sends one transaction per stream
//! ([`transaction`]; with idempotency keys one script, [`idempotency`]), many of them without waiting for answers. A
//! stream whose slot moves to another node of a Redis Cluster stays in its lane, and so in its order.
//!
//! Appends that must be safer than in the memory of the primary have lanes of their own, one for each durability that is
//! asked for, opened when it first is: waiting blocks a connection, and nobody else is to wait.
//!
//! | module | owns |
//! |---|---|
//! | [`job`] | events on their way, and their results |
//! | [`backlog`] | what goes next |
//! | [`lane`] | the task: sends, settles, watches the clock; waits until appends are safe |
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

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use shared::StreamName;
use shared::limits::{APPEND_ANSWER_TIMEOUT, APPEND_BYTES_QUEUED_MAX, APPEND_TIMEOUT, APPENDS_QUEUED_MAX};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::RedisConfig;
use super::keys::KeyTemplate;
use super::topology::{LaneId, Topology};
use crate::hub::lock;
use crate::{AppendError, Durability, NewEvent, Receipt, Unavailable};
use job::Room;
use lane::{Arrival, Lane, Rules};

/// Handle of the lanes.
pub(super) struct Lanes {
    /// Those that wait for nothing but the answer.
    plain: Vec<Arc<LaneHandle>>,
    /// Those that wait until an append is safe.
    durable: Mutex<HashMap<Durability, Arc<LaneHandle>>>,
    rules: Arc<Rules>,
    tracker: TaskTracker,
    /// For events that do not say.
    durability: Durability,
    topology: Arc<Topology>,
    event_bytes_max: usize,
    stop: CancellationToken,
}

struct LaneHandle {
    id: LaneId,
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
            durability_timeout: config.durability_timeout,
            outage_wait: config.append_outage_wait,
        });
        let mut lanes = Self {
            plain: Vec::new(),
            durable: Mutex::default(),
            rules,
            tracker: tracker.clone(),
            durability: config.durability,
            topology: Arc::clone(topology),
            event_bytes_max: config.limits.event_bytes_max,
            stop,
        };
        let plain = (0..config.append_connections.max(1)).map(LaneId::Plain);
        lanes.plain = plain.map(|id| lanes.start_lane(id)).collect();
        if config.durability != Durability::Primary {
            // So that the first publish need not wait for a connection.
            lanes.durable_lane(config.durability);
        }
        lanes
    }

    fn start_lane(&self, id: LaneId) -> Arc<LaneHandle> {
        let (arrivals, arriving) = mpsc::channel(APPENDS_QUEUED_MAX);
        let lane = Lane::new(id, Arc::clone(&self.rules), arriving, Arc::clone(&self.topology));
        self.tracker.spawn(lane.run(self.stop.clone()));
        Arc::new(LaneHandle {
            id,
            arrivals,
            entries: Arc::new(Semaphore::new(APPENDS_QUEUED_MAX)),
            bytes: Arc::new(Semaphore::new(APPEND_BYTES_QUEUED_MAX)),
        })
    }

    fn durable_lane(&self, durability: Durability) -> Arc<LaneHandle> {
        let mut lanes = lock(&self.durable);
        let lane = lanes
            .entry(durability)
            .or_insert_with(|| self.start_lane(LaneId::Durable(durability)));
        Arc::clone(lane)
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
        let mut asked: BTreeMap<Durability, (usize, usize)> = BTreeMap::new();
        let first = |new: &NewEvent| {
            let size_bytes = new.event.size_bytes();
            if size_bytes > self.event_bytes_max {
                return Err(AppendError::TooLarge {
                    size_bytes,
                    limit_bytes: self.event_bytes_max,
                });
            }
            let durability = new.durability.unwrap_or(self.durability);
            let (entries, bytes) = asked.entry(durability).or_default();
            *entries += 1;
            *bytes += size_bytes;
            Err(AppendError::Unconfirmed)
        };
        let results: Vec<_> = events.iter().map(first).collect();
        // What has waited for Redis must still have the time for its answer.
        let longest = APPEND_TIMEOUT.max(self.rules.outage_wait + APPEND_ANSWER_TIMEOUT);
        let mut deadline = Instant::now() + longest;
        if asked.keys().any(|durability| *durability != Durability::Primary) {
            deadline += self.rules.durability_timeout;
        }
        // Mostly one. In one order for all, so that nobody waits for another in a circle.
        let (mut lanes, mut rooms) = (Vec::new(), Vec::new());
        for (durability, (entries, bytes)) in asked {
            let lane = self.lane(stream, durability);
            let Some(room) = lane.room(entries, bytes, deadline).await? else {
                let away = self.topology.owner(stream).appends_away(lane.id);
                return Err(away.map_or_else(too_slow, |why| Unavailable(why.into()).into()));
            };
            rooms.push(room);
            lanes.push((durability, lane));
        }
        let (reply, receipt) = Receipt::new();
        let mut items = job::items(events, results, self.durability, deadline, reply, rooms);
        while let Some((durability, lane)) = lanes.pop() {
            let (now, later) = match lanes.is_empty() {
                true => (std::mem::take(&mut items), Vec::new()),
                false => items.into_iter().partition(|item| item.durability == durability),
            };
            items = later;
            let stream = stream.clone();
            let (refused, error) = match lane.arrivals.try_send(Arrival { stream, items: now }) {
                Ok(()) => continue,
                Err(mpsc::error::TrySendError::Closed(refused)) => (refused, AppendError::Closed),
                // There is a place for each entry that may be queued.
                Err(mpsc::error::TrySendError::Full(refused)) => (refused, too_slow()),
            };
            // These alone: another lane may have taken the others, which must not be told that they were refused.
            for mut item in refused.items {
                item.settle(Err(error.clone()));
            }
        }
        Ok(receipt)
    }

    /// The lane that all events of a stream take which are to be this durable.
    fn lane(&self, stream: &StreamName, durability: Durability) -> Arc<LaneHandle> {
        if durability != Durability::Primary {
            return self.durable_lane(durability);
        }
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let lanes = self.plain.len() as u64;
        Arc::clone(&self.plain[usize::try_from(hasher.finish() % lanes).unwrap_or_default()])
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
        // Mostly there are places, and then nothing has to be made that wakes.
        let free = |places: &Arc<Semaphore>, wanted| Arc::clone(places).try_acquire_many_owned(wanted);
        if let (Ok(_entries), Ok(_bytes)) = (free(&self.entries, entries), free(&self.bytes, bytes)) {
            return Ok(Some(Room { _entries, _bytes }));
        }
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

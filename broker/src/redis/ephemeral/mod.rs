//! Ephemeral events between edges: sharded pub/sub over one connection, subscribed only to the channels of streams that
//! somebody on this edge wants ephemeral events of.
//!
//! Everything goes by way of Redis, also to subscribers on the same edge, so that all edges see the same. What cannot be
//! sent at once is dropped, and what comes while the connection is away is lost: that is what ephemeral means.
//!
//! | module | owns |
//! |---|---|
//! | [`directory`] | which channels are wanted, and what comes in |
//! | [`code`] | what a channel is called and how an event is encoded |
//! | [`run`] | the task: connects, subscribes, sends |

mod code;
mod directory;
mod run;

use std::sync::Arc;

use shared::limits::{EPHEMERAL_BYTES_QUEUED_MAX, EPHEMERALS_QUEUED_MAX};
use shared::{Event, StreamName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::Connector;
use super::keys::KeyTemplate;
use super::topology::Guide;
use crate::{Away, Channel, EphemeralError, Unavailable, ephemeral};
use directory::Directory;

/// Handle of the task that exchanges ephemeral events with the other edges.
pub(super) struct Ephemerals {
    keys: KeyTemplate,
    directory: Arc<Directory>,
    outgoing: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
}

/// An event on its way to Redis.
struct Outgoing {
    channel: String,
    payload: Vec<u8>,
    /// Its place in the queue.
    _bytes: OwnedSemaphorePermit,
}

impl Ephemerals {
    /// Starts the task; it ends when `stop` is cancelled.
    pub(super) fn start(
        connector: Connector,
        guide: Guide,
        keys: KeyTemplate,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let directory = Arc::<Directory>::default();
        let (outgoing, queue) = mpsc::channel(EPHEMERALS_QUEUED_MAX);
        tracker.spawn(run::run(connector, guide, directory.clone(), queue, stop));
        Self {
            keys,
            directory,
            outgoing,
            bytes: Arc::new(Semaphore::new(EPHEMERAL_BYTES_QUEUED_MAX)),
        }
    }

    /// See [`crate::Log::send_ephemeral`].
    pub(super) fn send(&self, stream: &StreamName, event: &Event) -> Result<(), EphemeralError> {
        ephemeral::admit(event)?;
        if !self.directory.is_up() {
            return Err(not_sent("the other edges cannot be reached"));
        }
        let payload = code::encode(event);
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let too_much = || not_sent("more is sent than Redis takes");
        let permit = self.bytes.clone().try_acquire_many_owned(bytes);
        let outgoing = Outgoing {
            channel: code::channel(&self.keys, stream),
            payload,
            _bytes: permit.map_err(|_| too_much())?,
        };
        self.outgoing.try_send(outgoing).map_err(|_| too_much())?;
        metrics::counter!("weir_ephemerals_sent_total").increment(1);
        Ok(())
    }

    /// Lets the events of a stream come.
    pub(super) fn listen(&self, channel: &Arc<Channel>) {
        let name = code::channel(&self.keys, channel.stream());
        self.directory.listen(name, channel);
    }

    /// Lets them come no more.
    pub(super) fn unlisten(&self, channel: &Arc<Channel>) {
        let name = code::channel(&self.keys, channel.stream());
        self.directory.unlisten(&name, channel);
    }

    /// Why no events can be sent and received right now, if so.
    pub(super) fn away(&self) -> Option<Away> {
        self.directory.away()
    }
}

fn not_sent(why: &str) -> EphemeralError {
    metrics::counter!("weir_ephemerals_dropped_total").increment(1);
    Unavailable(why.into()).into()
}

//! The live tail of one Redis node: one task that owns one connection and follows every subscribed stream on it.
//!
//! The server's client tracking is the doorbell (`doorbell.rs`): whoever changes a key that this connection has read
//! since makes it ring, once. The loop (`run.rs`) collects the keys that rang and reads them in one go (`reads.rs`),
//! which registers interest in them again. The bell is only a hint: what is true is what the log holds, so a lost
//! connection costs nothing but one read of every stream, and each stream is checked by its counters now and then.
//! Who follows many streams hears of all of them at once (`tracking.rs`). Where the server refuses tracking, blocking reads ring instead (`blocking.rs`); everything else stays.

mod blocking;
mod doorbell;
mod followed;
mod later;
mod opening;
mod outage;
mod reads;
mod run;
#[cfg(test)]
mod tests;
mod tracking;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::TailMode;
use super::absence::Absence;
use super::connect::Connector;
use super::keys::KeyTemplate;
use super::topology::Guide;
use crate::{Away, Channel};
use doorbell::{Doorbell, Wish};

/// Handle of the task that follows streams on one node.
pub(super) struct Tail {
    doorbell: Arc<Doorbell>,
    absence: Arc<Absence>,
}

impl Tail {
    /// Starts the task; it ends when `stop` is cancelled.
    pub(super) fn start(
        connector: Connector,
        guide: Guide,
        keys: KeyTemplate,
        mode: TailMode,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let doorbell = Arc::<Doorbell>::default();
        let absence = Arc::<Absence>::default();
        tracker.spawn(run::run(
            connector,
            guide,
            keys,
            mode,
            doorbell.clone(),
            absence.clone(),
            stop,
        ));
        Self { doorbell, absence }
    }

    /// Follows a stream from its present head on, or from where another tail has left it. `asking`: the node has the
    /// stream, but not yet its slot.
    pub(super) fn watch(&self, channel: &Arc<Channel>, asking: bool) {
        self.doorbell.change(Wish::Follow { asking }, channel.clone());
    }

    /// Lets a stream go.
    pub(super) fn unwatch(&self, channel: &Arc<Channel>) {
        self.doorbell.change(Wish::LetGo, channel.clone());
    }

    /// Why the tail is not live: connected, with everything read that has rung. `None` if it is.
    pub(super) fn away(&self) -> Option<Away> {
        self.absence.away("the live tail has no connection to Redis")
    }
}

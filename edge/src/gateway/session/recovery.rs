//! The record of the session while it is served: stored when what is followed changes, touched so that it lives on.

use std::time::Instant;

use broker::{Generation, Saved, SessionError, Touched};
use bytes::Bytes;
use shared::{SessionId, StreamName};
use tracing::debug;

use super::{Now, Order, Session, Stored, Task};

/// What is known of the session's record.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) pid: SessionId,
    pub(super) generation: Generation,
    /// When it is to be stored again or touched next.
    pub(super) due: Instant,
    /// What is stored may not be what holds.
    stale: bool,
    saving: Option<Saving>,
    touching: bool,
}

/// Who waits for a record to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saving {
    /// The task: a client waits for its answer.
    Task,
    /// Nobody.
    Upkeep,
}

impl Recovery {
    /// A record that was stored or touched just now.
    pub(super) fn new(pid: SessionId, generation: Generation, due: Instant) -> Self {
        Self {
            pid,
            generation,
            due,
            stale: false,
            saving: None,
            touching: false,
        }
    }
}

impl Session {
    /// When a record that was stored or touched just now is to be touched again. Sessions that began together, because
    /// an edge was lost, do not stay together.
    pub(super) fn next_touch(&mut self, now: Now) -> Instant {
        let interval = self.limits.touch_interval();
        now.instant + interval.mul_f64(1.0 - self.random.f64() / 4.0)
    }

    /// The record of the session as it is now, without some streams.
    pub(super) fn record(&self, without: &[StreamName]) -> Bytes {
        let namespace = self.namespace.as_str();
        self.subscriptions.record(&self.sid, namespace, without).encode()
    }

    /// Stores the record for the task that waits for that; behind one that is being stored, if there is one.
    pub(super) fn store(&mut self, now: Now, out: &mut Vec<Order>) {
        let record = self.record(self.leaving());
        let due = self.next_touch(now);
        let Some(recovery) = &mut self.recovery else {
            return self.task_stored(out);
        };
        if recovery.saving.is_none() {
            recovery.saving = Some(Saving::Task);
            recovery.due = due;
            out.push(Order::Save(recovery.pid.clone(), recovery.generation, record));
        }
    }

    /// The streams that are about to be left: what is stored says so before the client is told.
    fn leaving(&self) -> &[StreamName] {
        match self.task.as_deref() {
            Some(Task::Storing(Stored::Leave(leaving))) => leaving.streams(),
            _ => &[],
        }
    }

    /// The record of the last [`Order::Save`] is stored, or not.
    ///
    /// Where nobody knows whether it is, the client can be told nothing that will hold if this edge dies: neither that
    /// it follows the streams nor that it does not. So the connection ends, and the client comes back to whatever is
    /// stored.
    pub(crate) fn saved(&mut self, outcome: Result<Saved, SessionError>, now: Now, out: &mut Vec<Order>) {
        let retry = now.instant + self.limits.retry_interval();
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        let was = recovery.saving.take();
        match outcome {
            Ok(Saved::Saved) => recovery.stale = false,
            Ok(Saved::TakenOver) => {
                debug!("the session is served by another edge now");
                return self.close(out);
            }
            Err(problem) if was == Some(Saving::Task) => {
                debug!(%problem, "what a client asked for cannot be stored");
                return self.close(out);
            }
            Err(_) => recovery.due = retry,
        }
        match was {
            Some(Saving::Task) => self.task_stored(out),
            // A task may have come meanwhile; what was stored is not yet what it wants stored.
            _ if matches!(self.task.as_deref(), Some(Task::Storing(_))) => self.store(now, out),
            _ => {}
        }
    }

    fn task_stored(&mut self, out: &mut Vec<Order>) {
        match self.task.take().map(|task| *task) {
            Some(Task::Storing(Stored::Followed(answering))) => self.followed(*answering, out),
            Some(Task::Storing(Stored::Leave(leaving))) => self.leave(leaving, out),
            other => self.task = other.map(Box::new),
        }
    }

    /// Stores the record again if it has to be, or keeps it alive, if it is time.
    pub(super) fn keep_record(&mut self, now: Now, out: &mut Vec<Order>) {
        let due = self
            .recovery
            .as_ref()
            .is_some_and(|recovery| now.instant >= recovery.due);
        if !due {
            return;
        }
        let idle = self.task.is_none();
        let record = self.record(&[]);
        let (next, retry) = (self.next_touch(now), now.instant + self.limits.retry_interval());
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        recovery.due = next;
        match (recovery.stale, recovery.saving) {
            (true, None) if idle => {
                recovery.saving = Some(Saving::Upkeep);
                out.push(Order::Save(recovery.pid.clone(), recovery.generation, record));
            }
            // What is under way stores it too.
            (true, _) => recovery.due = retry,
            (false, _) if !recovery.touching => {
                recovery.touching = true;
                out.push(Order::Touch(recovery.pid.clone()));
            }
            (false, _) => {}
        }
    }

    /// The record has been touched, or not.
    pub(crate) fn touched(&mut self, outcome: Result<Touched, SessionError>, now: Now) {
        let retry = now.instant + self.limits.retry_interval();
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        recovery.touching = false;
        match outcome {
            Ok(Touched::Known) => {}
            // The log has lost it: a restart without its data, or a fail-over.
            Ok(Touched::Gone) => {
                recovery.stale = true;
                recovery.due = now.instant;
            }
            Err(_) => recovery.due = retry,
        }
    }
}

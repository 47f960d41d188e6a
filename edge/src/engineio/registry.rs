//! The sessions of this edge: who has which ID, and how many there are.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

use super::mailbox::{Letter, Mailbox};
use super::sid::Sid;

/// Parts that are locked each for themselves.
const SHARDS: usize = 16;

/// Every session of this edge.
pub(crate) struct Registry {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    sessions_max: usize,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Shard {
    sessions: HashMap<Sid, Arc<Mailbox>>,
    draining: bool,
}

/// Why a session cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    /// There are as many as there may be.
    #[error("too many sessions")]
    Full,
    /// The edge stops.
    #[error("this edge is going away")]
    Draining,
}

impl Registry {
    /// No sessions yet.
    pub(crate) fn new(sessions_max: usize, tasks: TaskTracker) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            sessions_max,
            tasks,
        }
    }

    /// The mailbox of a session.
    pub(crate) fn find(&self, sid: &Sid) -> Option<Arc<Mailbox>> {
        self.shard(sid).sessions.get(sid).cloned()
    }

    /// Makes a place for a session.
    pub(crate) fn enter(self: &Arc<Self>, sid: Sid) -> Result<Place, NoPlace> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.sessions_max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(NoPlace::Full);
        }
        let mailbox = Arc::new(Mailbox::default());
        let place = Place {
            registry: Arc::clone(self),
            sid,
            mailbox: Arc::clone(&mailbox),
        };
        let mut shard = self.shard(&sid);
        if shard.draining {
            drop(shard);
            return Err(NoPlace::Draining);
        }
        shard.sessions.insert(sid, mailbox);
        drop(shard);
        Ok(place)
    }

    /// Tells every session that the edge stops, and lets none begin any more.
    pub(crate) fn drain(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.draining = true;
            for mailbox in shard.sessions.values() {
                // One that has ended needs not be told.
                let _ = mailbox.put(Letter::Drain);
            }
        }
    }

    /// How many sessions there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn shard(&self, sid: &Sid) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(sid) as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A map is whole between any two calls.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a session among those of this edge. It is free again when this is dropped.
pub(crate) struct Place {
    registry: Arc<Registry>,
    sid: Sid,
    mailbox: Arc<Mailbox>,
}

impl Place {
    /// The session's mailbox.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The session's ID.
    pub(crate) fn sid(&self) -> &Sid {
        &self.sid
    }

    /// Where tasks are spawned that a shutdown waits for.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.registry.tasks
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = self.registry.shard(&self.sid).sessions.remove(&self.sid);
        drop(removed);
        self.mailbox.close();
        self.registry.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::task::Waker;

    use super::*;

    fn sid(n: u8) -> Sid {
        Sid::new(shared::EdgeId::from_random([0; 6]), [n; 12])
    }

    #[test]
    fn sessions_are_found_until_they_leave_and_are_bounded() {
        let registry = Arc::new(Registry::new(2, TaskTracker::new()));
        let one = registry.enter(sid(1)).unwrap();
        let _two = registry.enter(sid(2)).unwrap();
        assert_eq!(registry.enter(sid(3)).err(), Some(NoPlace::Full));
        assert!(registry.find(&sid(1)).is_some() && registry.find(&sid(3)).is_none());
        let known = registry.find(&sid(1)).unwrap();
        drop(one);
        assert!(registry.find(&sid(1)).is_none());
        assert!(known.put(Letter::PostBroken).is_err());
        assert_eq!(registry.count(), 1);
        registry.enter(sid(3)).unwrap();
    }

    #[test]
    fn everybody_is_told_of_the_drain_and_nobody_comes_after_it() {
        let registry = Arc::new(Registry::new(100, TaskTracker::new()));
        let places: Vec<Place> = (0..50).map(|n| registry.enter(sid(n)).unwrap()).collect();
        registry.drain();
        for place in &places {
            assert!(matches!(place.mailbox().take(Waker::noop())[..], [Letter::Drain]));
        }
        assert_eq!(registry.enter(sid(99)).err(), Some(NoPlace::Draining));
        assert_eq!(registry.count(), 50);
    }
}

//! Whether the engine can see the stream in the log at present. It says so when it has lost sight of it for long enough
//! to be worth a word, and again when it has read the stream anew and published what it found. Each subscriber compares
//! that with what it has told its reader.

use std::sync::atomic::Ordering;

use super::{Channel, Lease, State, lock};

/// How often sight of a stream was lost and regained: odd while it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sight(u32);

impl Sight {
    /// Whether the log is away.
    pub(crate) fn is_lost(self) -> bool {
        self.0 % 2 == 1
    }

    /// What a reader knows who has been told nothing: that an outage, if there is one, is still to be told.
    pub(crate) fn untold(self) -> Self {
        Self(self.0 & !1)
    }
}

impl Channel {
    /// What is true now. Who looks at the ring after this finds everything in it that was published before sight was
    /// regained.
    pub(crate) fn sight(&self) -> Sight {
        Sight(self.sight.load(Ordering::Acquire))
    }

    /// Whether the log is away, as far as this stream goes: reads and appends are likely to fail, and nothing comes.
    pub fn is_degraded(&self) -> bool {
        self.sight().is_lost()
    }

    /// Since when the stream has been out of sight, in milliseconds since the Unix epoch, if it is.
    pub fn degraded_since_ms(&self) -> Option<u64> {
        // Under the lock, as both are changed together.
        let state = lock(&self.state);
        self.sight().is_lost().then_some(state.lost_since_ms)
    }

    /// Engine: the log has been away since then, in milliseconds since the Unix epoch. Tells the subscribers; a channel that
    /// was never opened has none.
    pub fn lose(&self, since_ms: u64) {
        self.lose_in(&mut lock(&self.state), since_ms);
    }

    /// Engine: the log is back, and what was added to the stream meanwhile has been published.
    pub fn regain(&self) {
        self.regain_in(&lock(&self.state));
    }

    /// [`Channel::lose`] by the holder of a lease.
    pub(crate) fn lose_by(&self, lease: Lease, since_ms: u64) {
        let mut state = lock(&self.state);
        if state.lease == lease {
            self.lose_in(&mut state, since_ms);
        }
    }

    /// [`Channel::regain`] by the holder of a lease.
    pub(crate) fn regain_by(&self, lease: Lease) {
        // Nearly always; the lock is for the others.
        if !self.sight().is_lost() {
            return;
        }
        let state = lock(&self.state);
        if state.lease == lease {
            self.regain_in(&state);
        }
    }

    fn lose_in(&self, state: &mut State, since_ms: u64) {
        if state.head.is_some() && !self.sight().is_lost() {
            state.lost_since_ms = since_ms;
            self.turn(state);
        }
    }

    fn regain_in(&self, state: &State) {
        if self.sight().is_lost() {
            self.turn(state);
        }
    }

    /// It is the other way round from now on. The lock is held.
    fn turn(&self, state: &State) {
        self.sight.fetch_add(1, Ordering::AcqRel);
        state.ring_all();
    }
}

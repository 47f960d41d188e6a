//! Streams that rang and are read a little later: as long as nobody is told of what comes
//! ([`Channel::quiet_until`](crate::Channel::quiet_until)), it need not be fetched either, and then all of it is fetched at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::run::Key;

/// Streams, each with the time to read it.
#[derive(Default)]
pub(super) struct Later {
    due: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Later {
    /// Has a stream read at a time.
    pub(super) fn push(&mut self, at: Instant, key: Key) {
        self.due.push(Reverse((at, key)));
    }

    /// Waits until the next one is due.
    pub(super) async fn due(&self) {
        match self.due.peek() {
            Some(Reverse((at, _))) => tokio::time::sleep_until((*at).into()).await,
            None => std::future::pending().await,
        }
    }

    /// The next one that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Key> {
        let Reverse((at, _)) = self.due.peek()?;
        if *at > now {
            return None;
        }
        self.due.pop().map(|Reverse((_, key))| key)
    }

    /// All of them, due or not.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Key> {
        self.due.drain().map(|Reverse((_, key))| key)
    }
}

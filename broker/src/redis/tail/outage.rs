//! For how long the node has been away, and when those who follow its streams are to be told. Touches no stream.

use std::time::{Duration, Instant};

use shared::limits::OUTAGE_GRACE;
use shared::time;

/// From the loss of a connection until everything has been read again.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Since>,
    told: bool,
}

#[derive(Debug, Clone, Copy)]
struct Since {
    at: Instant,
    ms: u64,
}

impl Outage {
    /// The connection is lost, or what was asked at `at` was not answered. If what was lost before has not been read
    /// again yet, it is still the same outage.
    pub(super) fn lost(&mut self, at: Instant) {
        self.since.get_or_insert_with(|| Since {
            at,
            ms: time::now_ms().saturating_sub(at.elapsed().as_millis() as u64),
        });
    }

    /// There is a connection. If it is lost before everything has been read, some streams have to be told anew.
    pub(super) fn connected(&mut self) {
        self.told = false;
    }

    /// Everything has been read again.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    /// Since when, in milliseconds since the Unix epoch, if that has been told.
    pub(super) fn told_since_ms(&self) -> Option<u64> {
        self.since.filter(|_| self.told).map(|since| since.ms)
    }

    /// How long until it is to be told; `None` if nothing is.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        let since = self.since.filter(|_| !self.told)?;
        Some((since.at + OUTAGE_GRACE).saturating_duration_since(now))
    }

    /// It is being told.
    pub(super) fn tell(&mut self) {
        self.told = true;
    }

    /// Waits until it is to be told. Cancel-safe.
    pub(super) async fn due(&self) {
        match self.due_in(Instant::now()) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_after_the_grace_and_once() {
        let mut outage = Outage::default();
        let now = Instant::now();
        assert_eq!(outage.due_in(now), None);
        outage.lost(now);
        assert_eq!(outage.due_in(now), Some(OUTAGE_GRACE));
        assert_eq!(outage.due_in(now + OUTAGE_GRACE), Some(Duration::ZERO));
        assert_eq!(outage.told_since_ms(), None);
        outage.tell();
        assert_eq!(outage.due_in(now + OUTAGE_GRACE), None);
        assert!(outage.told_since_ms().is_some());
        outage.over();
        assert_eq!(outage.told_since_ms(), None);
        assert_eq!(outage.due_in(now), None);
    }

    #[test]
    fn what_was_not_read_in_between_has_been_away_all_the_time() {
        let mut outage = Outage::default();
        let now = Instant::now();
        outage.lost(now);
        outage.lost(now + OUTAGE_GRACE / 2);
        assert_eq!(outage.due_in(now + OUTAGE_GRACE / 2), Some(OUTAGE_GRACE / 2));
        outage.tell();
        outage.lost(now + OUTAGE_GRACE);
        assert_eq!(outage.due_in(now + OUTAGE_GRACE), None, "nothing was read");
        outage.connected();
        outage.lost(now + OUTAGE_GRACE);
        assert_eq!(outage.due_in(now + OUTAGE_GRACE), Some(Duration::ZERO));
    }
}

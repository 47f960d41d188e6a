//! The clock that gives entries their IDs and lets things expire: this machine's, or one that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Tells the in-memory engine the time.
#[derive(Debug, Clone, Default)]
pub struct MemoryClock(Option<Arc<AtomicU64>>);

impl MemoryClock {
    /// This machine's clock.
    pub const SYSTEM: Self = Self(None);

    /// A clock that stands at `ms` (milliseconds since the Unix epoch) until it is moved. Clones are the same clock.
    pub fn manual(ms: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(ms))))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Some(ms) => ms.load(Ordering::SeqCst),
            None => shared::time::now_ms(),
        }
    }

    /// Moves a manual clock forward; the machine's clock goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Some(ms) = &self.0 {
            ms.fetch_add(whole_ms(by), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, also backwards.
    pub fn set(&self, to_ms: u64) {
        if let Some(ms) = &self.0 {
            ms.store(to_ms, Ordering::SeqCst);
        }
    }
}

/// The moment of an append.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Milliseconds since the Unix epoch.
    pub(super) ms: u64,
    /// A number that rises with every append to the log, within one millisecond too.
    pub(super) turn: u64,
}

/// A duration in whole milliseconds.
pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

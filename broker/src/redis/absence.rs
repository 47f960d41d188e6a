//! Since when a connection has been missing: set by the task that keeps it, asked for by whoever wants to know.

use std::sync::atomic::{AtomicU64, Ordering};

use shared::time;

use crate::Away;

/// Milliseconds since the Unix epoch; 0 while there is a connection.
#[derive(Debug)]
pub(super) struct Absence(AtomicU64);

impl Default for Absence {
    /// There is none yet.
    fn default() -> Self {
        Self(AtomicU64::new(time::now_ms()))
    }
}

impl Absence {
    /// There is a connection.
    pub(super) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// There is none any more. If that was so already, it has been so for longer.
    pub(super) fn begin(&self) {
        // It fails if there was none before.
        let _ = self
            .0
            .compare_exchange(0, time::now_ms(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether there is a connection.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Since when there has been none, if that is so; `why` is what to say of it.
    pub(super) fn away(&self, why: &'static str) -> Option<Away> {
        let since_ms = self.0.load(Ordering::Relaxed);
        (since_ms > 0).then_some(Away { why, since_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_from_its_beginning_to_its_end() {
        let absence = Absence::default();
        let first = absence.away("a");
        assert!(!absence.is_over() && first.is_some_and(|away| away.why == "a"));
        absence.begin();
        assert_eq!(absence.away("a"), first);
        absence.end();
        assert_eq!((absence.is_over(), absence.away("a")), (true, None));
        absence.begin();
        assert!(absence.away("b").is_some());
    }
}

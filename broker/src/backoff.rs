//! How long to wait before something that failed is tried again.

use std::time::Duration;

use shared::limits::{RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN};

/// Exponential back-off with full jitter: the n-th pause is a random part of `RECONNECT_PAUSE_MIN * 2^n`, at most
/// of `RECONNECT_PAUSE_MAX`. Jitter keeps a thousand clients of one server from coming back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub(crate) const fn new() -> Self {
        Self {
            ceiling: RECONNECT_PAUSE_MIN,
        }
    }

    /// It failed (again): how long to wait now.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(fastrand::f64());
        self.ceiling = (self.ceiling * 2).min(RECONNECT_PAUSE_MAX);
        pause
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_under_a_ceiling_that_doubles_and_resets() {
        let mut backoff = Backoff::new();
        let mut ceiling = RECONNECT_PAUSE_MIN;
        for _ in 0..20 {
            assert!(backoff.next_pause() <= ceiling);
            ceiling = (ceiling * 2).min(RECONNECT_PAUSE_MAX);
        }
        assert_eq!(backoff.ceiling, RECONNECT_PAUSE_MAX);
        backoff.reset();
        assert!(backoff.next_pause() <= RECONNECT_PAUSE_MIN);
    }
}

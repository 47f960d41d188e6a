//! How long to wait before trying again: exponential, with full jitter, capped. It never waits itself.

use std::time::Duration;

use shared::limits::{CLIENT_RETRY_PAUSE_MAX, CLIENT_RETRY_PAUSE_MIN};

/// The pauses of one run of failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure: drawn evenly from nothing to an upper end that doubles with every failure,
    /// so that clients which failed together do not come back together. `random` is in 0 ..= 1. `at_least` is what
    /// the other side asked for; the drawn pause comes on top of it.
    pub(super) fn pause(&mut self, random: f64, at_least: Option<Duration>) -> Duration {
        let factor = 2u32.saturating_pow(self.failures.min(30));
        let end = CLIENT_RETRY_PAUSE_MIN
            .saturating_mul(factor)
            .min(CLIENT_RETRY_PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        at_least.unwrap_or_default() + end.mul_f64(random.clamp(0.0, 1.0))
    }

    /// It works again: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since it last worked.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_end_doubles_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let ends: Vec<u128> = (0..9).map(|_| backoff.pause(1.0, None).as_millis()).collect();
        assert_eq!(ends, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.pause(1.0, None).as_millis(), 100);
    }

    #[test]
    fn the_pause_is_drawn_from_the_whole_range_and_what_was_asked_for_is_kept() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(0.0, None), Duration::ZERO);
        assert_eq!(backoff.pause(0.5, None), Duration::from_millis(100));
        let asked = Duration::from_secs(7);
        assert_eq!(backoff.pause(0.0, Some(asked)), asked);
        assert_eq!(
            backoff.pause(1.0, Some(asked)),
            asked + Duration::from_millis(800)
        );
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.pause(1.0, None), CLIENT_RETRY_PAUSE_MAX);
    }
}

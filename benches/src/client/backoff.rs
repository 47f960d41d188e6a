//! How long the client waits before it tries again: as long as `socket.io-client` with the same settings.

use std::time::Duration;

use super::Options;

#[derive(Debug)]
pub(crate) struct Backoff {
    attempts: u32,
    random: fastrand::Rng,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            attempts: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait: twice as long each time, up to a bound, and longer or shorter by chance.
    pub(crate) fn next(&mut self, options: &Options) -> Duration {
        let delay = options.reconnection_delay.as_secs_f64() * 2f64.powi(self.attempts.min(30).cast_signed());
        self.attempts = self.attempts.saturating_add(1);
        let chance = self.random.f64();
        let deviation = chance * options.randomization * delay;
        let odd = (chance * 10.0) as u32 & 1 == 1;
        let delay = if odd { delay + deviation } else { delay - deviation };
        Duration::from_secs_f64(delay.min(options.reconnection_delay_max.as_secs_f64()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew() {
        let options = Options::new(([127, 0, 0, 1], 1).into());
        let mut backoff = Backoff::new(1);
        for bounds in [
            (500, 1_500),
            (1_000, 3_000),
            (2_000, 5_000),
            (4_000, 5_000),
            (5_000, 5_000),
        ] {
            let wait = backoff.next(&options).as_millis();
            assert!((bounds.0..=bounds.1).contains(&wait), "{wait} {bounds:?}");
        }
        backoff.reset();
        assert!(backoff.next(&options) <= Duration::from_millis(1_500));
    }
}

//! How the server is asked to ring: once for each key that was read since, or for every key that begins as those of
//! streams do (`BCAST`, <https://redis.io/docs/latest/develop/reference/client-side-caching/>). Decides; does no I/O.
//!
//! The first costs the server an entry in a table for each key at each read, and a message for each key that rings. The
//! second has neither, but tells of streams that nobody follows here too. So it is for an edge that follows many
//! streams, for as long as most of what rings is followed.

use std::time::Instant;

use redis::{Pipeline, cmd};
use shared::limits::{TAIL_BROADCAST_PAUSE, TAIL_BROADCAST_RINGS_JUDGED, TAIL_BROADCAST_STREAMS_MIN};

/// Rings for nothing, of all rings: from here on broadcasts are given up.
const WASTE_PERCENT_MAX: u64 = 75;

/// The arrangement on the present connection.
#[derive(Debug)]
pub(super) struct Tracking {
    /// What the keys of streams begin with; empty if they have nothing in common.
    prefix: String,
    broadcast: bool,
    /// Rings since they were judged last, and those among them for keys that are followed.
    rings: u64,
    useful: u64,
    /// When broadcasts were given up last.
    given_up_at: Option<Instant>,
    /// Whether the server was told of a change, and has not said that it is fine.
    unanswered: bool,
}

impl Tracking {
    /// For keys that begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            broadcast: false,
            rings: 0,
            useful: 0,
            given_up_at: None,
            unanswered: false,
        }
    }

    /// The connection is a new one, on which each key rings by itself.
    pub(super) fn begin(&mut self, now: Instant) {
        // The last one ended over it, perhaps because of it.
        if self.unanswered {
            self.refused(now);
        }
        (self.broadcast, self.rings, self.useful) = (false, 0, 0);
    }

    /// Takes note of a ring.
    pub(super) fn rang(&mut self, is_followed: bool) {
        self.rings += 1;
        self.useful += u64::from(is_followed);
    }

    /// What to tell the server, if it is to ring in the other way from now on. What rings meanwhile is lost, so every
    /// stream is to be read once after it.
    pub(super) fn change(&mut self, streams: usize, now: Instant) -> Option<Pipeline> {
        let wanted = if self.broadcast {
            streams >= TAIL_BROADCAST_STREAMS_MIN / 2 && !self.wastes()
        } else {
            let again = self.given_up_at.is_none_or(|at| now >= at + TAIL_BROADCAST_PAUSE);
            streams >= TAIL_BROADCAST_STREAMS_MIN && again && !self.prefix.is_empty()
        };
        if wanted == self.broadcast {
            return None;
        }
        if !wanted {
            self.given_up_at = Some(now);
        }
        (self.broadcast, self.rings, self.useful) = (wanted, 0, 0);
        self.unanswered = true;
        let mut on = cmd("CLIENT");
        on.arg("TRACKING").arg("ON");
        if wanted {
            on.arg("BCAST").arg("PREFIX").arg(&self.prefix);
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(cmd("CLIENT").arg("TRACKING").arg("OFF").take());
        commands.add_command(on);
        Some(commands)
    }

    /// The server has made the change.
    pub(super) fn accepted(&mut self) {
        self.unanswered = false;
    }

    /// The server refused the change.
    pub(super) fn refused(&mut self, now: Instant) {
        self.unanswered = false;
        self.given_up_at = Some(now);
    }

    fn wastes(&mut self) -> bool {
        if self.rings < TAIL_BROADCAST_RINGS_JUDGED {
            return false;
        }
        let wasted = self.rings - self.useful;
        let too_many = wasted * 100 > self.rings * WASTE_PERCENT_MAX;
        (self.rings, self.useful) = (0, 0);
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = TAIL_BROADCAST_STREAMS_MIN;

    fn told(change: Option<Pipeline>) -> Option<bool> {
        let commands = change?.get_packed_pipeline();
        Some(String::from_utf8_lossy(&commands).contains("BCAST"))
    }

    fn ring(tracking: &mut Tracking, useful: u64) {
        for n in 0..TAIL_BROADCAST_RINGS_JUDGED {
            tracking.rang(n * 100 < useful * TAIL_BROADCAST_RINGS_JUDGED);
        }
    }

    #[test]
    fn few_streams_ring_each_by_itself() {
        let (mut tracking, now) = (Tracking::new("weir:{"), Instant::now());
        assert_eq!(told(tracking.change(MANY - 1, now)), None);
        assert_eq!(told(tracking.change(MANY, now)), Some(true));
        assert_eq!(told(tracking.change(MANY / 2, now)), None);
        assert_eq!(told(tracking.change(MANY / 2 - 1, now)), Some(false));
        assert_eq!(
            told(Tracking::new("").change(MANY, now)),
            None,
            "nothing in common"
        );
    }

    #[test]
    fn broadcasts_that_are_mostly_for_nothing_are_given_up_for_a_while() {
        let (mut tracking, now) = (Tracking::new("weir:{"), Instant::now());
        assert_eq!(told(tracking.change(MANY, now)), Some(true));
        ring(&mut tracking, 50);
        assert_eq!(told(tracking.change(MANY, now)), None);
        ring(&mut tracking, 10);
        assert_eq!(told(tracking.change(MANY, now)), Some(false));
        assert_eq!(told(tracking.change(MANY, now)), None);
        assert_eq!(
            told(tracking.change(MANY, now + TAIL_BROADCAST_PAUSE)),
            Some(true)
        );
        tracking.accepted();
        tracking.begin(now);
        assert_eq!(
            told(tracking.change(MANY, now + TAIL_BROADCAST_PAUSE)),
            Some(true),
            "on a new connection"
        );
    }

    #[test]
    fn a_connection_that_ends_over_a_change_is_not_asked_for_it_again_at_once() {
        let (mut tracking, now) = (Tracking::new("weir:{"), Instant::now());
        assert_eq!(told(tracking.change(MANY, now)), Some(true));
        tracking.begin(now);
        assert_eq!(told(tracking.change(MANY, now)), None);
        let later = now + TAIL_BROADCAST_PAUSE;
        assert_eq!(told(tracking.change(MANY, later)), Some(true));
        tracking.accepted();
        tracking.begin(later);
        assert_eq!(told(tracking.change(MANY, later)), Some(true));
    }
}

//! Tells a peer that is alive from one that is gone: pings, missing answers, writes that are not taken. Pure: time
//! and traffic are passed in.
//!
//! A slow peer is not a dead one. Any byte it sends, and any room it makes for what it is sent, is a sign of life;
//! bytes that merely went into the kernel's buffer are not. While the socket is not read (back-pressure) an answer
//! cannot be seen, so its absence proves nothing.

use std::time::Instant;

use super::settings::Patience;
use crate::websocket::Traffic;

/// What to do about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing.
    Fine,
    /// Send a ping.
    Ping,
    /// It answered no ping.
    Silent,
    /// It does not take what is sent.
    Stuck,
}

/// A wait for a counter to move.
#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    seen: u64,
}

/// The state of one peer.
#[derive(Debug)]
pub(crate) struct Liveness {
    patience: Patience,
    ping_due: Instant,
    pong: Option<Wait>,
    write: Option<Wait>,
}

impl Liveness {
    /// A peer that was alive at `now`.
    pub(crate) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            ping_due: now + patience.ping_interval,
            pong: None,
            write: None,
        }
    }

    /// Looks at what has moved. After `Ping` one ping must be sent.
    pub(crate) fn check(&mut self, now: Instant, traffic: Traffic) -> Check {
        if self.write_is_stuck(now, traffic) {
            return Check::Stuck;
        }
        let life = traffic.read_bytes.wrapping_add(traffic.writes_resumed);
        match &mut self.pong {
            Some(wait) if wait.seen != life => self.pong = None,
            Some(wait) if !traffic.reading => wait.since = now,
            Some(wait) if now >= wait.since + self.patience.pong_timeout => return Check::Silent,
            _ => {}
        }
        if now < self.ping_due || self.pong.is_some() {
            return Check::Fine;
        }
        self.ping_due = now + self.patience.ping_interval;
        // Behind a blocked write a ping would only wait in line; the write itself is watched.
        if traffic.unsent() {
            return Check::Fine;
        }
        self.pong = Some(Wait {
            since: now,
            seen: life,
        });
        Check::Ping
    }

    /// When to look again at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let heartbeat = match &self.pong {
            Some(wait) => wait.since + self.patience.pong_timeout,
            None => self.ping_due,
        };
        match &self.write {
            Some(wait) => heartbeat.min(wait.since + self.patience.write_timeout),
            None => heartbeat,
        }
    }

    fn write_is_stuck(&mut self, now: Instant, traffic: Traffic) -> bool {
        if !traffic.unsent() {
            self.write = None;
            return false;
        }
        let fresh = Wait {
            since: now,
            seen: traffic.writes_resumed,
        };
        let wait = self.write.get_or_insert(fresh);
        if wait.seen != fresh.seen {
            *wait = fresh;
        }
        now >= wait.since + self.patience.write_timeout
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience {
        ping_interval: Duration::from_secs(20),
        pong_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(30),
    };
    const IDLE: Traffic = Traffic {
        read_bytes: 0,
        writes_resumed: 0,
        sent_bytes: 0,
        unsent_bytes: 0,
        reading: true,
    };

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_ping_is_due_after_the_interval_and_a_missing_answer_ends_it() {
        let start = Instant::now();
        let mut liveness = Liveness::new(PATIENCE, start);
        assert_eq!(liveness.check(start + second(19), IDLE), Check::Fine);
        assert_eq!(liveness.deadline(), start + second(20));
        assert_eq!(liveness.check(start + second(20), IDLE), Check::Ping);
        assert_eq!(liveness.check(start + second(29), IDLE), Check::Fine);
        assert_eq!(liveness.deadline(), start + second(30));
        assert_eq!(liveness.check(start + second(30), IDLE), Check::Silent);
    }

    #[test]
    fn any_byte_is_an_answer() {
        let start = Instant::now();
        let mut liveness = Liveness::new(PATIENCE, start);
        assert_eq!(liveness.check(start + second(20), IDLE), Check::Ping);
        let heard = Traffic {
            read_bytes: 1,
            ..IDLE
        };
        assert_eq!(liveness.check(start + second(31), heard), Check::Fine);
        assert_eq!(liveness.check(start + second(40), heard), Check::Ping);
    }

    #[test]
    fn silence_proves_nothing_while_the_socket_is_not_read() {
        let start = Instant::now();
        let mut liveness = Liveness::new(PATIENCE, start);
        assert_eq!(liveness.check(start + second(20), IDLE), Check::Ping);
        let deaf = Traffic {
            reading: false,
            ..IDLE
        };
        assert_eq!(liveness.check(start + second(100), deaf), Check::Fine);
        assert_eq!(liveness.check(start + second(109), IDLE), Check::Fine);
        assert_eq!(liveness.check(start + second(110), IDLE), Check::Silent);
    }

    #[test]
    fn a_slow_write_is_fine_and_a_stuck_one_is_not() {
        let start = Instant::now();
        let mut liveness = Liveness::new(PATIENCE, start);
        let unsent = |writes_resumed| Traffic {
            writes_resumed,
            unsent_bytes: 1,
            ..IDLE
        };
        for n in 0..100 {
            assert_eq!(
                liveness.check(start + second(n * 29), unsent(n)),
                Check::Fine,
                "{n}"
            );
        }
        let last = start + second(99 * 29);
        assert_eq!(liveness.deadline(), (last + second(30)).min(liveness.ping_due));
        assert_eq!(liveness.check(last + second(30), unsent(99)), Check::Stuck);
    }

    proptest! {
        /// Whatever a living peer and the clock do, a peer that moves something within every pong timeout is never
        /// given up, and looking again at the deadline always leads further.
        #[test]
        fn a_peer_that_keeps_moving_is_never_given_up(steps in prop::collection::vec((1u64..9_000, any::<bool>()), 1..200)) {
            let mut now = Instant::now();
            let mut liveness = Liveness::new(PATIENCE, now);
            let mut traffic = IDLE;
            for (ms, unsent) in steps {
                now += Duration::from_millis(ms);
                traffic.unsent_bytes = u64::from(unsent);
                if unsent { traffic.writes_resumed += 1 } else { traffic.read_bytes += 1 }
                let check = liveness.check(now, traffic);
                prop_assert!(matches!(check, Check::Fine | Check::Ping), "{check:?}");
                prop_assert!(liveness.deadline() > now);
            }
        }

        /// A peer that does nothing is given up within bounded time, whether or not it is written to.
        #[test]
        fn a_dead_peer_is_given_up_in_bounded_time(unsent in any::<bool>()) {
            let start = Instant::now();
            let mut liveness = Liveness::new(PATIENCE, start);
            let traffic = Traffic {
                unsent_bytes: u64::from(unsent),
                ..IDLE
            };
            let mut now = start;
            let end = loop {
                match liveness.check(now, traffic) {
                    Check::Silent | Check::Stuck => break now,
                    Check::Fine | Check::Ping => now = liveness.deadline().max(now + Duration::from_millis(1)),
                }
            };
            prop_assert!(end <= start + second(31));
        }
    }
}

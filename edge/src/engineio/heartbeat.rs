//! Pings, and how long their answers may take. Pure: time and traffic are passed in.
//!
//! The client expects a ping in time even when much else is sent to it. It must answer each, but a slow client is not
//! a dead one: any byte it sends, and any room it makes for what it is sent, gives it another while, and as long as
//! it is not listened to its silence proves nothing.

use std::time::Instant;

use super::Settings;
use crate::websocket::Traffic;

/// What to do about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing.
    Fine,
    /// Send a ping.
    Ping,
    /// It did not answer.
    Silent,
    /// It does not take what is sent.
    Stuck,
}

/// A wait for something to move.
#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    seen: u64,
}

/// The state of one client.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    ping_due: Instant,
    pong: Option<Wait>,
    write: Option<Wait>,
    /// A ping is in the outbox, at this place in what is sent; another would not come sooner.
    ping_unsent: Option<u64>,
}

impl Heartbeat {
    /// A client that was alive at `now`.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            ping_due: now + settings.ping_interval,
            pong: None,
            write: None,
            ping_unsent: None,
        }
    }

    /// The client answered.
    pub(crate) fn pong(&mut self, settings: &Settings, now: Instant) {
        if self.pong.take().is_some() {
            self.ping_due = now + settings.ping_interval;
        }
    }

    /// The client has changed its transport: what it did not do on the other one does not count.
    pub(crate) fn moved(&mut self, now: Instant, traffic: Traffic) {
        self.write = None;
        if let Some(pong) = &mut self.pong {
            *pong = Wait {
                since: now,
                seen: life(traffic),
            };
        }
    }

    /// Looks at what has moved. After `Ping` a ping must be sent.
    ///
    /// `blocking`: what is unsent should be taken at once, and its wait is bounded.
    pub(crate) fn check(
        &mut self,
        settings: &Settings,
        now: Instant,
        traffic: Traffic,
        blocking: bool,
    ) -> Check {
        if blocking && self.is_stuck(settings, now, traffic) {
            return Check::Stuck;
        }
        self.ping_unsent = self.ping_unsent.filter(|place| traffic.sent_bytes <= *place);
        if let Some(pong) = &mut self.pong {
            let life = life(traffic);
            if !traffic.reading || (blocking && self.ping_unsent.is_some()) || pong.seen != life {
                *pong = Wait {
                    since: now,
                    seen: life,
                };
            } else if now >= pong.since + settings.ping_timeout {
                return Check::Silent;
            }
        }
        if now < self.ping_due {
            return Check::Fine;
        }
        // Counted from when it was due: the client counts from its last one.
        let latest = now.checked_sub(settings.ping_timeout / 2).unwrap_or(now);
        let since = self.ping_due.max(latest);
        self.pong.get_or_insert(Wait {
            since,
            seen: life(traffic),
        });
        self.ping_due = now + settings.ping_interval;
        match self.ping_unsent {
            // The one that was not fetched yet is waited for again.
            Some(_) => Check::Fine,
            None => {
                self.ping_unsent = Some(traffic.queue_end());
                Check::Ping
            }
        }
    }

    /// When to look again at the latest.
    pub(crate) fn deadline(&self, settings: &Settings) -> Instant {
        let pong = self.pong.map(|wait| wait.since + settings.ping_timeout);
        let write = self.write.map(|wait| wait.since + settings.write_timeout);
        let others = [pong, write];
        others.into_iter().flatten().fold(self.ping_due, Instant::min)
    }

    fn is_stuck(&mut self, settings: &Settings, now: Instant, traffic: Traffic) -> bool {
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
        now >= wait.since + settings.write_timeout
    }
}

fn life(traffic: Traffic) -> u64 {
    traffic.read_bytes.wrapping_add(traffic.writes_resumed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of a ping's frame.
    const PING_BYTES: u64 = 3;

    /// A client for whom so much waits from the beginning.
    fn waiting(unsent_bytes: u64) -> Traffic {
        Traffic {
            read_bytes: 0,
            writes_resumed: 0,
            sent_bytes: 0,
            unsent_bytes,
            reading: true,
        }
    }

    proptest! {
        /// A client that takes all that is sent to it, however late, and answers each ping, is pinged in every interval:
        /// also where something waits for it at every look.
        #[test]
        fn pings_go_on_behind_a_queue_that_is_never_empty(
            taken in prop::collection::vec(1u64..100_000, 40..41),
            blocking in any::<bool>(),
        ) {
            let settings = Settings::default();
            let mut now = Instant::now();
            let mut heartbeat = Heartbeat::new(&settings, now);
            let mut traffic = waiting(1);
            for bytes in taken {
                now += settings.ping_interval;
                let check = heartbeat.check(&settings, now, traffic, blocking);
                // The one before was taken and answered by now.
                prop_assert_eq!(check, Check::Ping);
                // The client makes room, just enough for the ping to leave, and more comes behind it.
                traffic.sent_bytes = traffic.queue_end() + PING_BYTES;
                traffic.unsent_bytes = bytes;
                traffic.writes_resumed += 1;
                traffic.read_bytes += PING_BYTES;
                heartbeat.pong(&settings, now);
            }
        }

        /// A ping that has not left is not followed by another.
        #[test]
        fn one_ping_waits_at_a_time(before in 1u64..100_000, looks in 1u32..20) {
            let settings = Settings::default();
            let mut now = Instant::now();
            let mut heartbeat = Heartbeat::new(&settings, now);
            let mut traffic = waiting(before);
            now += settings.ping_interval;
            prop_assert_eq!(heartbeat.check(&settings, now, traffic, true), Check::Ping);
            traffic.unsent_bytes += PING_BYTES;
            for _ in 0..looks {
                now += settings.ping_interval;
                // All that stood before it leaves, and a little room is made each time.
                traffic.unsent_bytes = PING_BYTES;
                traffic.sent_bytes = before;
                traffic.writes_resumed += 1;
                prop_assert_eq!(heartbeat.check(&settings, now, traffic, true), Check::Fine);
            }
        }
    }
}

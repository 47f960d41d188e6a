//! When the subscribers of a channel are told that something was published.
//!
//! To wake a socket and to write to it costs nearly the same for one event as for ten. So when many follow a stream in which one
//! event chases the other, they are told of several together, the later the more sockets there are to be woken. What does not come
//! in such numbers that it would be worth the time is told at once, and so is everything of a stream that few follow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{Channel, State, lock};

/// How long events are gathered for each subscriber that is to be woken.
const PER_SUBSCRIBER: Duration = Duration::from_micros(400);
/// As long as no more than so many are to be woken, nothing waits.
const FEW_SUBSCRIBERS: usize = 8;
/// As long as no more than so many events are to be expected in the longest wait, nothing waits either.
const FEW_EVENTS: u32 = 8;
/// Nor does anything once this part of the ring is news.
const RING_PART: usize = 4;

/// What was told last, and what is still to be told.
#[derive(Debug, Default)]
pub(super) struct Gather {
    told_at: Option<Instant>,
    /// The time from one event to the next, of late; `None`: there was none.
    gap: Option<Duration>,
    /// So much was published since.
    entries: usize,
    bytes: usize,
    /// A task waits until it is time.
    waits: bool,
}

impl Gather {
    /// Entries were published, so long after those before them. A pause is forgotten after some ten events.
    fn hurry(&mut self, entries: usize, pause: Duration, gather_max: Duration) {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX).max(1);
        let gap = pause.min(2 * gather_max) / entries;
        self.gap = Some(match self.gap {
            None => 2 * gather_max,
            Some(before) => (before * 3 + gap) / 4,
        });
    }
}

impl Channel {
    /// So much was published: tells everybody, now or a little later.
    pub(super) fn tell(self: &Arc<Self>, state: &mut State, entries: usize, bytes: usize, now: Instant) {
        let gather = &mut state.gather;
        gather.hurry(entries, now.duration_since(state.published_at), self.gather_max);
        state.published_at = now;
        gather.entries += entries;
        gather.bytes += bytes;
        // Whoever is told too late finds that the ring has moved on, and has to read the log.
        if gather.entries > self.entries_max / RING_PART || gather.bytes > self.bytes_max / RING_PART {
            return state.tell_all(now);
        }
        if gather.waits {
            return;
        }
        let due = state.gather.told_at.map(|told_at| told_at + self.pause(state));
        match (due.filter(|due| *due > now), Handle::try_current()) {
            (Some(due), Ok(runtime)) => {
                state.gather.waits = true;
                // It is not kept for that: nobody waits for a channel that is gone.
                let channel = Arc::downgrade(self);
                runtime.spawn(async move {
                    tokio::time::sleep_until(due.into()).await;
                    if let Some(channel) = channel.upgrade() {
                        let mut state = lock(&channel.state);
                        state.gather.waits = false;
                        state.tell_all(Instant::now());
                    }
                });
            }
            _ => state.tell_all(now),
        }
    }

    /// Engine: nobody would be told of what is published now before that time. Until then it need not be fetched at all.
    /// `None`: they would be told at once.
    pub(crate) fn quiet_until(&self, now: Instant) -> Option<Instant> {
        let state = lock(&self.state);
        if state.gather.waits {
            // They are told of some then, and of what is fetched before it with that. What is fetched at that moment would
            // come a moment too late, and wait as long again.
            return None;
        }
        let due = state.gather.told_at? + self.pause(&state);
        // By then no more may have come than may be news at once, even if twice as much comes as before.
        let bytes_each = (state.ring_bytes / state.ring.len().max(1)).max(1);
        let room = (self.entries_max / RING_PART).min(self.bytes_max / RING_PART / bytes_each) / 2;
        let room = u32::try_from(room.saturating_sub(state.gather.entries)).unwrap_or(u32::MAX);
        let full = now + state.gather.gap?.saturating_mul(room);
        Some(due.min(full)).filter(|at| *at > now)
    }

    /// How long after the last time they are told again at the earliest.
    fn pause(&self, state: &State) -> Duration {
        let subscribers = state.waiting.len();
        let worth_it = |gap: Duration| gap * FEW_EVENTS < self.gather_max;
        if subscribers <= FEW_SUBSCRIBERS || !state.gather.gap.is_some_and(worth_it) {
            return Duration::ZERO;
        }
        let subscribers = u32::try_from(subscribers).unwrap_or(u32::MAX);
        PER_SUBSCRIBER.saturating_mul(subscribers).min(self.gather_max)
    }
}

impl State {
    fn tell_all(&mut self, now: Instant) {
        self.gather = Gather {
            told_at: Some(now),
            gap: self.gather.gap,
            waits: self.gather.waits,
            ..Gather::default()
        };
        self.ring_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use futures_util::task::noop_waker_ref;
    use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName};

    use super::super::super::{Bell, HistoryBudget, HubConfig, Registration, RingBudget};
    use super::*;

    const GATHER: Duration = Duration::from_millis(20);

    struct Bench {
        channel: Arc<Channel>,
        bells: Vec<Arc<Bell>>,
        published: u64,
    }

    impl Bench {
        fn new(subscribers: usize) -> Self {
            let config = HubConfig {
                ring_entries_max: 400,
                gather_max: GATHER,
                ..HubConfig::default()
            };
            let stream: StreamName = "s".parse().unwrap();
            let budget = Arc::new(RingBudget::new(usize::MAX));
            let history = Arc::new(HistoryBudget::new(usize::MAX));
            let channel = Arc::new(Channel::new(stream, &config, budget, history));
            channel.open(Cursor::START);
            let bells: Vec<Arc<Bell>> = (0..subscribers).map(|_| Arc::default()).collect();
            for bell in &bells {
                channel.register(Arc::new(Registration::new(bell.clone(), 0, false)));
            }
            Self {
                channel,
                bells,
                published: 0,
            }
        }

        fn publish(&mut self, count: u64) {
            let entries: Vec<_> = (self.published + 1..=self.published + count)
                .map(|n| {
                    let event = Event::new(Payload::Json(Bytes::from_static(b"1")));
                    let cursor = Cursor::new(EntryId::new(n, 0), n);
                    Arc::new(Entry::new(self.channel.stream().clone(), cursor, event))
                })
                .collect();
            self.published += count;
            self.channel.publish(&entries);
        }

        /// One event chases the other.
        fn hurry(&mut self) {
            for _ in 0..50 {
                self.publish(1);
            }
            self.told();
        }

        /// Whether everybody was told since this was asked last; all are told or none.
        fn told(&self) -> bool {
            let told: Vec<bool> = self.bells.iter().map(|bell| bell.take(1).count() == 1).collect();
            assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
            told[0]
        }

        async fn told_by_itself_or_already(&self) {
            if !self.told() {
                self.told_by_itself().await;
            }
        }

        async fn told_by_itself(&self) {
            let deadline = Instant::now() + Duration::from_secs(60);
            while self.bells[0]
                .poll_rung(&std::task::Context::from_waker(noop_waker_ref()))
                .is_pending()
            {
                assert!(Instant::now() < deadline, "nobody is told");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(self.told());
        }
    }

    #[tokio::test]
    async fn the_first_are_told_at_once_and_those_that_follow_them_together() {
        let mut bench = Bench::new(1_000);
        for _ in 0..5 {
            bench.publish(1);
            assert!(bench.told());
        }
        bench.hurry();
        let before = Instant::now();
        bench.publish(1);
        bench.publish(2);
        match bench.told() {
            // This machine has slept meanwhile.
            true => assert!(before.elapsed() >= GATHER),
            false => bench.told_by_itself().await,
        }
        // What comes after a pause waits for nothing, nor does what comes now and then.
        for _ in 0..20 {
            tokio::time::sleep(GATHER / 2).await;
            bench.publish(1);
        }
        tokio::time::sleep(2 * GATHER).await;
        bench.told();
        for _ in 0..3 {
            tokio::time::sleep(GATHER / 2).await;
            bench.publish(1);
            assert!(bench.told());
        }
    }

    #[tokio::test]
    async fn what_nobody_would_be_told_of_need_not_be_fetched_yet() {
        let mut bench = Bench::new(1_000);
        let now = Instant::now();
        assert_eq!(bench.channel.quiet_until(now), None);
        bench.publish(1);
        assert_eq!(bench.channel.quiet_until(Instant::now()), None);
        bench.hurry();
        bench.publish(1);
        if lock(&bench.channel.state).gather.waits {
            assert_eq!(
                bench.channel.quiet_until(Instant::now()),
                None,
                "it would miss the next time"
            );
        }
        bench.told_by_itself_or_already().await;
        let told_by = Instant::now();
        // From a time at which they had been told for sure; it is not longer than they wait at the most.
        let quiet = bench.channel.quiet_until(told_by - Duration::from_millis(1));
        assert!(quiet.is_none_or(|until| until <= told_by + GATHER), "{quiet:?}");
        assert_eq!(bench.channel.quiet_until(told_by + GATHER), None);
        let few = Bench::new(FEW_SUBSCRIBERS);
        assert_eq!(few.channel.quiet_until(Instant::now()), None);
    }

    #[test]
    fn the_ring_does_not_overflow_while_nothing_is_fetched() {
        let mut bench = Bench::new(1_000);
        // So many at a time, and without a pause, that a quarter of the ring is there at once.
        for _ in 0..200 {
            bench.publish(90);
        }
        let (now, gap) = (Instant::now(), lock(&bench.channel.state).gather.gap.unwrap());
        if let Some(until) = bench.channel.quiet_until(now) {
            assert!(until - now <= gap * 400 / RING_PART as u32 / 2);
        }
    }

    #[tokio::test]
    async fn a_stream_that_few_follow_never_waits() {
        let mut bench = Bench::new(FEW_SUBSCRIBERS);
        bench.hurry();
        for _ in 0..100 {
            bench.publish(1);
            assert!(bench.told());
        }
    }

    #[tokio::test]
    async fn much_news_does_not_wait_until_the_ring_has_moved_on() {
        let mut bench = Bench::new(1_000);
        bench.hurry();
        bench.publish(101);
        assert!(bench.told());
    }

    #[test]
    fn without_a_clock_nothing_waits() {
        let mut bench = Bench::new(1_000);
        for _ in 0..100 {
            bench.publish(1);
            assert!(bench.told());
        }
    }
}

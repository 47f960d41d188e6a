//! Publishes on an in-memory log: in which order and in which company they go in, and what they hear.

#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use broker::{Direction, Durability, From, MemoryConfig, MemoryLog, ReadRequest};
use bytes::Bytes;
use shared::{Event, Payload};

use super::*;
use crate::config::RateSettings;

const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    log: Arc<dyn Log>,
    limits: Option<RateLimits>,
    publishes: Publishes<u32>,
    /// What has an outcome: its number, and its place in the log or why it has none.
    settled: Vec<(u32, Result<u64, &'static str>)>,
}

impl Bench {
    fn new(config: MemoryConfig, rate: Option<RateSettings>) -> Self {
        Self {
            log: MemoryLog::new(config),
            limits: rate.map(|rate| RateLimits::new(&rate)),
            publishes: Publishes::default(),
            settled: Vec::new(),
        }
    }

    fn push(&mut self, stream: &str, number: u32) {
        self.push_durable(stream, number, None);
    }

    fn push_durable(&mut self, stream: &str, number: u32, durability: Option<Durability>) {
        let data = Payload::Json(Bytes::from(number.to_string()));
        let publish = Publish {
            stream: stream.parse().unwrap(),
            trace: TraceParent::new(1, 1),
            parent: 1,
            bytes: data.raw().len(),
            reference: number,
        };
        let mut new = NewEvent::new(Event::new(data));
        new.durability = durability;
        self.publishes.push(publish, new);
    }

    fn note(&mut self, settled: Settled<u32>) {
        let all = &mut self.settled;
        settled.report("test", |publish, outcome| {
            let place = outcome.map(|appended| appended.cursor.ordinal.unwrap().0);
            all.push((publish.reference, place.map_err(|error| error.code().as_str())));
        });
    }

    /// Waits until everything has an outcome; returns how many came together each time.
    async fn settle(&mut self) -> Vec<usize> {
        let mut together = Vec::new();
        while !self.publishes.is_empty() {
            let Self {
                log,
                limits,
                publishes,
                ..
            } = self;
            let target = Target {
                log,
                publisher: limits.as_ref().map(|limits| (limits, client())),
            };
            let next = poll_fn(|cx| publishes.poll(cx, target));
            let settled = tokio::time::timeout(PATIENCE, next).await.unwrap();
            together.push(settled.publishes.len());
            self.note(settled);
        }
        together
    }

    async fn stored(&self, stream: &str) -> Vec<u32> {
        let request = ReadRequest {
            direction: Direction::Forward(From::Start),
            until: None,
            limit: 1_000,
        };
        let page = self.log.read(&stream.parse().unwrap(), &request).await.unwrap();
        let number = |raw: &[u8]| std::str::from_utf8(raw).unwrap().parse().unwrap();
        page.entries
            .iter()
            .map(|entry| number(entry.event.data.raw()))
            .collect()
    }
}

fn client() -> Client {
    Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[tokio::test]
async fn what_asks_for_another_durability_is_not_waited_for() {
    let mut bench = Bench::new(MemoryConfig::default(), None);
    bench.push("a", 0);
    bench.push("a", 1);
    bench.push_durable("a", 2, Some(Durability::Primary));
    bench.push_durable("a", 3, Some(Durability::Replicas(1)));
    bench.push_durable("a", 4, Some(Durability::Replicas(1)));
    let mut together = bench.settle().await;
    together.sort_unstable();
    assert_eq!(together, [1, 2, 2]);
    assert_eq!(bench.stored("a").await, [0, 1, 2]);
    bench.settled.sort_unstable();
    assert_eq!(bench.settled[3..], [(3, Err("refused")), (4, Err("refused"))]);
}

#[tokio::test]
async fn what_comes_together_for_one_stream_goes_in_together() {
    let mut bench = Bench::new(MemoryConfig::default(), None);
    for number in 0..600 {
        bench.push("a", number);
    }
    bench.push("b", 600);
    bench.push("a", 601);
    assert!(!bench.publishes.is_held_up());
    let mut together = bench.settle().await;
    together.sort_unstable();
    assert_eq!(together, [1, 1, 600 - 2 * 256, 256, 256]);
    let in_a: Vec<u32> = (0..600).chain([601]).collect();
    assert_eq!(
        (bench.stored("a").await, bench.stored("b").await),
        (in_a, vec![600])
    );
    // Each heard of its own place.
    bench.settled.sort_unstable();
    for (number, place) in &bench.settled {
        let expected = match number {
            600 => 1,
            601 => 601,
            n => u64::from(*n) + 1,
        };
        assert_eq!(*place, Ok(expected), "{number}");
    }
    assert_eq!(bench.settled.len(), 602);
}

#[tokio::test]
async fn a_publisher_with_a_rate_goes_on_in_order_when_it_may() {
    let rate = RateSettings {
        publishes_per_second: 50,
        publishes_burst: 3,
        ..RateSettings::default()
    };
    let mut bench = Bench::new(MemoryConfig::default(), Some(rate));
    (0..10).for_each(|number| bench.push("a", number));
    let begun = std::time::Instant::now();
    let together = bench.settle().await;
    // Seven had to wait for a fiftieth of a second each.
    assert!(begun.elapsed() >= Duration::from_millis(120));
    // Those that may go at once are not kept for those that may not.
    assert_eq!(together[0], 3);
    assert_eq!(bench.stored("a").await, (0..10).collect::<Vec<_>>());
    let expected: Vec<_> = (0..10).map(|n| (n, Ok(u64::from(n) + 1))).collect();
    assert_eq!(bench.settled, expected);
}

#[tokio::test]
async fn one_that_is_refused_does_not_take_its_company_with_it() {
    let mut config = MemoryConfig::default();
    config.limits.event_bytes_max = 3;
    let mut bench = Bench::new(config, None);
    for number in [1, 2_222, 3] {
        bench.push("a", number);
    }
    assert_eq!(bench.settle().await, [3]);
    assert_eq!(bench.settled, [(1, Ok(1)), (2_222, Err("too_large")), (3, Ok(2))]);
}

#[tokio::test]
async fn what_is_begun_is_in_the_log_though_nobody_waits() {
    let mut bench = Bench::new(MemoryConfig::default(), None);
    bench.push("a", 1);
    bench.push("b", 2);
    let target = Target {
        log: &bench.log,
        publisher: None,
    };
    assert!(bench.publishes.begin(target).is_none());
    bench.publishes = Publishes::default();
    assert_eq!(
        (bench.stored("a").await, bench.stored("b").await),
        (vec![1], vec![2])
    );
}

#[tokio::test]
async fn one_look_finds_all_outcomes_in_whatever_order_they_come() {
    const RUNS: u32 = 200;
    let mut bench = Bench::new(MemoryConfig::default(), None);
    let mut outcomes = Vec::new();
    for number in 0..RUNS {
        let (outcome, receipt) = Receipt::new();
        bench.push("a", number);
        let Run { publishes, .. } = bench.publishes.gathered.pop_front().unwrap();
        bench.publishes.acks.push_back(Ack { publishes, receipt });
        outcomes.push(Some(outcome));
    }
    let log = Arc::clone(&bench.log);
    let target = Target {
        log: &log,
        publisher: None,
    };
    let nowhere = &mut Context::from_waker(Waker::noop());
    assert!(bench.publishes.poll(nowhere, target).is_pending());
    // More than the budget that a task has: so many receipts are looked at all the same.
    let answered: Vec<u32> = (0..RUNS).filter(|number| number % 3 != 0).collect();
    for number in answered.iter().rev() {
        let outcome = outcomes[*number as usize].take().unwrap();
        outcome.send(vec![Err(AppendError::Closed)]).unwrap();
    }
    let Poll::Ready(first) = bench.publishes.poll(nowhere, target) else {
        panic!("there are outcomes");
    };
    bench.note(first);
    while let Some(settled) = bench.publishes.next_settled() {
        bench.note(settled);
    }
    let settled: Vec<u32> = bench.settled.iter().map(|(number, _)| *number).collect();
    assert_eq!(settled, answered);
    assert!(bench.publishes.poll(nowhere, target).is_pending());
    // Whoever is never told hears that, too, and nothing is kept for it.
    drop(outcomes);
    while let Poll::Ready(settled) = bench.publishes.poll(nowhere, target) {
        bench.note(settled);
    }
    assert_eq!(bench.settled.len(), RUNS as usize);
    let Publishes { acks, settled, .. } = &bench.publishes;
    assert!(bench.publishes.is_empty() && acks.capacity() + settled.capacity() < 10);
}

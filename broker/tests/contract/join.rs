//! Joining history to live, while others publish: nothing lost, nothing twice, in order.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use broker::{From, Log};
use shared::{Ordinal, StreamName};
use tokio::task::JoinHandle;

use crate::tail::Tail;
use crate::{Fixture, Settings, in_time, name, number, publish};

/// Publishes the numbers up to `last` in batches of changing size, giving way to others in between.
fn publisher(log: &Arc<dyn Log>, stream: &StreamName, first: u64, last: u64) -> JoinHandle<()> {
    let (log, stream) = (log.clone(), stream.clone());
    tokio::spawn(async move {
        let mut next = first;
        while next <= last {
            let end = (next + fastrand::u64(0..20)).min(last);
            let receipt = log
                .submit(&stream, (next..=end).map(number).collect())
                .await
                .unwrap();
            assert!(receipt.await.iter().all(Result::is_ok));
            next = end + 1;
        }
    })
}

pub(crate) async fn history_to_live_under_load<F: Fixture>() {
    const ROUNDS: u64 = 40;
    let fixture = F::start(Settings::tiny_ring(64)).await;
    let log = fixture.log();
    for round in 0..ROUNDS {
        let stream = name(&format!("doc:{round}"));
        let history = fastrand::u64(0..600);
        publish(&log, &stream, 1..=history).await;
        let last = history + 400;
        let publishing = publisher(&log, &stream, history + 1, last);
        let mut tail = Tail::new(&log).taking(fastrand::usize(1..4_000));
        tail.follow(&stream, From::Start).await;
        let (numbers, lost) = tail.through(&stream, last).await;
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "round {round}");
        assert_eq!(lost, 0);
        in_time("the publisher", publishing).await.unwrap();
        assert_eq!(tail.position(&stream).ordinal, Some(Ordinal(last)));
    }
}

pub(crate) async fn resume_at_any_event<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(32)).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    const LAST: u64 = 3_000;
    let publishing = publisher(&log, &stream, 1, LAST);
    let mut cursor = shared::Cursor::START;
    let mut seen = 0;
    let mut resumed = 0;
    while seen < LAST {
        // Another subscriber, as on another edge, goes on where the last one was cut off.
        let mut tail = Tail::new(&log).taking(fastrand::usize(1..2_000));
        tail.follow(&stream, From::Cursor(cursor)).await;
        for _ in 0..fastrand::u64(1..150).min(LAST - seen) {
            seen += 1;
            tail.value(&stream, seen).await;
        }
        cursor = tail.position(&stream);
        resumed += 1;
    }
    assert!(resumed > 10);
    in_time("the publisher", publishing).await.unwrap();
}

pub(crate) async fn slow_reader_falls_off_the_ring<F: Fixture>() {
    const LAST: u64 = 20_000;
    let fixture = F::start(Settings::tiny_ring(8)).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut tail = Tail::new(&log).taking(256);
    tail.follow(&stream, From::Now).await;
    tail.caught_up(&stream).await;
    let publishing = publisher(&log, &stream, 1, LAST);
    let (numbers, lost) = tail.through(&stream, LAST).await;
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
    assert_eq!(lost, 0);
    in_time("the publisher", publishing).await.unwrap();
    // Back on the ring: single events come as they are published.
    for n in LAST + 1..LAST + 10 {
        publish(&log, &stream, [n]).await;
        tail.value(&stream, n).await;
    }
}

pub(crate) async fn many_subscribers_many_streams<F: Fixture>() {
    const STREAMS: u64 = 8;
    const LAST: u64 = 300;
    let fixture = F::start(Settings::tiny_ring(50)).await;
    let log = fixture.log();
    let streams: Vec<_> = (0..STREAMS).map(|n| name(&format!("doc:{n}"))).collect();
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..20 {
        let (log, streams) = (log.clone(), streams.clone());
        readers.spawn(async move {
            let mut tail = Tail::new(&log);
            for stream in streams.iter().cycle().skip(reader % 8).take(4) {
                tail.follow(stream, From::Start).await;
            }
            let followed: Vec<_> = streams.iter().cycle().skip(reader % 8).take(4).collect();
            while followed
                .iter()
                .any(|stream| tail.position(stream).ordinal != Some(Ordinal(LAST)))
            {
                tail.next().await;
            }
        });
    }
    let publishers: Vec<_> = streams
        .iter()
        .map(|stream| publisher(&log, stream, 1, LAST))
        .collect();
    for publishing in publishers {
        in_time("a publisher", publishing).await.unwrap();
    }
    in_time("the readers", readers.join_all()).await;
}

pub(crate) async fn dropping_next_at_any_poll<F: Fixture>() {
    const LAST: u64 = 3_000;
    let fixture = F::start(Settings::tiny_ring(16)).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let publishing = publisher(&log, &stream, 1, LAST);
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Start).await;
    let work = async {
        while tail.position(&stream).ordinal != Some(Ordinal(LAST)) {
            let mut out = Vec::new();
            let mut polls = fastrand::u32(0..3);
            {
                let mut next = pin!(tail.subscriber().next(300, &mut out));
                // Polls it a few times, whether it was woken or not, and drops it.
                poll_fn(|cx| {
                    if polls == 0 || next.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    polls -= 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
            tail.push(out);
            while tail.pop().is_some() {}
            tokio::task::yield_now().await;
        }
    };
    in_time("every event", work).await;
    in_time("the publisher", publishing).await.unwrap();
}

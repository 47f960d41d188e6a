//! Ephemeral events: who gets them, who does not, and when it is too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use broker::{
    Delivery, EphemeralError, EphemeralEvent, Filter, From, Log, Order, Subscriber, SubscriberConfig,
};
use bytes::Bytes;
use shared::limits::{EPHEMERAL_BYTES_MAX, EPHEMERAL_RING_EVENTS_MAX};
use shared::{Event, Payload, StreamName};

use crate::{Fixture, Settings, in_time, name, number, publish, value};

/// Bytes that one call of `next` may bring.
const TAKE_BYTES: usize = 64 * 1024;

/// A reader that looks at nothing it is not asked to.
struct Reader(Subscriber);

impl Reader {
    async fn follow(log: &Arc<dyn Log>, stream: &StreamName, ephemeral: bool) -> Self {
        let config = SubscriberConfig {
            order: Order::ByTime,
            streams_max: 8,
            ephemeral,
        };
        let mut reader = Self(Subscriber::new(log.clone(), config));
        reader.add(stream, From::Now, Filter::default()).await;
        reader
    }

    async fn add(&mut self, stream: &StreamName, from: From, filter: Filter) {
        let subscribing = self.0.subscribe(stream.clone(), from, None, filter);
        in_time("the subscription", subscribing).await.unwrap();
    }

    /// What comes next, without what is told of the log's end.
    async fn next(&mut self) -> Vec<Delivery> {
        let mut out = Vec::new();
        while out.is_empty() {
            in_time("a delivery", self.0.next(TAKE_BYTES, &mut out)).await;
            out.retain(|delivery| !matches!(delivery, Delivery::CaughtUp { .. }));
        }
        out
    }

    /// The next `count` deliveries, which must all be ephemeral.
    async fn ephemeral(&mut self, count: usize) -> Vec<Arc<EphemeralEvent>> {
        let mut events = Vec::new();
        while events.len() < count {
            for delivery in self.next().await {
                match delivery {
                    Delivery::Ephemeral(event) => events.push(event),
                    other => panic!("an ephemeral event was due, not {other:?}"),
                }
            }
        }
        events
    }

    /// The next deliveries must be ephemeral events with these numbers.
    async fn expect(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let numbers: Vec<_> = numbers.into_iter().collect();
        let events = self.ephemeral(numbers.len()).await;
        assert_eq!(events.iter().map(|e| number_of(e)).collect::<Vec<_>>(), numbers);
    }

    /// The next delivery must be the entry with this number, and nothing ephemeral before it.
    async fn expect_entry(&mut self, number: u64) {
        match &self.next().await[..] {
            [Delivery::Event(entry)] => assert_eq!(value(entry), number),
            other => panic!("the entry {number} was due, not {other:?}"),
        }
    }
}

fn number_of(event: &EphemeralEvent) -> u64 {
    let text = std::str::from_utf8(event.event.data.raw()).unwrap();
    text.parse().unwrap()
}

fn send(log: &Arc<dyn Log>, stream: &StreamName, n: u64) {
    log.send_ephemeral(stream, number(n).event).unwrap();
}

pub(crate) async fn reach_who_asks_for_them_and_leave_no_trace<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut asks = Reader::follow(&log, &stream, true).await;
    let mut asks_too = Reader::follow(&log, &stream, true).await;
    let mut asks_not = Reader::follow(&log, &stream, false).await;
    let mut elsewhere = Reader::follow(&log, &name("doc:2"), true).await;
    for n in 1..=3 {
        send(&log, &stream, n);
    }
    asks.expect(1..=3).await;
    asks_too.expect(1..=3).await;
    let page = crate::page(&log, &stream, From::Start).await;
    assert!(page.entries.is_empty(), "never stored");
    publish(&log, &stream, [4]).await;
    publish(&log, &name("doc:2"), [4]).await;
    for reader in [&mut asks, &mut asks_too, &mut asks_not, &mut elsewhere] {
        reader.expect_entry(4).await;
    }
}

pub(crate) async fn every_part_comes_through<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("user:7/inbox.v1_a-b"));
    let mut reader = Reader::follow(&log, &stream, true).await;
    let full = Event {
        name: Some("cursor ✎".into()),
        data: Payload::Json(Bytes::from_static(b"[1,{\"x\":2}]")),
        spread: true,
        user: Some("u-1".into()),
        session: Some("s 1".into()),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    };
    let events = [
        full.clone(),
        Event::new(Payload::Bytes(Bytes::from_static(b"\x00\xff\r\n$5\r\n"))),
        Event::new(Payload::Bytes(Bytes::new())),
        Event {
            spread: true,
            ..Event::new(Payload::MessagePack(Bytes::from_static(b"\x92\x01\xc4\x01\xff")))
        },
    ];
    for event in &events {
        log.send_ephemeral(&stream, event.clone()).unwrap();
    }
    let pointless = Event {
        name: Some("".into()),
        spread: true,
        ..Event::new(Payload::Json(Bytes::from_static(b"1")))
    };
    log.send_ephemeral(&stream, pointless).unwrap();
    let came = reader.ephemeral(events.len() + 1).await;
    for (came, event) in came.iter().zip(&events) {
        assert_eq!((&came.event, &came.stream), (event, &stream));
    }
    let last = came.last().unwrap();
    assert_eq!(last.event, Event::new(Payload::Json(Bytes::from_static(b"1"))));
}

pub(crate) async fn what_came_while_the_reader_could_not_take_it_is_skipped<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut stuck = Reader::follow(&log, &stream, true).await;
    let mut takes = Reader::follow(&log, &stream, true).await;
    send(&log, &stream, 1);
    takes.expect([1]).await;
    stuck.0.skip_ephemeral();
    publish(&log, &stream, [2]).await;
    stuck.expect_entry(2).await;
    send(&log, &stream, 3);
    stuck.expect([3]).await;
}

pub(crate) async fn who_comes_later_gets_none_of_before<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    send(&log, &stream, 1);
    let mut early = Reader::follow(&log, &stream, true).await;
    send(&log, &stream, 2);
    early.expect([2]).await;
    let mut late = Reader::follow(&log, &stream, true).await;
    early.add(&stream, From::Now, Filter::default()).await;
    send(&log, &stream, 3);
    late.expect([3]).await;
    early.expect([3]).await;
    early.0.unsubscribe(&stream);
    early.add(&name("doc:2"), From::Now, Filter::default()).await;
    send(&log, &stream, 4);
    late.expect([4]).await;
    send(&log, &name("doc:2"), 5);
    early.expect([5]).await;
}

pub(crate) async fn filters_hold_them_back<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut reader = Reader::follow(&log, &name("doc:2"), true).await;
    let filter = Filter::new(vec!["typing".into()], Some("^[0-8]")).unwrap();
    reader.add(&stream, From::Now, filter).await;
    let typing = |n| Event {
        name: Some("typing".into()),
        ..number(n).event
    };
    log.send_ephemeral(&stream, number(1).event).unwrap();
    log.send_ephemeral(&stream, typing(9)).unwrap();
    log.send_ephemeral(&stream, typing(2)).unwrap();
    reader.expect([2]).await;
}

/// They come while the log is still being read, whatever the order of the streams.
pub(crate) async fn they_do_not_wait_for_history<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(16)).await;
    let (log, live, long) = (fixture.log(), name("doc:live"), name("doc:long"));
    publish(&log, &long, 0..3_000).await;
    let mut reader = Reader::follow(&log, &live, true).await;
    reader.add(&long, From::Start, Filter::default()).await;
    let mut witness = Reader::follow(&log, &live, true).await;
    send(&log, &live, 1);
    witness.expect([1]).await;
    let (mut entries, mut before) = (0, None);
    while entries < 3_000 {
        for delivery in reader.next().await {
            match delivery {
                Delivery::Event(entry) => {
                    assert_eq!(value(&entry), entries);
                    entries += 1;
                }
                Delivery::Ephemeral(event) => {
                    assert_eq!((number_of(&event), before), (1, None));
                    before = Some(entries);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(before, Some(0), "at once");
}

pub(crate) async fn a_flood_is_thinned_out_and_the_log_comes_through<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut reader = Reader::follow(&log, &stream, true).await;
    let flood = 4 * EPHEMERAL_RING_EVENTS_MAX as u64;
    for n in 1..=flood {
        send(&log, &stream, n);
    }
    publish(&log, &stream, 1..=10).await;
    let (mut last, mut entries) = (0, 0);
    while last < flood || entries < 10 {
        for delivery in reader.next().await {
            match delivery {
                Delivery::Ephemeral(event) => {
                    assert!(number_of(&event) > last, "in order, none twice");
                    last = number_of(&event);
                }
                Delivery::Event(entry) => {
                    entries += 1;
                    assert_eq!(value(&entry), entries);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) async fn too_large_is_refused<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut reader = Reader::follow(&log, &stream, true).await;
    let sized = |bytes: usize| Event::new(Payload::Bytes(vec![b'x'; bytes].into()));
    let size_bytes = EPHEMERAL_BYTES_MAX + 1;
    assert_eq!(
        log.send_ephemeral(&stream, sized(size_bytes)),
        Err(EphemeralError::TooLarge { size_bytes })
    );
    log.send_ephemeral(&stream, sized(EPHEMERAL_BYTES_MAX)).unwrap();
    let came = reader.ephemeral(1).await;
    assert_eq!(came[0].event.size_bytes(), EPHEMERAL_BYTES_MAX);
}

/// Counts how often a task would be woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) async fn who_does_not_ask_is_not_woken<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut quiet = Reader::follow(&log, &stream, false).await;
    let mut listens = Reader::follow(&log, &stream, true).await;
    publish(&log, &stream, [1]).await;
    quiet.expect_entry(1).await;
    listens.expect_entry(1).await;
    let count = Arc::<Count>::default();
    let waker = Waker::from(count.clone());
    let mut out = Vec::new();
    let mut poll = || {
        let mut cx = Context::from_waker(&waker);
        quiet.0.poll_next(&mut cx, TAKE_BYTES, &mut out)
    };
    // Until everything that was to be told is told.
    while poll() == Poll::Ready(()) {}
    let woken = count.0.load(Ordering::SeqCst);
    for n in 2..100 {
        send(&log, &stream, n);
        listens.expect([n]).await;
    }
    assert_eq!(count.0.load(Ordering::SeqCst), woken);
    publish(&log, &stream, [100]).await;
    listens.expect_entry(100).await;
    assert!(count.0.load(Ordering::SeqCst) > woken);
}

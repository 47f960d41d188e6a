//! Subscriptions: where they begin, what they end with, several streams.

use std::time::Duration;

use broker::{Delivery, Filter, From, Order, ReadError, Subscriber, SubscriberConfig};
use shared::{Cursor, Verdict};

use crate::tail::Tail;
use crate::{Fixture, Settings, in_time, name, publish, value};

pub(crate) async fn from_each_place<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=10).await;
    let cases: [(From, u64); 9] = [
        (From::Start, 1),
        (From::Now, 11),
        (From::Last(0), 11),
        (From::Last(4), 7),
        (From::Last(5_000), 1),
        (From::Since(at[2].id), 3),
        (From::Cursor(at[4]), 6),
        (From::Cursor(at[9]), 11),
        (From::Cursor(Cursor::bare(at[4].id)), 6),
    ];
    let mut tails = Vec::new();
    for (from, first) in cases {
        let mut tail = Tail::new(&log);
        let joined = tail.follow(&stream, from).await;
        assert_eq!(joined.verdict, Verdict::Continuous, "{from:?}");
        assert_eq!(joined.head, at[9], "{from:?}");
        tail.expect(&stream, first..=10).await;
        assert_eq!(tail.caught_up(&stream).await.id, at[9].id, "{from:?}");
        tails.push(tail);
    }
    let at = publish(&log, &stream, 11..=12).await;
    for mut tail in tails {
        tail.expect(&stream, 11..=12).await;
        assert_eq!(tail.position(&stream), at[1]);
        let positions: Vec<_> = tail
            .subscriber()
            .positions()
            .map(|(s, c)| (s.clone(), c))
            .collect();
        assert_eq!(positions, [(stream.clone(), at[1])]);
    }
}

/// Whoever began with the last events, or with those since a moment, and comes back before it has got any, is told what
/// is missing like everybody else.
pub(crate) async fn a_beginning_can_be_resumed<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(1)).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=10).await;
    // Something was removed already, so that nothing can be proven without a count.
    fixture.trim(&stream, 8).await;
    let begin = async |from| Tail::new(&log).follow(&stream, from).await.cursor;
    let (last, since) = (begin(From::Last(4)).await, begin(From::Since(at[6].id)).await);
    let (all, none) = (begin(From::Last(100)).await, begin(From::Last(0)).await);
    assert_eq!((last, since, none), (at[5], at[5], at[9]));
    for (from, first) in [(last, 7), (since, 7), (all, 3), (none, 11)] {
        let mut tail = Tail::new(&log);
        let joined = tail.follow(&stream, From::Cursor(from)).await;
        assert_eq!(joined.verdict, Verdict::Continuous, "{from}");
        tail.expect(&stream, first..=10).await;
    }
    fixture.trim(&stream, 2).await;
    for (from, lost) in [(last, 2), (since, 2), (all, 6)] {
        let joined = Tail::new(&log).follow(&stream, From::Cursor(from)).await;
        assert_eq!(joined.verdict, Verdict::Gap { lost }, "{from}");
    }
}

pub(crate) async fn caught_up_is_told_once<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(4)).await;
    let (log, stream, empty) = (fixture.log(), name("doc:1"), name("doc:empty"));
    let at = publish(&log, &stream, 1..=50).await;
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Start).await;
    tail.expect(&stream, 1..=50).await;
    assert_eq!(
        tail.caught_up(&stream).await,
        at[49],
        "at once, after the last event"
    );
    tail.follow(&empty, From::Start).await;
    assert_eq!(tail.caught_up(&empty).await, Cursor::START);
    // Falls off the ring and comes back: the observer accepts no second one.
    publish(&log, &stream, 51..=90).await;
    tail.expect(&stream, 51..=90).await;
    publish(&log, &stream, [91]).await;
    tail.expect(&stream, [91]).await;
}

pub(crate) async fn until_ends_it<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut at = publish(&log, &stream, 1..=10).await;
    let mut tail = Tail::new(&log);
    let until = Some(at[5].id);
    tail.follow_part(&stream, From::Start, until, Filter::default())
        .await;
    tail.expect(&stream, 1..=6).await;
    ended(&mut tail, at[5]).await;
    assert!(!tail.subscriber().unsubscribe(&stream), "it is removed");
    // One that lies ahead is reached live, by an event behind it.
    fixture.advance(Duration::from_millis(3)).await;
    at.extend(publish(&log, &stream, [11]).await);
    let until = Some(at[10].id.successor());
    tail.follow_part(&stream, From::Cursor(at[8]), until, Filter::default())
        .await;
    tail.expect(&stream, 10..=11).await;
    fixture.advance(Duration::from_millis(3)).await;
    publish(&log, &stream, [12]).await;
    ended(&mut tail, at[10]).await;
}

async fn ended(tail: &mut Tail, at: Cursor) {
    loop {
        match tail.next().await {
            Delivery::Ended { cursor, .. } => return assert_eq!(cursor, at),
            Delivery::CaughtUp { .. } => {}
            other => panic!("the end was due, not {other:?}"),
        }
    }
}

pub(crate) async fn until_in_the_past_ends_at_once<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let empty = name("doc:empty");
    let at = publish(&log, &stream, 1..=3).await;
    let past = Some(shared::EntryId::new(1_000, 0));
    let mut tail = Tail::new(&log);
    let joined = tail
        .follow_part(&stream, From::Start, past, Filter::default())
        .await;
    ended(&mut tail, joined.cursor).await;
    // With nothing behind it, the clock ends it.
    tail.follow_part(&stream, From::Cursor(at[2]), past, Filter::default())
        .await;
    ended(&mut tail, at[2]).await;
    tail.follow_part(&empty, From::Start, past, Filter::default())
        .await;
    ended(&mut tail, Cursor::START).await;
}

/// Nothing is published behind it: the clock of this machine ends it.
pub(crate) async fn until_comes_by_the_clock<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream, other) = (fixture.log(), name("doc:1"), name("doc:2"));
    let at = publish(&log, &stream, 1..=2).await;
    let mut tail = Tail::new(&log);
    let now_ms = shared::time::now_ms();
    let until = |after_ms| Some(shared::EntryId::new(now_ms + after_ms, 0));
    // The later one first: the timer has to be set for the earlier one then.
    tail.follow_part(&other, From::Start, until(600), Filter::default())
        .await;
    assert_eq!(tail.caught_up(&other).await, Cursor::START);
    let pending = tokio::time::timeout(Duration::from_millis(1), tail.next()).await;
    assert!(pending.is_err(), "{pending:?}");
    tail.follow_part(&stream, From::Start, until(200), Filter::default())
        .await;
    tail.expect(&stream, 1..=2).await;
    ended(&mut tail, at[1]).await;
    ended(&mut tail, Cursor::START).await;
    assert_eq!(tail.subscriber().positions().count(), 0);
}

pub(crate) async fn merged_by_time<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let log = fixture.log();
    let streams = ["log:a", "log:b", "log:c"].map(name);
    let mut next = 0;
    let mut publish_some = async || {
        for _ in 0..10 {
            for (index, stream) in streams.iter().enumerate() {
                publish(&log, stream, next..next + index as u64 + 1).await;
                next += index as u64 + 1;
                fixture.advance(Duration::from_millis(2)).await;
            }
        }
        next
    };
    let count = publish_some().await;
    let mut tail = Tail::with_order(&log, Order::ByTime).taking(200);
    for stream in &streams {
        tail.follow(stream, From::Start).await;
    }
    let mut numbers = Vec::new();
    while numbers.len() < count as usize {
        if let Delivery::Event(entry) = tail.next().await {
            numbers.push(value(&entry));
        }
    }
    assert_eq!(
        numbers,
        (0..count).collect::<Vec<_>>(),
        "history comes in the order of time"
    );
    let more = publish_some().await;
    while numbers.len() < more as usize {
        if let Delivery::Event(entry) = tail.next().await {
            numbers.push(value(&entry));
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..more).collect::<Vec<_>>(), "and live none is missing");
}

pub(crate) async fn each_stream_on_its_own<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let log = fixture.log();
    let (long, live) = (name("log:long"), name("log:live"));
    publish(&log, &long, 0..4_000).await;
    let mut tail = Tail::new(&log).taking(500);
    tail.follow(&live, From::Now).await;
    tail.follow(&long, From::Start).await;
    publish(&log, &live, 0..5).await;
    let (mut from_live, mut from_long) = (0, 0);
    while from_live < 5 || from_long < 4_000 {
        let Delivery::Event(entry) = tail.next().await else {
            continue;
        };
        let next = if entry.stream == live {
            assert!(
                from_long < 4_000,
                "one that catches up does not hold up the others"
            );
            &mut from_live
        } else {
            &mut from_long
        };
        assert_eq!(value(&entry), *next);
        *next += 1;
    }
}

pub(crate) async fn too_many_streams<F: Fixture>() {
    let mut settings = Settings::default();
    settings.hub.streams_max = 3;
    let fixture = F::start(settings).await;
    let log = fixture.log();
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 2,
        ephemeral: false,
    };
    let mut first = Subscriber::new(log.clone(), config.clone());
    let mut second = Subscriber::new(log.clone(), config);
    let follow = async |subscriber: &mut Subscriber, stream: &str| {
        let joined = subscriber.subscribe(name(stream), From::Now, None, Filter::default());
        in_time("the subscription", joined).await.map(|_| ())
    };
    assert_eq!(follow(&mut first, "a").await, Ok(()));
    assert_eq!(follow(&mut first, "b").await, Ok(()));
    assert_eq!(
        follow(&mut first, "c").await,
        Err(ReadError::TooManySubscriptions(2))
    );
    assert_eq!(
        follow(&mut first, "b").await,
        Ok(()),
        "one that is followed already may start anew"
    );
    assert_eq!(follow(&mut second, "c").await, Ok(()));
    assert_eq!(follow(&mut second, "d").await, Err(ReadError::TooManyStreams(3)));
    assert_eq!(follow(&mut second, "a").await, Ok(()), "others follow it already");
    assert_eq!(first.positions().count(), 2);
    assert_eq!(log.hub().streams(), 3);
}

pub(crate) async fn again_starts_anew<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=10).await;
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Cursor(at[7])).await;
    tail.expect(&stream, 9..=10).await;
    tail.follow(&stream, From::Cursor(at[2])).await;
    publish(&log, &stream, [11]).await;
    tail.expect(&stream, 4..=11).await;
    assert_eq!(tail.subscriber().positions().count(), 1);
}

pub(crate) async fn unsubscribed_is_silent<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, left, kept) = (fixture.log(), name("doc:1"), name("doc:2"));
    let mut tail = Tail::new(&log);
    for stream in [&left, &kept] {
        tail.follow(stream, From::Now).await;
        tail.caught_up(stream).await;
    }
    assert!(tail.subscriber().unsubscribe(&left));
    assert!(!tail.subscriber().unsubscribe(&left));
    publish(&log, &left, [1]).await;
    publish(&log, &kept, [2]).await;
    tail.expect(&kept, [2]).await;
}

pub(crate) async fn gap_at_the_start_is_told_first<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=10).await;
    fixture.trim(&stream, 3).await;
    for (from, missing) in [(From::Start, 7), (From::Cursor(at[4]), 2)] {
        let mut tail = Tail::new(&log);
        let joined = tail.follow(&stream, from).await;
        assert_eq!(joined.verdict, Verdict::Gap { lost: missing });
        match tail.next().await {
            Delivery::Gap { lost, cursor, .. } => assert_eq!((lost, cursor), (missing, joined.cursor)),
            other => panic!("a gap was due, not {other:?}"),
        }
        tail.expect(&stream, 8..=10).await;
        assert_eq!(tail.position(&stream), at[9]);
    }
}

pub(crate) async fn bare_id_is_unverified_once<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(2)).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=2_000).await;
    fixture.trim(&stream, 1_990).await;
    let mut tail = Tail::new(&log);
    let joined = tail.follow(&stream, From::Cursor(Cursor::bare(at[99].id))).await;
    assert_eq!(joined.verdict, Verdict::Unverified);
    assert!(matches!(tail.next().await, Delivery::Unverified { .. }));
    tail.expect(&stream, 101..=2_000).await;
    assert_eq!(tail.position(&stream), at[1_999], "the ordinals are known again");
}

//! What a live subscriber is told when its stream is trimmed, deleted, re-created or rolled back.

use std::time::Duration;

use broker::From;
use shared::{Cursor, Ordinal};

use crate::tail::Tail;
use crate::{Fixture, Settings, in_time, name, publish};

/// More than the length of a millisecond: IDs on both sides of it differ in their time.
const TICK: Duration = Duration::from_millis(3);

pub(crate) async fn trimmed_past_a_slow_reader<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(4)).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Now).await;
    tail.caught_up(&stream).await;
    publish(&log, &stream, 1..=100).await;
    fixture.trim(&stream, 10).await;
    let (numbers, lost) = tail.through(&stream, 100).await;
    assert_eq!(
        numbers.len() as u64 + lost,
        100,
        "what did not come is told: {numbers:?}, {lost}"
    );
    assert!(numbers.is_sorted() && numbers.ends_with(&(91..=100).collect::<Vec<_>>()));
    publish(&log, &stream, [101]).await;
    tail.value(&stream, 101).await;
    assert_eq!(tail.position(&stream).ordinal, Some(Ordinal(101)));
}

pub(crate) async fn deleted_inside_what_was_not_read<F: Fixture>() {
    let fixture = F::start(Settings::tiny_ring(4)).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Now).await;
    tail.caught_up(&stream).await;
    let at = publish(&log, &stream, 1..=100).await;
    for index in [10, 11, 12, 50] {
        fixture.delete_entry(&stream, at[index].id).await;
    }
    // The last of them only now, so that there is an end to wait for that was not in the ring then.
    publish(&log, &stream, 101..=120).await;
    let (numbers, lost) = tail.through(&stream, 120).await;
    assert_eq!(
        numbers.len() as u64 + lost,
        120,
        "what did not come is told: {lost}"
    );
    assert!(numbers.is_sorted());
    assert_eq!(tail.position(&stream).ordinal, Some(Ordinal(120)));
}

pub(crate) async fn deleted_and_re_created<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Start).await;
    let mut last = 0;
    for round in 0..5 {
        // Now fewer entries than before, now more.
        let count = if round % 2 == 0 { 8 } else { 20 };
        publish(&log, &stream, last + 1..=last + count).await;
        let (numbers, lost) = tail.through(&stream, last + count).await;
        assert_eq!((numbers.len() as u64, lost), (count, 0));
        last += count;
        fixture.delete_stream(&stream).await;
        fixture.advance(TICK).await;
        let told = tail.reset(&stream).await;
        assert_eq!(told, Cursor::START, "the deletion itself is told");
    }
}

pub(crate) async fn rolled_back_while_live<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=6).await;
    let snapshot = fixture.snapshot(&stream).await;
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Start).await;
    fixture.advance(TICK).await;
    publish(&log, &stream, 7..=10).await;
    tail.through(&stream, 10).await;
    fixture.restore(&stream, snapshot).await;
    assert_eq!(
        tail.reset(&stream).await,
        at[5],
        "back to the head of what is left"
    );
    fixture.advance(TICK).await;
    publish(&log, &stream, 107..=120).await;
    tail.expect(&stream, 107..=120).await;
    assert_eq!(tail.position(&stream).ordinal, Some(Ordinal(20)));
}

pub(crate) async fn rolled_back_and_gone_on_while_live<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    publish(&log, &stream, 1..=6).await;
    let snapshot = fixture.snapshot(&stream).await;
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Start).await;
    fixture.advance(TICK).await;
    publish(&log, &stream, 7..=10).await;
    tail.through(&stream, 10).await;
    fixture.restore(&stream, snapshot).await;
    fixture.advance(TICK).await;
    // Whether the reader learns of it before or after these, it is told, and they come.
    publish(&log, &stream, 107..=120).await;
    tail.reset(&stream).await;
    tail.expect(&stream, 107..=120).await;
    assert_eq!(tail.position(&stream).ordinal, Some(Ordinal(20)));
}

pub(crate) async fn unfollowed_after_its_linger<F: Fixture>() {
    let mut settings = Settings::default();
    settings.hub.linger = Duration::from_millis(10);
    let fixture = F::start(settings).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    publish(&log, &stream, 1..=3).await;
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Start).await;
    tail.expect(&stream, 1..=3).await;
    assert_eq!(log.hub().streams(), 1);
    let cursor = tail.position(&stream);
    drop(tail);
    in_time("the hub to let go", async {
        while log.hub().streams() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    publish(&log, &stream, 4..=6).await;
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Cursor(cursor)).await;
    tail.expect(&stream, 4..=6).await;
    publish(&log, &stream, [7]).await;
    tail.value(&stream, 7).await;
}

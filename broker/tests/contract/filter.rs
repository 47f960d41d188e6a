//! Filters: which events come, and that the others are passed over for good.

use broker::{Delivery, Filter, From};
use shared::Verdict;

use crate::tail::Tail;
use crate::{Fixture, Settings, in_time, name, named, publish, value};

fn events(names: &[&str]) -> Filter {
    Filter::new(names.iter().map(|name| name.to_string()).collect(), None).unwrap()
}

pub(crate) async fn by_event<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let publish = async |from: u64| {
        for n in from..from + 6 {
            let event = ["edit", "cursor", "chat"][n as usize % 3];
            log.append(&stream, named(event, n)).await.unwrap();
        }
    };
    publish(0).await;
    log.append(&stream, crate::number(100)).await.unwrap();
    let mut tail = Tail::new(&log);
    let filter = events(&["edit", "message"]);
    tail.follow_part(&stream, From::Start, None, filter).await;
    tail.expect(&stream, [0, 3, 100]).await;
    publish(6).await;
    tail.expect(&stream, [6, 9]).await;
}

pub(crate) async fn by_pattern<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    publish(&log, &stream, 0..100).await;
    let mut tail = Tail::new(&log);
    let filter = Filter::new(Vec::new(), Some("^[0-9]*7$")).unwrap();
    tail.follow_part(&stream, From::Start, None, filter).await;
    tail.expect(&stream, (0..10).map(|n| 10 * n + 7)).await;
    publish(&log, &stream, 100..120).await;
    tail.expect(&stream, [107, 117]).await;
}

pub(crate) async fn held_back_events_move_the_cursor<F: Fixture>() {
    const COUNT: u64 = 5_000;
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let filter = events(&["rare"]);
    let mut tail = Tail::new(&log);
    tail.follow_part(&stream, From::Start, None, filter.clone()).await;
    let at = publish(&log, &stream, 1..=COUNT).await;
    let passed = in_time("a Passed", async {
        loop {
            match tail.next().await {
                Delivery::Passed { cursor, .. } => return cursor,
                Delivery::CaughtUp { .. } => {}
                other => panic!("nothing passes the filter, not {other:?}"),
            }
        }
    })
    .await;
    assert!(at.contains(&passed));
    let rare = log.append(&stream, named("rare", 7)).await.unwrap().cursor;
    // Another subscriber resumes there, with the same filter, and misses nothing.
    let mut resumed = Tail::new(&log);
    let joined = resumed
        .follow_part(&stream, From::Cursor(passed), None, filter)
        .await;
    assert_eq!(joined.verdict, Verdict::Continuous);
    for tail in [&mut tail, &mut resumed] {
        let entry = tail.entry(&stream).await;
        assert_eq!((entry.cursor, value(&entry)), (rare, 7));
    }
}

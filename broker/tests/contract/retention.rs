//! Retention: by length, by age, idle streams, and which rule counts.

use std::time::Duration;

use broker::{From, Retention, RetentionRule, RetentionRules};
use shared::{Cursor, Ordinal, Verdict};

use crate::{Fixture, KEEP_ALL, Settings, in_time, name, page, publish, value, values};

/// Redis drops whole nodes of a hundred entries, so this many more may stay.
const SLACK: u64 = 200;

fn keeping(retention: Retention) -> Settings {
    Settings {
        retention: RetentionRules {
            rules: Vec::new(),
            default: retention,
        },
        ..Settings::default()
    }
}

pub(crate) async fn by_length<F: Fixture>() {
    let fixture = F::start(keeping(Retention {
        entries_max: Some(100),
        ..KEEP_ALL
    }))
    .await;
    let (log, stream) = (fixture.log(), name("log:api"));
    publish(&log, &stream, 1..=2_000).await;
    let read = page(&log, &stream, From::Start).await;
    let kept = read.entries.len() as u64;
    assert!((100..=100 + SLACK).contains(&kept), "kept {kept}");
    assert_eq!(read.verdict, Verdict::Gap { lost: 2_000 - kept });
    assert_eq!(value(&read.entries[0]), 2_000 - kept + 1);
    assert_eq!(read.entries[0].cursor.ordinal.unwrap().0, 2_000 - kept + 1);
}

pub(crate) async fn by_age<F: Fixture>() {
    let fixture = F::start(keeping(Retention {
        age_max: Some(Duration::from_millis(300)),
        ..KEEP_ALL
    }))
    .await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut next = 0;
    let read = in_time("the first entries to go", async {
        loop {
            publish(&log, &stream, next..next + 150).await;
            next += 150;
            let read = page(&log, &stream, From::Start).await;
            if read.verdict != Verdict::Continuous {
                return read;
            }
            fixture.advance(Duration::from_millis(50)).await;
        }
    })
    .await;
    let oldest = value(&read.entries[0]);
    assert_eq!(read.verdict, Verdict::Gap { lost: oldest });
    assert_eq!(read.head.ordinal, Some(Ordinal(next)));
    let newest = page(&log, &stream, From::Last(150)).await;
    assert_eq!(values(&newest.entries), (next - 150..next).collect::<Vec<_>>());
}

pub(crate) async fn idle_streams_expire<F: Fixture>() {
    let fixture = F::start(keeping(Retention {
        idle_max: Some(Duration::from_millis(200)),
        ..KEEP_ALL
    }))
    .await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let cursor = publish(&log, &stream, [1]).await[0];
    in_time("the stream to expire", async {
        while page(&log, &stream, From::Now).await.head != Cursor::START {
            fixture.advance(Duration::from_millis(40)).await;
        }
    })
    .await;
    assert_eq!(
        page(&log, &stream, From::Cursor(cursor)).await.verdict,
        Verdict::Reset
    );
    assert_eq!(publish(&log, &stream, [2]).await[0].ordinal.unwrap().0, 1);
}

pub(crate) async fn first_rule_that_matches_counts<F: Fixture>() {
    let rule = |pattern: &str, entries_max| RetentionRule {
        pattern: pattern.parse().unwrap(),
        retention: Retention {
            entries_max: Some(entries_max),
            ..KEEP_ALL
        },
    };
    let fixture = F::start(Settings {
        retention: RetentionRules {
            rules: vec![rule("log:*", 10), rule("*:api", 100_000)],
            default: KEEP_ALL,
        },
        ..Settings::default()
    })
    .await;
    let log = fixture.log();
    for (stream, trimmed) in [("log:api", true), ("doc:api", false), ("doc:1", false)] {
        publish(&log, &name(stream), 0..800).await;
        let read = page(&log, &name(stream), From::Start).await;
        assert_eq!(read.entries.len() < 800, trimmed, "{stream}");
    }
}

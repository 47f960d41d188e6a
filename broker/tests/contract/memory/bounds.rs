//! The bounds of the in-memory engine: bytes, streams, keys; what gives way, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use broker::{
    AppendError, From, Limits, Log, MemoryClock, MemoryConfig, MemoryLog, NewEvent, Retention, RetentionRules,
};
use bytes::Bytes;
use shared::{Event, Ordinal, Payload, StreamName, Verdict};

use crate::{KEEP_ALL, keyed, name, number, page, publish};

const BYTES_MAX: usize = 1024 * 1024;

fn small(change: impl FnOnce(&mut MemoryConfig)) -> (Arc<MemoryLog>, Arc<dyn Log>) {
    let mut config = MemoryConfig {
        retention: RetentionRules {
            rules: Vec::new(),
            default: KEEP_ALL,
        },
        bytes_max: BYTES_MAX,
        ..MemoryConfig::default()
    };
    change(&mut config);
    let log = MemoryLog::new(config);
    (log.clone(), log)
}

async fn publish_sized(log: &Arc<dyn Log>, stream: &StreamName, bytes: usize) -> Result<(), AppendError> {
    let event = Event::new(Payload::Bytes(Bytes::from(vec![0; bytes])));
    log.append(stream, NewEvent::new(event)).await.map(|_| ())
}

#[tokio::test]
async fn the_noisy_stream_loses_its_oldest_and_the_quiet_one_nothing() {
    let (memory, log) = small(|_| ());
    let (noisy, quiet) = (name("log:noisy"), name("doc:quiet"));
    publish(&log, &quiet, 0..100).await;
    for _ in 0..5_000 {
        publish_sized(&log, &noisy, 1_000).await.unwrap();
        assert!(memory.bytes_used() <= BYTES_MAX);
    }
    let kept = page(&log, &quiet, From::Start).await;
    assert_eq!((kept.entries.len(), kept.verdict), (100, Verdict::Continuous));
    let page = page(&log, &noisy, From::Start).await;
    let Verdict::Gap { lost } = page.verdict else {
        panic!("a gap was due, not {:?}", page.verdict)
    };
    assert_eq!(page.entries.len() as u64 + lost, 5_000, "readers are told");
    assert!(
        page.entries.len() > 250,
        "and most of the room is used: {}",
        page.entries.len()
    );
}

#[tokio::test]
async fn many_large_entries_do_not_empty_the_log() {
    let (memory, log) = small(|_| ());
    for n in 0..40 {
        publish_sized(&log, &name(&format!("blob:{n}")), BYTES_MAX / 20)
            .await
            .unwrap();
    }
    assert!(memory.bytes_used() > BYTES_MAX / 2, "{}", memory.bytes_used());
    // All are equally large, so those went first to which nobody has published for the longest time.
    assert_eq!(page(&log, &name("blob:39"), From::Start).await.entries.len(), 1);
    assert_eq!(
        page(&log, &name("blob:0"), From::Start).await.verdict,
        Verdict::Gap { lost: 1 }
    );
}

#[tokio::test]
async fn an_event_that_would_fill_the_log_is_refused() {
    let (_, log) = small(|_| ());
    let stream = name("blob:1");
    let refused = publish_sized(&log, &stream, BYTES_MAX / 8 + 1).await;
    assert_eq!(refused, Err(AppendError::Full));
    assert_eq!(
        page(&log, &stream, From::Start).await.head.ordinal,
        Some(Ordinal(0))
    );
    publish_sized(&log, &stream, BYTES_MAX / 8).await.unwrap();
}

#[tokio::test]
async fn one_stream_too_many_is_refused_until_another_goes() {
    let clock = MemoryClock::manual(1_700_000_000_000);
    let (memory, log) = small(|config| {
        config.streams_max = 3;
        config.clock = clock.clone();
        config.retention.default = Retention {
            idle_max: Some(Duration::from_secs(60)),
            ..KEEP_ALL
        };
    });
    for n in 0..3 {
        publish(&log, &name(&format!("doc:{n}")), [1]).await;
        clock.advance(Duration::from_secs(10));
    }
    let refused = log.append(&name("doc:3"), number(1)).await.unwrap_err();
    assert_eq!(refused, AppendError::Full);
    let field = (Bytes::from_static(b"d"), Bytes::from_static(b"1"));
    assert_eq!(
        memory.append_raw(&name("doc:3"), None, &[field]),
        Err(AppendError::Full)
    );
    publish(&log, &name("doc:2"), [2]).await;
    memory.delete_stream(&name("doc:1"));
    publish(&log, &name("doc:3"), [1]).await;
    assert_eq!(
        log.append(&name("doc:4"), number(1)).await.unwrap_err(),
        AppendError::Full
    );
    // Idle for a minute: expired, which the sweep notices.
    clock.advance(Duration::from_secs(31));
    memory.sweep();
    publish(&log, &name("doc:4"), [1]).await;
    assert!(page(&log, &name("doc:0"), From::Start).await.entries.is_empty());
    assert_eq!(page(&log, &name("doc:2"), From::Start).await.entries.len(), 2);
}

#[tokio::test]
async fn keys_are_bounded_with_everything_else() {
    let (memory, log) = small(|config| {
        config.retention.default.entries_max = Some(10);
    });
    let stream = name("log:keyed");
    for n in 0..20_000 {
        log.append(&stream, keyed(&format!("key {n}"), n)).await.unwrap();
        assert!(memory.bytes_used() <= BYTES_MAX);
    }
    let newest = log.append(&stream, keyed("key 19999", 0)).await.unwrap();
    assert!(newest.duplicate, "the newest are remembered");
    let oldest = log.append(&stream, keyed("key 0", 0)).await.unwrap();
    assert!(
        !oldest.duplicate,
        "under pressure the oldest are forgotten before their window ends"
    );
}

#[tokio::test]
async fn what_has_expired_frees_its_memory() {
    let clock = MemoryClock::manual(1_700_000_000_000);
    let (memory, log) = small(|config| {
        config.clock = clock.clone();
        config.limits = Limits {
            idempotency_window: Duration::from_secs(60),
            ..Limits::default()
        };
        config.retention.default.age_max = Some(Duration::from_secs(30));
    });
    let stream = name("log:api");
    log.append(&stream, keyed("a", 1)).await.unwrap();
    clock.advance(Duration::from_secs(31));
    memory.sweep();
    assert!(memory.bytes_used() > 0, "the key is still remembered");
    assert!(log.append(&stream, keyed("a", 1)).await.unwrap().duplicate);
    clock.advance(Duration::from_secs(30));
    memory.sweep();
    assert_eq!(memory.bytes_used(), 0);
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(read.verdict, Verdict::Gap { lost: 1 }, "the count stays");
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_take_ids_back() {
    let clock = MemoryClock::manual(1_700_000_000_000);
    let (_, log) = small(|config| config.clock = clock.clone());
    let stream = name("doc:1");
    let first = publish(&log, &stream, [1]).await[0];
    clock.set(1_600_000_000_000);
    let second = publish(&log, &stream, [2]).await[0];
    assert_eq!(second.id, first.id.successor());
}

#[tokio::test]
async fn what_xadd_refuses_is_refused() {
    let (memory, log) = small(|_| ());
    let stream = name("raw");
    let field = [(Bytes::from_static(b"d"), Bytes::from_static(b"1"))];
    let refused = |id, fields: &[(Bytes, Bytes)]| {
        let outcome = memory.append_raw(&stream, id, fields);
        assert!(matches!(outcome, Err(AppendError::Refused(_))), "{outcome:?}");
    };
    refused(Some(shared::EntryId::ZERO), &field);
    refused(None, &[]);
    assert_eq!(
        page(&log, &stream, From::Now).await.head.ordinal,
        Some(Ordinal(0))
    );
    memory
        .append_raw(&stream, Some(shared::EntryId::new(5, 5)), &field)
        .unwrap();
    refused(Some(shared::EntryId::new(5, 5)), &field);
    memory
        .append_raw(&stream, Some(shared::EntryId::MAX), &field)
        .unwrap();
    refused(None, &field);
    let exhausted = log.append(&stream, number(1)).await.unwrap_err();
    assert!(matches!(exhausted, AppendError::Refused(_)));
    assert_eq!(page(&log, &stream, From::Start).await.entries.len(), 2);
}

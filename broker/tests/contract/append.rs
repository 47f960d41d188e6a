//! Appending: answers, order, idempotency, size limits.

use std::collections::HashSet;
use std::time::Duration;

use broker::{AppendError, From, NewEvent};
use bytes::Bytes;
use shared::limits::APPEND_BATCH_ENTRIES_MAX;
use shared::{Cursor, Event, Ordinal, Payload};

use crate::{
    Fixture, Settings, cursors, entries, in_time, keyed, name, number, page, pages_to_tail, publish, value,
    values,
};

fn ordinals(cursors: &[Cursor]) -> Vec<u64> {
    cursors
        .iter()
        .map(|cursor| cursor.ordinal.unwrap_or(Ordinal(0)).0)
        .collect()
}

pub(crate) async fn answers_with_positions_in_order<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut answered = Vec::new();
    for n in 1..=3 {
        let appended = log.append(&stream, number(n)).await.unwrap();
        assert!(!appended.duplicate);
        answered.push(appended.cursor);
    }
    assert_eq!(ordinals(&answered), [1, 2, 3]);
    assert!(answered.is_sorted_by(|a, b| a.id < b.id));
    let page = page(&log, &stream, From::Start).await;
    assert_eq!(values(&page.entries), [1, 2, 3]);
    assert_eq!(cursors(&page.entries), answered);
    assert_eq!(page.head, answered[2]);
    assert!(page.entries.iter().all(|entry| entry.stream == stream));
    log.check().await.unwrap();
}

pub(crate) async fn a_large_batch_keeps_its_order<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let count = 3 * APPEND_BATCH_ENTRIES_MAX as u64 + 7;
    let answered = publish(&log, &stream, 1..=count).await;
    assert_eq!(ordinals(&answered), (1..=count).collect::<Vec<_>>());
    let read = entries(&pages_to_tail(&log, &stream, From::Start, 1_000).await);
    assert_eq!(values(&read), (1..=count).collect::<Vec<_>>());
    assert_eq!(cursors(&read), answered);
}

pub(crate) async fn submits_in_a_row_keep_their_order<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut receipts = Vec::new();
    for n in 0..200 {
        receipts.push(
            log.submit(&stream, vec![number(2 * n), number(2 * n + 1)])
                .await
                .unwrap(),
        );
    }
    // Dropping a receipt does not take the events back.
    let last = receipts.pop().unwrap();
    drop(receipts);
    in_time("the last receipt", last).await;
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(values(&read.entries), (0..400).collect::<Vec<_>>());
}

pub(crate) async fn many_publishers_at_once<F: Fixture>() {
    const PUBLISHERS: u64 = 50;
    const EACH: u64 = 40;
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut tasks = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (log, stream) = (log.clone(), stream.clone());
        tasks.spawn(async move {
            let mut answered = Vec::new();
            for n in 0..EACH {
                let event = number(publisher * EACH + n);
                answered.push(log.append(&stream, event).await.unwrap().cursor);
            }
            answered
        });
    }
    let answered = in_time("the publishers", tasks.join_all()).await;
    let read = entries(&pages_to_tail(&log, &stream, From::Start, 300).await);
    assert_eq!(
        ordinals(&cursors(&read)),
        (1..=PUBLISHERS * EACH).collect::<Vec<_>>()
    );
    let in_log: HashSet<Cursor> = cursors(&read).into_iter().collect();
    let in_answers: HashSet<Cursor> = answered.iter().flatten().copied().collect();
    assert_eq!(
        in_log, in_answers,
        "every answer names its entry, with the ordinal it has"
    );
    for publisher in 0..PUBLISHERS {
        let own: Vec<_> = values(&read)
            .into_iter()
            .filter(|n| n / EACH == publisher)
            .collect();
        assert_eq!(
            own,
            (publisher * EACH..(publisher + 1) * EACH).collect::<Vec<_>>()
        );
    }
}

pub(crate) async fn every_part_of_an_event_comes_back<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("user:7/inbox.v1_a-b"));
    let full = Event {
        name: Some("edited ✎".into()),
        data: Payload::Json(Bytes::from_static(
            r#"{"text":"grüße \u0000","n":[1,2.5,null]}"#.as_bytes(),
        )),
        spread: false,
        user: Some("u-1".into()),
        session: Some("s 1".into()),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    };
    let events = [
        full.clone(),
        Event::new(Payload::Bytes(Bytes::from_static(b"\x00\xff\r\n$5\r\n"))),
        Event::new(Payload::Bytes(Bytes::new())),
        Event::new(Payload::MessagePack(Bytes::from_static(
            b"\x81\xa1b\xc4\x02\x00\xff",
        ))),
        Event {
            name: Some("message".into()),
            ..full.clone()
        },
        Event {
            data: Payload::Json(Bytes::from_static(b" [1,[2]]")),
            spread: true,
            ..full.clone()
        },
        Event {
            data: Payload::MessagePack(Bytes::from_static(b"\x92\x01\xc4\x01\xff")),
            spread: true,
            ..full.clone()
        },
        Event {
            data: Payload::Json(Bytes::from_static(b"[1]")),
            ..full.clone()
        },
    ];
    for event in &events {
        log.append(&stream, NewEvent::new(event.clone())).await.unwrap();
    }
    let empty_texts = Event {
        name: Some("".into()),
        user: Some("".into()),
        session: Some("".into()),
        trace: Some("".into()),
        spread: true,
        ..full.clone()
    };
    log.append(&stream, NewEvent::new(empty_texts)).await.unwrap();
    let read = page(&log, &stream, From::Start).await;
    let came_back: Vec<_> = read.entries.iter().map(|entry| entry.event.clone()).collect();
    assert_eq!(came_back[..events.len()], events);
    assert_eq!(
        came_back[events.len()],
        Event::new(full.data),
        "an empty text is none"
    );
}

pub(crate) async fn a_key_appends_once<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream, other) = (fixture.log(), name("doc:1"), name("doc:2"));
    let first = log.append(&stream, keyed("a", 1)).await.unwrap();
    log.append(&stream, number(2)).await.unwrap();
    let again = log.append(&stream, keyed("a", 99)).await.unwrap();
    assert!(again.duplicate && !first.duplicate);
    assert_eq!(again.cursor, first.cursor);
    let elsewhere = log.append(&other, keyed("a", 3)).await.unwrap();
    assert!(!elsewhere.duplicate, "a key counts within its stream");
    assert!(!log.append(&stream, keyed("b", 4)).await.unwrap().duplicate);
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(values(&read.entries), [1, 2, 4]);
    assert_eq!(read.head.ordinal, Some(Ordinal(3)), "a duplicate is not counted");
}

pub(crate) async fn a_key_counts_within_and_across_batches<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let first = vec![keyed("a", 1), keyed("b", 2), keyed("a", 9), number(3)];
    let second = vec![keyed("b", 9), keyed("c", 4), number(5), keyed("c", 9)];
    let first = log.submit(&stream, first).await.unwrap();
    let second = log.submit(&stream, second).await.unwrap();
    let first: Vec<_> = first.await.into_iter().map(Result::unwrap).collect();
    let second: Vec<_> = second.await.into_iter().map(Result::unwrap).collect();
    let duplicates = |results: &[broker::Appended]| results.iter().map(|r| r.duplicate).collect::<Vec<_>>();
    assert_eq!(duplicates(&first), [false, false, true, false]);
    assert_eq!(duplicates(&second), [true, false, false, true]);
    assert_eq!(first[2].cursor, first[0].cursor);
    assert_eq!(second[0].cursor, first[1].cursor);
    assert_eq!(second[3].cursor, second[1].cursor);
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(values(&read.entries), [1, 2, 3, 4, 5]);
    assert_eq!(second[2].cursor, read.entries[4].cursor);
}

pub(crate) async fn one_key_from_many_publishers<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let (log, stream) = (log.clone(), stream.clone());
        tasks.spawn(async move { log.append(&stream, keyed(&format!("key {}", n % 4), n)).await });
    }
    let results: Vec<_> = in_time("the publishers", tasks.join_all())
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(read.entries.len(), 4);
    assert_eq!(results.iter().filter(|result| !result.duplicate).count(), 4);
    for entry in &read.entries {
        let told = results.iter().filter(|result| result.cursor == entry.cursor);
        assert_eq!(told.count(), 10, "everybody is told where {} went", value(entry));
    }
}

pub(crate) async fn a_key_is_forgotten_after_its_window<F: Fixture>() {
    let mut settings = Settings::default();
    settings.limits.idempotency_window = Duration::from_millis(200);
    let fixture = F::start(settings).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let first = log.append(&stream, keyed("a", 1)).await.unwrap();
    in_time("the end of the window", async {
        loop {
            fixture.advance(Duration::from_millis(40)).await;
            let again = log.append(&stream, keyed("a", 2)).await.unwrap();
            if !again.duplicate {
                break;
            }
            assert_eq!(again.cursor, first.cursor);
        }
    })
    .await;
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(values(&read.entries), [1, 2]);
}

pub(crate) async fn too_large_is_refused_alone<F: Fixture>() {
    let mut settings = Settings::default();
    settings.limits.event_bytes_max = 10;
    let fixture = F::start(settings).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let sized = |bytes: usize| {
        let data = Payload::Bytes(Bytes::from(vec![b'x'; bytes - 4]));
        NewEvent::new(Event {
            name: Some("four".into()),
            ..Event::new(data)
        })
    };
    let results = log
        .submit(&stream, vec![sized(10), sized(11), sized(5)])
        .await
        .unwrap()
        .await;
    assert!(results[0].is_ok());
    let too_large = AppendError::TooLarge {
        size_bytes: 11,
        limit_bytes: 10,
    };
    assert_eq!(results[1].as_ref().unwrap_err(), &too_large);
    assert!(!too_large.is_retryable());
    assert_eq!(results[2].as_ref().unwrap().cursor.ordinal, Some(Ordinal(2)));
    assert_eq!(
        log.append(&stream, sized(12)).await.unwrap_err().to_string(),
        "the event has 12 bytes, the limit is 10"
    );
    assert_eq!(page(&log, &stream, From::Start).await.entries.len(), 2);
}

//! Pages out of the ring while the log is away, held against the pages of the log that is not: the same, or less of what is
//! older, or none; never one that lacks what it should have.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use broker::{
    Direction, Filter, From, HubConfig, Log, MemoryConfig, MemoryLog, NewEvent, Order, Page, ReadError,
    ReadRequest, Subscriber, SubscriberConfig,
};
use shared::{Cursor, EntryId, Event, Ordinal, Payload, StreamName, Verdict};

const RING: usize = 8;

async fn publish(log: &MemoryLog, stream: &StreamName, count: u64) -> Vec<Cursor> {
    let mut cursors = Vec::new();
    for n in 0..count {
        let event = NewEvent::new(Event::new(Payload::Json(n.to_string().into())));
        cursors.push(log.append(stream, event).await.unwrap().cursor);
    }
    cursors
}

/// A log with a stream of so many entries, of which the ring has the last few, and somebody who follows it.
async fn followed(count: u64) -> (Arc<MemoryLog>, StreamName, Vec<Cursor>, Subscriber) {
    let hub = HubConfig {
        ring_entries_max: RING,
        ..HubConfig::default()
    };
    let log = MemoryLog::new(MemoryConfig {
        hub,
        ..MemoryConfig::default()
    });
    let stream: StreamName = "a".parse().unwrap();
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 1,
        ephemeral: false,
    };
    let mut subscriber = Subscriber::new(log.clone() as Arc<dyn Log>, config);
    subscriber
        .subscribe(stream.clone(), From::Now, None, Filter::default())
        .await
        .unwrap();
    let cursors = publish(&log, &stream, count).await;
    (log, stream, cursors, subscriber)
}

fn requests(cursors: &[Cursor]) -> Vec<ReadRequest> {
    let ids = || {
        let known = cursors.iter().map(|cursor| cursor.id);
        known.flat_map(|id| [id.predecessor(), id, id.successor()])
    };
    let wrong = |cursor: &Cursor| Cursor {
        ordinal: cursor.ordinal.map(|Ordinal(n)| Ordinal(n + 1)),
        ..*cursor
    };
    let positions: Vec<Cursor> = cursors
        .iter()
        .flat_map(|cursor| [*cursor, wrong(cursor), Cursor::bare(cursor.id)])
        .collect();
    let mut directions = vec![From::Start, From::Now];
    directions.extend((0..cursors.len() + 2).map(From::Last));
    directions.extend(ids().map(From::Since));
    directions.extend(positions.iter().copied().map(From::Cursor));
    let mut directions: Vec<Direction> = directions.into_iter().map(Direction::Forward).collect();
    for since in std::iter::once(None).chain(ids().map(Some)) {
        directions.push(Direction::Backward { before: None, since });
        directions.extend(positions.iter().map(|before| Direction::Backward {
            before: Some(*before),
            since,
        }));
    }
    let mut requests = Vec::new();
    for direction in directions {
        for until in [None, Some(EntryId::ZERO)].into_iter().chain(ids().map(Some)) {
            for limit in [1, 3, 100] {
                requests.push(ReadRequest {
                    direction,
                    until,
                    limit,
                });
            }
        }
    }
    requests
}

fn told(page: &Page) -> (Vec<Cursor>, Cursor, Cursor, bool, Verdict) {
    let entries = page.entries.iter().map(|entry| entry.cursor).collect();
    (entries, page.cursor, page.head, page.tail_reached, page.verdict)
}

/// How many of all requests the ring has answered.
async fn compare(count: u64) -> (usize, usize) {
    let (log, stream, cursors, _subscriber) = followed(count).await;
    let channel = log.hub().channel(&stream).unwrap();
    let requests = requests(&cursors);
    let mut recalled = 0;
    for request in &requests {
        let real = log.read(&stream, request).await.unwrap();
        channel.lose(1);
        let page = log.read_or_recall(&stream, request).await.unwrap();
        channel.regain();
        if !page.degraded {
            continue;
        }
        recalled += 1;
        let backward = matches!(request.direction, Direction::Backward { .. });
        if backward && page.entries.len() < real.entries.len() {
            // It ends where the ring does, and says so: the next one is for the log.
            assert!(
                !page.entries.is_empty() && !page.tail_reached,
                "{request:?}: {page:?}"
            );
            let (some, all) = (told(&page), told(&real));
            assert_eq!(some.0, all.0[..some.0.len()], "{request:?}");
            assert_eq!((some.1, some.2), (*some.0.last().unwrap(), all.2), "{request:?}");
        } else if backward && page.tail_reached != real.tail_reached {
            // All that there is, as the log knows and the ring does not.
            assert!(real.tail_reached, "{request:?}: {page:?}, {real:?}");
            assert_eq!(told(&page).0, told(&real).0, "{request:?}");
        } else {
            assert_eq!(told(&page), told(&real), "{request:?}");
        }
    }
    (recalled, requests.len())
}

#[tokio::test]
async fn what_the_ring_holds_is_what_the_log_would_say() {
    // Everything is in the ring, and only the end of it.
    let (recalled, all) = compare(RING as u64 - 2).await;
    println!("of a whole ring: {recalled} of {all}");
    assert!(recalled > all / 4 && recalled < all);
    let (recalled, all) = compare(RING as u64 + 3).await;
    println!("of a part: {recalled} of {all}");
    assert!(recalled > all / 10 && recalled < all);
}

#[tokio::test]
async fn a_log_that_is_there_is_asked_itself() {
    let (log, stream, cursors, _subscriber) = followed(3).await;
    let last = ReadRequest::forward(From::Last(2), 10);
    let page = log.read_or_recall(&stream, &last).await.unwrap();
    assert!(!page.degraded);
    log.hub().channel(&stream).unwrap().lose(1);
    let page = log.read_or_recall(&stream, &last).await.unwrap();
    assert!(page.degraded);
    assert_eq!(told(&page).0, cursors[1..]);
    // Nobody follows it here, so nothing of it is remembered.
    let other = log.read_or_recall(&"b".parse().unwrap(), &last).await;
    assert!(matches!(
        other,
        Ok(Page { degraded: false, .. }) | Err(ReadError::Unavailable(_))
    ));
}

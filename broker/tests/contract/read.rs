//! Pages: where each kind of read begins, how far it goes, what its cursors are.

use std::sync::Arc;
use std::time::Duration;

use broker::{Direction, From, NewEvent, Page, ReadRequest};
use bytes::Bytes;
use shared::limits::PAGE_ENTRIES_MAX;
use shared::{Cursor, Entry, EntryId, Event, Ordinal, Payload, Verdict};

use crate::tail::Tail;
use crate::{
    Fixture, Settings, cursors, entries, name, page, page_back, page_of, pages_to_tail, publish, values,
};

pub(crate) async fn absent_streams_read_as_empty<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:none"));
    let froms = [
        From::Start,
        From::Now,
        From::Last(5),
        From::Since(EntryId::new(5, 0)),
        From::Cursor(Cursor::START),
        From::Cursor(Cursor::bare(EntryId::ZERO)),
    ];
    for from in froms {
        let page = page(&log, &stream, from).await;
        assert!(page.entries.is_empty() && page.tail_reached, "{from:?}");
        assert_eq!(page.head, Cursor::START, "{from:?}");
        assert_eq!(page.cursor, Cursor::START, "{from:?}");
        assert_eq!(page.verdict, Verdict::Continuous, "{from:?}");
    }
    let back = page_back(&log, &stream, None, None, 10).await;
    assert!(back.entries.is_empty() && back.tail_reached);
    assert_eq!(back.verdict, Verdict::Continuous);
    // A cursor into a stream that is no more: another history.
    let page = page(&log, &stream, From::Cursor(Cursor::new(EntryId::new(5, 0), 1))).await;
    assert_eq!(page.verdict, Verdict::Reset);
    assert_eq!(page.cursor, Cursor::START);
}

pub(crate) async fn from_each_place<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=10).await;
    let cases: [(From, Vec<u64>); 9] = [
        (From::Start, (1..=10).collect()),
        (From::Cursor(Cursor::START), (1..=10).collect()),
        (From::Cursor(at[3]), (5..=10).collect()),
        (From::Cursor(at[9]), vec![]),
        (From::Cursor(Cursor::bare(at[3].id)), (5..=10).collect()),
        (From::Now, vec![]),
        (From::Last(3), vec![8, 9, 10]),
        (From::Last(500), (1..=10).collect()),
        (From::Last(0), vec![]),
    ];
    for (from, expected) in cases {
        let page = page(&log, &stream, from).await;
        assert_eq!(values(&page.entries), expected, "{from:?}");
        assert_eq!(page.head, at[9], "{from:?}");
        assert_eq!(page.cursor, at[9], "{from:?}");
        assert!(page.tail_reached, "{from:?}");
        assert_eq!(
            page.verdict,
            Verdict::Continuous,
            "{from:?}: nothing was ever removed"
        );
        let first = 10 - expected.len();
        assert_eq!(cursors(&page.entries), at[first..], "{from:?}");
    }
    // Fewer than asked for by number fit the page: it goes on from there.
    let page = page_of(&log, &stream, From::Last(6), 4).await;
    assert_eq!(values(&page.entries), [5, 6, 7, 8]);
    assert!(!page.tail_reached);
    let rest = page_of(&log, &stream, From::Cursor(page.cursor), 4).await;
    assert_eq!(values(&rest.entries), [9, 10]);
    assert_eq!(rest.verdict, Verdict::Continuous);
}

pub(crate) async fn since_a_time<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let mut at = Vec::new();
    for n in 1..=4 {
        at.extend(publish(&log, &stream, [n]).await);
        fixture.advance(Duration::from_millis(3)).await;
    }
    let since = |id| page(&log, &stream, From::Since(id));
    assert_eq!(values(&since(EntryId::ZERO).await.entries), [1, 2, 3, 4]);
    assert_eq!(values(&since(at[1].id).await.entries), [2, 3, 4], "inclusive");
    assert_eq!(values(&since(at[1].id.successor()).await.entries), [3, 4]);
    assert_eq!(values(&since(EntryId::new(at[3].id.ms, 0)).await.entries), [4]);
    let future = since(EntryId::new(at[3].id.ms + 1_000_000, 0)).await;
    assert!(future.entries.is_empty() && future.tail_reached);
    assert_eq!(future.verdict, Verdict::Continuous);
    let next = publish(&log, &stream, [5]).await[0];
    let resumed = page(&log, &stream, From::Cursor(future.cursor)).await;
    assert_eq!(
        resumed.verdict,
        Verdict::Continuous,
        "its cursor is good for going on"
    );
    assert_eq!(cursors(&resumed.entries), [next]);

    fixture.trim(&stream, 3).await;
    let whole = since(at[3].id).await;
    assert_eq!(
        whole.verdict,
        Verdict::Continuous,
        "an older entry shows that nothing is missing"
    );
    let unproven = since(at[1].id).await;
    assert_eq!(values(&unproven.entries), [3, 4, 5]);
    assert_eq!(unproven.verdict, Verdict::Unverified);
    assert_eq!(unproven.cursor, next);
}

pub(crate) async fn page_by_page<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let at = publish(&log, &stream, 1..=25).await;
    let pages = pages_to_tail(&log, &stream, From::Start, 7).await;
    assert_eq!(pages.len(), 4);
    for page in &pages {
        assert_eq!(page.verdict, Verdict::Continuous);
        assert_eq!(page.head, at[24]);
        assert_eq!(page.cursor, page.entries.last().unwrap().cursor);
    }
    assert_eq!(cursors(&entries(&pages)), at);
    // A page that ends with the last entry says so.
    assert!(page_of(&log, &stream, From::Cursor(at[17]), 7).await.tail_reached);
    assert!(!page_of(&log, &stream, From::Cursor(at[16]), 7).await.tail_reached);
}

pub(crate) async fn backward<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let at = publish(&log, &stream, 1..=10).await;
    let newest = page_back(&log, &stream, None, None, 4).await;
    assert_eq!(values(&newest.entries), [10, 9, 8, 7]);
    assert_eq!(
        cursors(&newest.entries),
        [at[9], at[8], at[7], at[6]],
        "ordinals count down"
    );
    assert_eq!((newest.cursor, newest.head), (at[6], at[9]));
    assert!(!newest.tail_reached);
    let older = page_back(&log, &stream, Some(newest.cursor), None, 4).await;
    assert_eq!(values(&older.entries), [6, 5, 4, 3], "before is exclusive");
    assert_eq!(cursors(&older.entries), [at[5], at[4], at[3], at[2]]);
    let oldest = page_back(&log, &stream, Some(older.cursor), None, 4).await;
    assert_eq!(values(&oldest.entries), [2, 1]);
    assert!(oldest.tail_reached);
    for page in [&newest, &older, &oldest] {
        assert_eq!(page.verdict, Verdict::Continuous);
    }
    let since = page_back(&log, &stream, None, Some(at[7].id), 10).await;
    assert_eq!(values(&since.entries), [10, 9, 8], "since is inclusive");
    assert!(since.tail_reached);
    let none = page_back(&log, &stream, Some(at[0]), None, 10).await;
    assert!(none.entries.is_empty() && none.tail_reached);
    let other = page_back(&log, &stream, Some(Cursor::new(EntryId::MAX, 4)), None, 2).await;
    assert_eq!(other.verdict, Verdict::Reset);
    assert_eq!(values(&other.entries), [10, 9]);
}

pub(crate) async fn backward_tells_what_is_gone<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let at = publish(&log, &stream, 1..=10).await;
    fixture.trim(&stream, 6).await;
    let newest = page_back(&log, &stream, None, None, 4).await;
    assert_eq!(newest.verdict, Verdict::Continuous);
    assert_eq!(cursors(&newest.entries), [at[9], at[8], at[7], at[6]]);
    let oldest = page_back(&log, &stream, Some(newest.cursor), None, 4).await;
    assert_eq!(cursors(&oldest.entries), [at[5], at[4]]);
    assert!(oldest.tail_reached);
    assert_eq!(oldest.verdict, Verdict::Gap { lost: 4 });
    let since = page_back(&log, &stream, None, Some(at[5].id), 10).await;
    assert_eq!(since.verdict, Verdict::Continuous, "nobody asked for older ones");
    let bare = page_back(&log, &stream, Some(Cursor::bare(at[9].id)), None, 2).await;
    assert_eq!(values(&bare.entries), [9, 8]);
    assert_eq!(bare.verdict, Verdict::Unverified);
}

pub(crate) async fn until_is_inclusive<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let at = publish(&log, &stream, 1..=10).await;
    let read = async |direction, until: Cursor, limit| {
        let request = ReadRequest {
            direction,
            until: Some(until.id),
            limit,
        };
        log.read(&stream, &request).await.unwrap()
    };
    let page = read(Direction::Forward(From::Start), at[4], 3).await;
    assert_eq!(values(&page.entries), [1, 2, 3]);
    assert!(!page.tail_reached);
    let page = read(Direction::Forward(From::Cursor(page.cursor)), at[4], 3).await;
    assert_eq!(values(&page.entries), [4, 5]);
    assert!(page.tail_reached, "nothing further within the range");
    assert_eq!((page.cursor, page.head), (at[4], at[9]));
    let page = read(Direction::Forward(From::Cursor(page.cursor)), at[4], 3).await;
    assert!(page.entries.is_empty() && page.tail_reached);
    assert_eq!(page.cursor, at[4], "what lies behind the range is not skipped");
    let page = read(Direction::Forward(From::Since(at[2].id)), at[4], 10).await;
    assert_eq!(values(&page.entries), [3, 4, 5]);
    let page = read(Direction::Forward(From::Last(2)), at[4], 10).await;
    assert_eq!(values(&page.entries), [4, 5], "the last of the range");
    assert_eq!(
        page.cursor.id, at[4].id,
        "without a count, where that would take one"
    );
    let all = Direction::Backward {
        before: None,
        since: Some(at[1].id),
    };
    let page = read(all, at[4], 10).await;
    assert_eq!(values(&page.entries), [5, 4, 3, 2]);
    assert!(page.tail_reached);
}

pub(crate) async fn limits_are_clamped<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("log:api"));
    let count = PAGE_ENTRIES_MAX as u64 + 10;
    publish(&log, &stream, 1..=count).await;
    assert_eq!(page_of(&log, &stream, From::Start, 0).await.entries.len(), 1);
    let large = page_of(&log, &stream, From::Start, usize::MAX).await;
    assert_eq!(large.entries.len(), PAGE_ENTRIES_MAX);
    assert!(!large.tail_reached);
    let last = page_of(&log, &stream, From::Last(usize::MAX), usize::MAX).await;
    assert_eq!(last.entries.len(), PAGE_ENTRIES_MAX);
    assert_eq!(last.entries[0].cursor.ordinal, Some(Ordinal(11)));
    assert!(last.tail_reached);
    let back = page_back(&log, &stream, None, None, usize::MAX).await;
    assert_eq!(back.entries.len(), PAGE_ENTRIES_MAX);
}

pub(crate) async fn large_entries_come_on_smaller_pages<F: Fixture>() {
    const COUNT: u64 = 24;
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("blobs"));
    for n in 0..COUNT {
        log.append(&stream, large(n)).await.unwrap();
    }
    let pages = pages_to_tail(&log, &stream, From::Start, PAGE_ENTRIES_MAX).await;
    // A page that just holds the last entry need not know that it does.
    let goes_on = |page: &Page| !page.entries.is_empty() || page.tail_reached;
    assert!(
        pages
            .iter()
            .all(|page| page.verdict == Verdict::Continuous && goes_on(page))
    );
    let sizes = |entries: &[Arc<Entry>]| {
        entries
            .iter()
            .map(|e| e.event.data.raw().len())
            .collect::<Vec<_>>()
    };
    let expected: Vec<_> = (0..COUNT).map(|n| LARGE_BYTES + n as usize).collect();
    assert_eq!(sizes(&entries(&pages)), expected);
    fixture.trim(&stream, COUNT - 2).await;
    let from = From::Last(20);
    let last = pages_to_tail(&log, &stream, from, PAGE_ENTRIES_MAX).await;
    assert_eq!(
        sizes(&entries(&last)),
        expected[4..],
        "as many as asked for, be it on several pages"
    );
    let mut tail = Tail::new(&log);
    tail.follow(&stream, from).await;
    for expected in &expected[4..] {
        assert_eq!(tail.entry(&stream).await.event.data.raw().len(), *expected);
    }
}

const LARGE_BYTES: usize = 512 * 1024;

/// An event whose number is told by its size.
fn large(n: u64) -> NewEvent {
    let data = vec![b'x'; LARGE_BYTES + n as usize];
    NewEvent::new(Event::new(Payload::Bytes(Bytes::from(data))))
}

//! Verdicts of pages: what became of the events between a reader's cursor and what it is given next.

use std::sync::Arc;
use std::time::Duration;

use broker::{From, Log, Page};
use shared::{Cursor, EntryId, Ordinal, StreamName, Verdict};

use crate::{Fixture, Settings, cursors, entries, name, page, page_of, pages_to_tail, publish, values};

/// More than the length of a millisecond: IDs on both sides of it differ in their time.
const TICK: Duration = Duration::from_millis(3);

/// What pages told to be lost, all together.
fn lost(pages: &[Page]) -> u64 {
    let lost = |page: &Page| match page.verdict {
        Verdict::Gap { lost } => lost,
        Verdict::Continuous => 0,
        other => panic!("neither continuous nor a gap: {other:?}"),
    };
    pages.iter().map(lost).sum()
}

/// Reads from `cursor` to the tail in pages of every size from 1 to 12: whatever a verdict finds late, together they
/// tell `missing` and bring `expected`; and nothing is told twice.
async fn reads<F: Fixture>(fixture: &F, stream: &StreamName, cursor: Cursor, expected: &[u64], missing: u64) {
    let log = fixture.log();
    for limit in 1..=12 {
        let pages = pages_to_tail(&log, stream, From::Cursor(cursor), limit).await;
        assert_eq!(values(&entries(&pages)), expected, "from {cursor}, limit {limit}");
        assert_eq!(lost(&pages), missing, "from {cursor}, limit {limit}");
        let end = pages.last().unwrap();
        assert_eq!(
            end.cursor.ordinal, end.head.ordinal,
            "from {cursor}, limit {limit}"
        );
        let again = page(&log, stream, From::Cursor(end.cursor)).await;
        assert_eq!(again.verdict, Verdict::Continuous, "told once");
        assert!(again.entries.is_empty());
    }
}

async fn started<F: Fixture>(count: u64) -> (F, Arc<dyn Log>, StreamName, Vec<Cursor>) {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("doc:1"));
    let at = publish(&log, &stream, 1..=count).await;
    (fixture, log, stream, at)
}

pub(crate) async fn every_position_is_continuous<F: Fixture>() {
    let (fixture, _, stream, at) = started::<F>(10).await;
    for (index, cursor) in std::iter::once(&Cursor::START).chain(&at).enumerate() {
        let expected: Vec<_> = (index as u64 + 1..=10).collect();
        reads(&fixture, &stream, *cursor, &expected, 0).await;
    }
}

pub(crate) async fn trimmed_past_the_cursor<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    fixture.trim(&stream, 4).await;
    let page = page_of(&log, &stream, From::Cursor(at[2]), 2).await;
    assert_eq!(page.verdict, Verdict::Gap { lost: 3 });
    assert_eq!(cursors(&page.entries), [at[6], at[7]]);
    for (index, cursor) in at.iter().enumerate() {
        let missing = 5u64.saturating_sub(index as u64);
        let expected: Vec<_> = (7.max(index as u64 + 2)..=10).collect();
        reads(&fixture, &stream, *cursor, &expected, missing).await;
    }
}

pub(crate) async fn trimmed_from_the_start<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    fixture.trim(&stream, 4).await;
    let page = page(&log, &stream, From::Start).await;
    assert_eq!(page.verdict, Verdict::Gap { lost: 6 });
    assert_eq!(cursors(&page.entries), at[6..]);
}

pub(crate) async fn trimmed_to_nothing<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    fixture.trim(&stream, 0).await;
    let gone = page(&log, &stream, From::Cursor(at[2])).await;
    assert_eq!(gone.verdict, Verdict::Gap { lost: 7 });
    assert!(gone.entries.is_empty() && gone.tail_reached);
    assert_eq!(gone.head, at[9], "the head stays");
    assert_eq!(
        page(&log, &stream, From::Start).await.verdict,
        Verdict::Gap { lost: 10 }
    );
    publish(&log, &stream, [11]).await;
    reads(&fixture, &stream, at[2], &[11], 7).await;
    reads(&fixture, &stream, gone.cursor, &[11], 0).await;
}

pub(crate) async fn trimmed_between_pages<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(20).await;
    let first = page_of(&log, &stream, From::Start, 5).await;
    assert_eq!(first.cursor, at[4]);
    fixture.trim(&stream, 8).await;
    let second = page_of(&log, &stream, From::Cursor(first.cursor), 5).await;
    assert_eq!(second.verdict, Verdict::Gap { lost: 7 });
    assert_eq!(cursors(&second.entries), at[12..17]);
    fixture.trim(&stream, 3).await;
    let third = page_of(&log, &stream, From::Cursor(second.cursor), 5).await;
    assert_eq!(
        third.verdict,
        Verdict::Continuous,
        "trimming took what was read already"
    );
    assert_eq!(cursors(&third.entries), at[17..]);
}

pub(crate) async fn deleted_inside<F: Fixture>() {
    let (fixture, _, stream, at) = started::<F>(12).await;
    for index in [4, 5, 8] {
        fixture.delete_entry(&stream, at[index].id).await;
    }
    reads(
        &fixture,
        &stream,
        Cursor::START,
        &[1, 2, 3, 4, 7, 8, 10, 11, 12],
        3,
    )
    .await;
    reads(&fixture, &stream, at[2], &[4, 7, 8, 10, 11, 12], 3).await;
    reads(&fixture, &stream, at[4], &[7, 8, 10, 11, 12], 2).await;
    reads(&fixture, &stream, at[6], &[8, 10, 11, 12], 1).await;
    reads(&fixture, &stream, at[9], &[11, 12], 0).await;
    fixture.trim(&stream, 4).await;
    reads(&fixture, &stream, at[2], &[8, 10, 11, 12], 5).await;
}

pub(crate) async fn deleted_behind_the_reader<F: Fixture>() {
    let (fixture, _, stream, at) = started::<F>(10).await;
    for index in [1, 4] {
        fixture.delete_entry(&stream, at[index].id).await;
    }
    // The reader's own entry is gone, and one before it; of what comes later nothing is.
    reads(&fixture, &stream, at[4], &[6, 7, 8, 9, 10], 0).await;
    reads(&fixture, &stream, at[7], &[9, 10], 0).await;
}

pub(crate) async fn last_one_deleted<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    fixture.delete_entry(&stream, at[9].id).await;
    assert_eq!(page(&log, &stream, From::Now).await.head, at[9], "the head stays");
    reads(&fixture, &stream, at[9], &[], 0).await;
    reads(&fixture, &stream, at[8], &[], 1).await;
    reads(&fixture, &stream, at[5], &[7, 8, 9], 1).await;
    let next = publish(&log, &stream, [11]).await[0];
    assert!(next.id > at[9].id);
    assert_eq!(next.ordinal, Some(Ordinal(11)));
    reads(&fixture, &stream, at[8], &[11], 1).await;
    reads(&fixture, &stream, at[9], &[11], 0).await;
}

pub(crate) async fn deleted_stream<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    fixture.delete_stream(&stream).await;
    let page = page(&log, &stream, From::Cursor(at[4])).await;
    assert_eq!(page.verdict, Verdict::Reset);
    assert!(page.entries.is_empty() && page.tail_reached);
    assert_eq!((page.cursor, page.head), (Cursor::START, Cursor::START));
}

/// The first page from `cursor` says `reset`; reading on from there brings the rest.
async fn is_reset(log: &Arc<dyn Log>, stream: &StreamName, cursor: Cursor, expected: &[u64]) {
    let pages = pages_to_tail(log, stream, From::Cursor(cursor), 3).await;
    assert_eq!(pages[0].verdict, Verdict::Reset, "from {cursor}");
    assert_eq!(lost(&pages[1..]), 0);
    assert_eq!(values(&entries(&pages)), expected, "from {cursor}");
    assert_eq!(pages.last().unwrap().cursor, pages[0].head);
}

pub(crate) async fn re_created<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    fixture.delete_stream(&stream).await;
    fixture.advance(TICK).await;
    let anew = publish(&log, &stream, 101..=104).await;
    assert_eq!(anew[0].ordinal, Some(Ordinal(1)));
    for cursor in [at[0], at[2], at[3], at[4], at[9]] {
        is_reset(&log, &stream, cursor, &[101, 102, 103, 104]).await;
    }
    assert_eq!(
        page(&log, &stream, From::Start).await.verdict,
        Verdict::Continuous
    );
}

pub(crate) async fn re_created_and_longer<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(3).await;
    fixture.delete_stream(&stream).await;
    fixture.advance(TICK).await;
    publish(&log, &stream, 101..=107).await;
    for cursor in at {
        is_reset(&log, &stream, cursor, &[101, 102, 103, 104, 105, 106, 107]).await;
    }
}

pub(crate) async fn rolled_back<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(6).await;
    let snapshot = fixture.snapshot(&stream).await;
    fixture.advance(TICK).await;
    let later = publish(&log, &stream, 7..=10).await;
    fixture.restore(&stream, snapshot).await;
    for cursor in later {
        let page = page(&log, &stream, From::Cursor(cursor)).await;
        assert_eq!(page.verdict, Verdict::Reset);
        assert_eq!(page.cursor, at[5], "IDs went backwards: from the head on");
    }
    reads(&fixture, &stream, at[3], &[5, 6], 0).await;
}

pub(crate) async fn rolled_back_and_gone_on<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(6).await;
    let snapshot = fixture.snapshot(&stream).await;
    fixture.advance(TICK).await;
    let later = publish(&log, &stream, 7..=10).await;
    fixture.restore(&stream, snapshot).await;
    fixture.advance(TICK).await;
    publish(&log, &stream, 107..=109).await;
    for cursor in &later {
        is_reset(&log, &stream, *cursor, &[107, 108, 109]).await;
    }
    publish(&log, &stream, 110..=115).await;
    for cursor in &later {
        is_reset(&log, &stream, *cursor, &(107..=115).collect::<Vec<_>>()).await;
    }
    let rest: Vec<_> = [5, 6].into_iter().chain(107..=115).collect();
    reads(&fixture, &stream, at[3], &rest, 0).await;
}

pub(crate) async fn bare_ids<F: Fixture>() {
    let (fixture, log, stream, at) = started::<F>(10).await;
    let bare = |cursor: Cursor| From::Cursor(Cursor::bare(cursor.id));
    let whole = page(&log, &stream, bare(at[3])).await;
    assert_eq!(whole.verdict, Verdict::Continuous, "nothing was ever removed");
    assert_eq!(cursors(&whole.entries), at[4..]);
    let beyond = From::Cursor(Cursor::bare(EntryId::new(at[9].id.ms + 1_000, 0)));
    assert_eq!(page(&log, &stream, beyond).await.verdict, Verdict::Reset);

    fixture.trim(&stream, 8).await;
    let unproven = page(&log, &stream, bare(at[3])).await;
    assert_eq!(unproven.verdict, Verdict::Unverified);
    assert_eq!(
        cursors(&unproven.entries),
        at[4..],
        "the tail gives the ordinals back"
    );
    let pages = pages_to_tail(&log, &stream, bare(at[3]), 2).await;
    assert_eq!(values(&entries(&pages)), [5, 6, 7, 8, 9, 10]);
    assert_eq!(pages[0].verdict, Verdict::Unverified);
    assert_eq!(pages.last().unwrap().cursor, at[9]);
}

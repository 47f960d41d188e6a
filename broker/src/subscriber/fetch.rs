//! Page reads of a subscriber that catches up.
//!
//! A read runs in a task of its own, so that it goes on while the subscriber's reader is busy, and is given up when
//! the subscriber goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::limits::{LAST_ENTRIES_MAX, PAGE_ENTRIES_MAX, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN};
use shared::{Cursor, Entry, EntryId, Ordinal, StreamName, Verdict};
use tokio_util::task::AbortOnDropHandle;

use super::slot::ITEM_BYTES;
use crate::hub::{Attachment, Channel, Epoch, Held, Pages, lock};
use crate::{Direction, Log, Page, ReadError, ReadRequest};

/// What a read brought.
pub(super) enum Fetched {
    /// The page after the cursor, or as much of it as may be held.
    Page {
        page: Arc<Page>,
        /// The right to it.
        held: Held,
        /// The position from which it really goes on.
        start: Cursor,
        /// When it was read.
        epoch: Epoch,
    },
    /// No page, because the channel's ring has the cursor now.
    InRing,
}

/// As much of a page as may be held now, and the right to it. What is cut off is read again when its turn has come.
///
/// This is done as soon as a page is there, and not when it is taken: a reader that has just been given something may
/// take nothing more for hours.
pub(super) fn cut(channel: &Channel, page: Arc<Page>) -> (Arc<Page>, Held) {
    let (count, held) = channel
        .history
        .hold(page.entries.iter().map(|entry| held_bytes(entry)));
    match count < page.entries.len() {
        true => (Arc::new(page.first(count)), held),
        false => (page, held),
    }
}

/// What an entry of a page takes while it waits: it is not encoded yet.
fn held_bytes(entry: &Entry) -> usize {
    entry.event.size_bytes() + size_of::<Entry>() + ITEM_BYTES
}

/// A read under way.
pub(super) struct Fetch {
    /// The cursor it reads from.
    pub(super) from: Cursor,
    progress: Arc<Progress>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Progress {
    begun: AtomicBool,
    outcome: Mutex<Option<Fetched>>,
}

impl Fetch {
    /// Starts reading after `pause`. `ahead` is the right to read before anybody waits for it. It is repeated until it
    /// succeeds. It rings when it has begun, and when it is done.
    pub(super) fn start(
        log: &Arc<dyn Log>,
        place: &Attachment,
        from: Cursor,
        limit: usize,
        pause: Duration,
        ahead: Option<Held>,
    ) -> Self {
        let progress = Arc::new(Progress::default());
        let (log, channel) = (log.clone(), place.channel.clone());
        let (registration, told) = (place.registration.clone(), progress.clone());
        let task = async move {
            told.begun.store(true, Ordering::Release);
            registration.ring();
            let mut pause_max = RECONNECT_PAUSE_MIN;
            if !pause.is_zero() {
                // The timer knows whole milliseconds and rounds up: no pause would be one too.
                tokio::time::sleep(pause).await;
            }
            let fetched = loop {
                match read(&log, &channel, from, limit).await {
                    Ok(fetched) => break fetched,
                    Err(error) => {
                        tracing::debug!(stream = %channel.stream(), %error, "catch-up read failed, trying again");
                    }
                }
                tokio::time::sleep(pause_max.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause_max = (pause_max * 2).min(RECONNECT_PAUSE_MAX);
            };
            drop(ahead);
            *lock(&told.outcome) = Some(fetched);
            registration.ring();
        };
        Self {
            from,
            progress,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// What the read brought, once.
    pub(super) fn take(&self) -> Option<Fetched> {
        lock(&self.progress.outcome).take()
    }

    /// Whether its task has run.
    pub(super) fn has_begun(&self) -> bool {
        self.progress.begun.load(Ordering::Acquire)
    }
}

/// Reads the page after `cursor`, sharing the read with whoever wants the same.
///
/// A cursor that lies just below the ring is read by one subscriber at a time, which puts what it read in front of
/// the ring, if that has room: when many resume at nearby positions (an edge was lost and all its clients come here), the
/// ring then serves them.
pub(super) async fn read(
    log: &Arc<dyn Log>,
    channel: &Channel,
    cursor: Cursor,
    limit: usize,
) -> Result<Fetched, ReadError> {
    let near = cursor
        .ordinal
        .and_then(|ordinal| channel.distance_below(ordinal))
        .is_some_and(|distance| distance <= channel.backfill_entries_max() as u64);
    // Where the ring takes nothing, a large page would be read for one reader, and cut.
    if !near || !channel.takes_backfill() {
        let epoch = channel.epoch();
        let page = Pages::read(log, channel, epoch, cursor, limit).await?;
        return go_on(log, channel, page, cursor, epoch).await;
    }
    let _turn = channel.backfill.lock().await;
    if channel.join(cursor, None).is_some() {
        return Ok(Fetched::InRing);
    }
    let epoch = channel.epoch();
    let page = Pages::read(log, channel, epoch, cursor, PAGE_ENTRIES_MAX).await?;
    if matches!(page.verdict, Verdict::Continuous | Verdict::Gap { .. }) {
        channel.extend_back(before(&page, cursor.id), &page.entries);
    }
    go_on(log, channel, page, cursor, epoch).await
}

/// What is kept of a page that was asked for after `asked`.
async fn go_on(
    log: &Arc<dyn Log>,
    channel: &Channel,
    page: Arc<Page>,
    asked: Cursor,
    epoch: Epoch,
) -> Result<Fetched, ReadError> {
    let (page, held) = cut(channel, page);
    let start = start_after(log, channel.stream(), &page, asked).await?;
    Ok(Fetched::Page {
        page,
        held,
        start,
        epoch,
    })
}

/// The position from which a page that was asked for after `asked` really goes on.
///
/// After a reset it must be one of the new history: with the ID of the old one a reader that is cut off before the
/// next event, and resumes there, would be told of the same reset again.
async fn start_after(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    page: &Page,
    asked: Cursor,
) -> Result<Cursor, ReadError> {
    match page.verdict {
        Verdict::Continuous | Verdict::Unverified => Ok(asked),
        Verdict::Gap { lost } => Ok(Cursor {
            id: asked.id,
            ordinal: asked.ordinal.map(|Ordinal(n)| Ordinal(n + lost)),
        }),
        Verdict::Reset => place_before(log, stream, page).await,
    }
}

/// The position in this history before the first entry of a page; the page's own where it is empty.
pub(super) async fn place_before(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    page: &Page,
) -> Result<Cursor, ReadError> {
    let Some(first) = page.entries.first() else {
        return Ok(page.cursor);
    };
    let direction = Direction::Backward {
        before: Some(first.cursor),
        since: None,
    };
    let request = ReadRequest {
        direction,
        until: None,
        limit: 1,
    };
    let last_before = log.read(stream, &request).await?;
    // Without one, the page begins with the first entry that exists.
    let id = last_before
        .entries
        .first()
        .map_or(EntryId::ZERO, |entry| entry.id());
    Ok(before(page, id))
}

/// The position before the first entry of a page that was read after `id`; the page's own where it is empty.
pub(super) fn before(page: &Page, id: EntryId) -> Cursor {
    match page.entries.first() {
        Some(first) => {
            let ordinal = first
                .cursor
                .ordinal
                .map(|Ordinal(n)| Ordinal(n.saturating_sub(1)));
            Cursor { id, ordinal }
        }
        None => page.cursor,
    }
}

/// The cursor after which the last `count` entries come, for more of them than one page holds.
pub(super) async fn start_of_last(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    count: usize,
) -> Result<Cursor, ReadError> {
    // One more than asked: the entry before the first one asked for is the cursor.
    let mut left = count.min(LAST_ENTRIES_MAX) + 1;
    let mut oldest: Option<Cursor> = None;
    loop {
        let limit = left.min(PAGE_ENTRIES_MAX);
        let direction = Direction::Backward {
            before: oldest,
            since: None,
        };
        let page = log
            .read(
                stream,
                &ReadRequest {
                    direction,
                    until: None,
                    limit,
                },
            )
            .await?;
        left -= page.entries.len().min(left);
        oldest = page.entries.last().map(|entry| entry.cursor).or(oldest);
        if left == 0 {
            return Ok(oldest.unwrap_or(page.head));
        }
        if page.tail_reached || page.entries.is_empty() {
            // Fewer entries than asked for: from before the first one that exists, without a claim about older ones.
            let first = oldest.unwrap_or(page.head);
            let ordinal = first.ordinal.map(|Ordinal(n)| Ordinal(n.saturating_sub(1)));
            return Ok(Cursor {
                id: EntryId::ZERO,
                ordinal,
            });
        }
    }
}

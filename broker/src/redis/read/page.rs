//! Makes a page of what was read: where it begins, what is missing before it, which ordinals its entries have.
//!
//! An ordinal is always "entries ever added, less those that exist after this one": so a resume there is continuous.
//! It is exact where the page reaches the end or the beginning of what exists, else it counts on from the position
//! the reader came with.

use std::sync::Arc;

use shared::limits::PAGE_ENTRIES_MAX;
use shared::verdict::{Assessment, Look, assess, compare, resume_at};
use shared::{Cursor, Entry, EntryId, Ordinal, StreamName, StreamView, Verdict};

use super::super::fault::Fault;
use super::gather::{Found, Range, Source};
use crate::{Direction, From, Page, ReadRequest};

/// Reads a page. The request's limit is within its bounds.
pub(super) async fn read(
    source: &mut Source<'_>,
    stream: &StreamName,
    request: &ReadRequest,
) -> Result<Page, Fault> {
    let ReadRequest { until, limit, .. } = *request;
    match request.direction {
        Direction::Forward(From::Now) => Ok(empty_at(source.view().await?.head())),
        Direction::Forward(From::Last(count)) => last(source, stream, count, until, limit).await,
        Direction::Forward(From::Since(id)) => since(source, stream, id, until, limit).await,
        Direction::Forward(From::Start) => after(source, stream, Cursor::START, until, limit).await,
        Direction::Forward(From::Cursor(cursor)) => after(source, stream, cursor, until, limit).await,
        Direction::Backward { before, since } => backward(source, stream, before, since, until, limit).await,
    }
}

fn empty_at(head: Cursor) -> Page {
    Page {
        entries: Vec::new(),
        cursor: head,
        head,
        tail_reached: true,
        verdict: Verdict::Continuous,
        degraded: false,
    }
}

/// What follows a cursor.
async fn after(
    source: &mut Source<'_>,
    stream: &StreamName,
    cursor: Cursor,
    until: Option<EntryId>,
    limit: usize,
) -> Result<Page, Fault> {
    let range = Range {
        low: cursor.id,
        // So that the cursor's own entry is seen even if nothing after it is wanted.
        high: until.map_or(EntryId::MAX, |until| until.max(cursor.id)),
        newest_first: false,
    };
    let mut found = source.gather(range, limit + 2).await?;
    let present = found.entries.first().is_some_and(|entry| entry.id == cursor.id);
    if present {
        found.entries.remove(0);
    }
    let view = found.view;
    let to_the_end = found.exhausted && reaches_end(until, &view);
    let look = Look {
        present,
        after: to_the_end.then_some(found.entries.len() as u64),
    };
    let verdict = judge(source, cursor, &view, look).await?;
    let mut position = resume_at(cursor, verdict, &view);
    let in_the_middle = !to_the_end && view.first.is_some_and(|first| first <= position.id);
    if verdict == Verdict::Reset && position.ordinal.is_none() && in_the_middle {
        // The old history's ordinal means nothing in this one, and without one the next resume could prove nothing,
        // not even another reset.
        let after = source.count_after(position.id, &view).await?;
        let ordinal = after.and_then(|after| view.added.checked_sub(after));
        position.ordinal = ordinal.map(Ordinal);
    }
    Ok(Forward {
        position,
        verdict,
        view,
        exhausted: found.exhausted,
        to_the_end,
    }
    .page(stream, found.entries, limit))
}

/// What was added at or after an ID that is a time.
async fn since(
    source: &mut Source<'_>,
    stream: &StreamName,
    id: EntryId,
    until: Option<EntryId>,
    limit: usize,
) -> Result<Page, Fault> {
    let range = Range {
        low: id,
        high: until.unwrap_or(EntryId::MAX),
        newest_first: false,
    };
    let found = source.gather(range, limit + 1).await?;
    let position = id.predecessor();
    let verdict = if found.view.intact_after(position) {
        Verdict::Continuous
    } else {
        Verdict::Unverified
    };
    Ok(Forward {
        position: Cursor::bare(position),
        verdict,
        view: found.view,
        exhausted: found.exhausted,
        to_the_end: found.exhausted && reaches_end(until, &found.view),
    }
    .page(stream, found.entries, limit))
}

/// The last so many.
async fn last(
    source: &mut Source<'_>,
    stream: &StreamName,
    count: usize,
    until: Option<EntryId>,
    limit: usize,
) -> Result<Page, Fault> {
    if count == 0 {
        return Ok(empty_at(source.view().await?.head()));
    }
    let range = Range {
        low: EntryId::ZERO,
        high: until.unwrap_or(EntryId::MAX),
        newest_first: true,
    };
    let count = count.min(PAGE_ENTRIES_MAX);
    let mut found = source.gather(range, count).await?;
    if let Some(oldest) = found.entries.last()
        && !found.exhausted
        && found.entries.len() < count
    {
        let left = count - found.entries.len();
        let first = first_of_last(source, range, oldest.id, left).await?;
        let page = since(source, stream, first, until, limit).await?;
        // As for all that are asked for by their number: no older history is claimed to have been seen.
        return Ok(Page {
            verdict: Verdict::Continuous,
            ..page
        });
    }
    found.entries.reverse();
    let from_the_front = found.exhausted;
    Ok(Forward {
        position: if from_the_front {
            found.view.front()
        } else {
            Cursor::bare(
                found
                    .entries
                    .first()
                    .map_or(EntryId::ZERO, |e| e.id.predecessor()),
            )
        },
        verdict: Verdict::Continuous,
        view: found.view,
        exhausted: true,
        to_the_end: reaches_end(until, &found.view),
    }
    .page(stream, found.entries, limit))
}

/// The ID of the entry that comes `left` entries before `oldest`, or of the first there is. For entries so large that
/// one page cannot hold those that were asked for: they are let go as they are counted.
async fn first_of_last(
    source: &mut Source<'_>,
    mut range: Range,
    mut oldest: EntryId,
    mut left: usize,
) -> Result<EntryId, Fault> {
    while left > 0 {
        range.high = oldest.predecessor();
        let found = source.gather(range, left).await?;
        let Some(last) = found.entries.last() else { break };
        oldest = last.id;
        left = left.saturating_sub(found.entries.len());
    }
    Ok(oldest)
}

/// What a forward page is made of, beside its entries.
struct Forward {
    /// It begins after this.
    position: Cursor,
    verdict: Verdict,
    view: StreamView,
    /// Whether there are no further entries in the range.
    exhausted: bool,
    /// Whether there are no further entries in the stream.
    to_the_end: bool,
}

impl Forward {
    fn page(self, stream: &StreamName, mut found: Vec<Found>, limit: usize) -> Page {
        let added = self.view.added;
        let total = found.len();
        // The ordinal before the first entry.
        let base = if self.to_the_end {
            Some(added.saturating_sub(total as u64))
        } else if let Some(Ordinal(ordinal)) = self.position.ordinal {
            Some(ordinal)
        } else if self.view.first.is_some_and(|first| self.position.id < first) {
            Some(self.view.removed())
        } else {
            None
        };
        found.truncate(limit);
        let tail_reached = self.exhausted && total <= limit;
        let entries = numbered(stream, found, |index| base.map(|base| base + 1 + index));
        let head = self.view.head();
        let cursor = match entries.last() {
            _ if tail_reached && self.to_the_end => head,
            Some(entry) => entry.cursor,
            None => self.position,
        };
        Page {
            entries,
            cursor,
            head,
            tail_reached,
            verdict: self.verdict,
            degraded: false,
        }
    }
}

/// What comes before a cursor, newest first.
async fn backward(
    source: &mut Source<'_>,
    stream: &StreamName,
    before: Option<Cursor>,
    since: Option<EntryId>,
    until: Option<EntryId>,
    limit: usize,
) -> Result<Page, Fault> {
    let position = match before {
        Some(before) => Some(place(source, before).await?),
        None => None,
    };
    let below = before.map_or(EntryId::MAX, |before| before.id.predecessor());
    let range = Range {
        low: since.unwrap_or(EntryId::ZERO),
        high: until.map_or(below, |until| until.min(below)),
        newest_first: true,
    };
    let mut found = source.gather(range, limit + 1).await?;
    let view = found.view;
    let total = found.entries.len() as u64;
    let oldest_reached = found.exhausted && since.is_none();
    // The ordinal of the first entry of the page, which is the newest.
    let top = if oldest_reached {
        Some(view.removed() + total)
    } else if range.high >= view.last_generated {
        Some(view.added)
    } else if until.is_none() {
        position.as_ref().and_then(|place| place.below)
    } else {
        None
    };
    found.entries.truncate(limit);
    let tail_reached = found.exhausted && total <= limit as u64;
    let entries = numbered(stream, found.entries, |index| top?.checked_sub(index));
    let judged = position.map_or(Verdict::Continuous, |place| place.verdict);
    let seen_from = before.and_then(|before| before.ordinal);
    let gone = match (entries.last(), seen_from) {
        (None, Some(Ordinal(ordinal))) => view.removed().min(ordinal.saturating_sub(1)),
        _ => view.removed(),
    };
    let verdict = match judged {
        Verdict::Reset => Verdict::Reset,
        _ if tail_reached && since.is_none() && gone > 0 => Verdict::Gap { lost: gone },
        Verdict::Unverified => Verdict::Unverified,
        // What is gone after the position is not read here.
        Verdict::Continuous | Verdict::Gap { .. } => Verdict::Continuous,
    };
    Ok(Page {
        cursor: entries
            .last()
            .map_or(before.unwrap_or(view.head()), |entry| entry.cursor),
        entries,
        head: view.head(),
        tail_reached,
        verdict,
        degraded: false,
    })
}

/// A position from which older entries are read.
struct Place {
    verdict: Verdict,
    /// The ordinal of the entry right before it.
    below: Option<u64>,
}

async fn place(source: &mut Source<'_>, cursor: Cursor) -> Result<Place, Fault> {
    let range = Range {
        low: cursor.id,
        high: cursor.id,
        newest_first: false,
    };
    let found = source.gather(range, 1).await?;
    let look = Look {
        present: !found.entries.is_empty(),
        after: None,
    };
    let verdict = judge(source, cursor, &found.view, look).await?;
    let at = resume_at(cursor, verdict, &found.view).ordinal;
    let below = at
        .filter(|_| verdict != Verdict::Reset)
        .and_then(|Ordinal(at)| at.checked_sub(u64::from(look.present)));
    Ok(Place { verdict, below })
}

/// The verdict on what lies after `cursor`.
async fn judge(
    source: &mut Source<'_>,
    cursor: Cursor,
    view: &StreamView,
    look: Look,
) -> Result<Verdict, Fault> {
    match assess(cursor, view, look) {
        Assessment::Settled(verdict) => Ok(verdict),
        Assessment::Count => Ok(match source.count_after(cursor.id, view).await? {
            Some(after) => compare(cursor, view, look.present, after),
            None => Verdict::Unverified,
        }),
    }
}

fn reaches_end(until: Option<EntryId>, view: &StreamView) -> bool {
    until.is_none_or(|until| until >= view.last_generated)
}

fn numbered(stream: &StreamName, found: Vec<Found>, ordinal: impl Fn(u64) -> Option<u64>) -> Vec<Arc<Entry>> {
    let entry = |(index, found): (usize, Found)| found.into_entry(stream, ordinal(index as u64).map(Ordinal));
    found.into_iter().enumerate().map(entry).collect()
}

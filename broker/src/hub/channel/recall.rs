//! Pages out of the ring, for as long as the log is away: what can be known without asking it, and nothing else.
//!
//! The ring is a piece of the log without a hole, from behind `floor` to `head`. So a page that begins in it, or at its end,
//! is what the log would have answered when it was seen last. Where that depends on what lies before the ring, or on a
//! position that is not in it, only the log can tell.

use std::sync::Arc;

use shared::limits::{LOG_PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use shared::{Cursor, Entry, EntryId, Ordinal, Verdict};

use super::{Channel, State, lock};
use crate::{Direction, From, Page, ReadRequest};

impl Channel {
    /// The page, if the log is away and the ring answers it.
    pub(crate) fn recall(&self, request: &ReadRequest) -> Option<Page> {
        if !self.is_degraded() {
            return None;
        }
        let state = lock(&self.state);
        let head = state.head?;
        let limit = request.limit.clamp(1, PAGE_ENTRIES_MAX);
        match request.direction {
            Direction::Forward(From::Now) => Some(page(Vec::new(), head, head, true)),
            Direction::Forward(from) => {
                let begin = state.begin(from, request.until)?;
                Some(state.forward(head, begin, request.until, limit))
            }
            Direction::Backward { before, since } => {
                state.backward(head, before, since, request.until, limit)
            }
        }
    }
}

fn page(entries: Vec<Arc<Entry>>, cursor: Cursor, head: Cursor, tail_reached: bool) -> Page {
    Page {
        entries,
        cursor,
        head,
        tail_reached,
        verdict: Verdict::Continuous,
        degraded: true,
    }
}

/// Counts what goes into a page, up to the bytes that a page of the log has. The first entry always does.
fn fits() -> impl FnMut(&Entry) -> bool {
    let mut bytes = 0;
    move |entry| {
        let first = bytes == 0;
        bytes += entry.cost_bytes();
        first || bytes <= LOG_PAGE_BYTES_MAX
    }
}

impl State {
    /// Where in the ring a forward page begins: with the entry of this index.
    fn begin(&self, from: From, until: Option<EntryId>) -> Option<usize> {
        match from {
            From::Cursor(cursor) => self.index_after(cursor),
            From::Start => self.index_after(Cursor::START),
            From::Now => Some(self.ring.len()),
            // Nothing is known of an end that lies before the ring.
            From::Last(_) if until.is_some_and(|until| until < self.floor.id) && !self.is_whole() => None,
            From::Last(count) => {
                let end = self.count_through(until);
                let start = end.checked_sub(count.min(PAGE_ENTRIES_MAX));
                start.or_else(|| self.is_whole().then_some(0))
            }
            From::Since(id) => {
                (self.is_whole() || self.floor.id < id).then(|| self.ring.partition_point(|e| e.id() < id))
            }
        }
    }

    /// The place behind an entry of the ring, or behind the one before it, if it is that very entry.
    fn index_after(&self, cursor: Cursor) -> Option<usize> {
        let index = self.count_through(Some(cursor.id));
        (self.position_before(index) == cursor && cursor.ordinal.is_some()).then_some(index)
    }

    fn position_before(&self, index: usize) -> Cursor {
        match index.checked_sub(1) {
            Some(last) => self.ring[last].cursor,
            None => self.floor,
        }
    }

    fn count_through(&self, until: Option<EntryId>) -> usize {
        until.map_or(self.ring.len(), |until| {
            self.ring.partition_point(|entry| entry.id() <= until)
        })
    }

    /// Whether it holds everything that was ever added.
    fn is_whole(&self) -> bool {
        self.floor.ordinal == Some(Ordinal(0))
    }

    fn forward(&self, head: Cursor, begin: usize, until: Option<EntryId>, limit: usize) -> Page {
        let bound = self.count_through(until).max(begin);
        let mut fits = fits();
        let entries: Vec<_> = self
            .ring
            .range(begin..bound.min(begin + limit))
            .take_while(|entry| fits(entry))
            .cloned()
            .collect();
        let tail_reached = begin + entries.len() >= bound;
        let whole_tail = tail_reached && until.is_none_or(|until| until >= head.id);
        let cursor = match entries.last() {
            _ if whole_tail => head,
            Some(entry) => entry.cursor,
            None => self.position_before(begin),
        };
        page(entries, cursor, head, tail_reached)
    }

    fn backward(
        &self,
        head: Cursor,
        before: Option<Cursor>,
        since: Option<EntryId>,
        until: Option<EntryId>,
        limit: usize,
    ) -> Option<Page> {
        let mut end = self.count_through(until);
        if let Some(before) = before {
            // Behind the position; the entry at it does not belong to the page.
            end = end.min(self.index_after(before)?.saturating_sub(1));
        }
        let low = since.map_or(0, |since| self.ring.partition_point(|entry| entry.id() < since));
        let low = low.min(end);
        let mut fits = fits();
        let entries: Vec<_> = self
            .ring
            .range(low..end)
            .rev()
            .take(limit)
            .take_while(|entry| fits(entry))
            .cloned()
            .collect();
        let nothing_below = self.is_whole() || since.is_some_and(|since| self.floor.id < since);
        if entries.is_empty() && !nothing_below {
            return None;
        }
        let tail_reached = nothing_below && low + entries.len() >= end;
        let cursor = entries
            .last()
            .map_or(before.unwrap_or(head), |entry| entry.cursor);
        Some(page(entries, cursor, head, tail_reached))
    }
}

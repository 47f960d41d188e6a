//! One stream's entries and counters, moving exactly as those of a Redis stream do. It knows neither locks, nor
//! clocks, nor subscribers.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::{Cursor, Entry, EntryId, Event, StreamName, StreamView};

/// The entries of a stream that exists, oldest first, and what `XINFO STREAM` would say of it.
///
/// The ordinal stored with an entry is right unless an entry after it was deleted singly; [`History::entry`] puts
/// that right when the entry is read.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    entries: VecDeque<Arc<Entry>>,
    added: u64,
    last_generated: EntryId,
    max_deleted: EntryId,
    bytes: usize,
}

impl History {
    pub(super) fn view(&self) -> StreamView {
        StreamView {
            added: self.added,
            length: self.entries.len() as u64,
            first: self.entries.front().map(|entry| entry.id()),
            last_generated: self.last_generated,
            max_deleted: self.max_deleted,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What its entries cost, by [`Entry::cost_bytes`].
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an entry. `id` is above every ID given before.
    pub(super) fn append(&mut self, stream: &StreamName, id: EntryId, event: Event) -> Arc<Entry> {
        debug_assert!(id > self.last_generated);
        self.added += 1;
        self.last_generated = id;
        let entry = Arc::new(Entry::new(stream.clone(), Cursor::new(id, self.added), event));
        self.bytes += entry.cost_bytes();
        self.entries.push_back(Arc::clone(&entry));
        entry
    }

    /// Drops the oldest entry and returns its ID.
    pub(super) fn drop_oldest(&mut self) -> Option<EntryId> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.cost_bytes();
        Some(entry.id())
    }

    /// The ID of the oldest entry.
    pub(super) fn oldest(&self) -> Option<EntryId> {
        self.entries.front().map(|entry| entry.id())
    }

    /// Trims from the front to `keep` entries; returns how many went.
    pub(super) fn trim_to(&mut self, keep: u64) -> u64 {
        let mut trimmed = 0;
        while self.entries.len() as u64 > keep {
            self.drop_oldest();
            trimmed += 1;
        }
        trimmed
    }

    /// Trims the entries below `id` from the front.
    pub(super) fn trim_below(&mut self, id: EntryId) {
        while self.oldest().is_some_and(|oldest| oldest < id) {
            self.drop_oldest();
        }
    }

    /// Deletes one entry, as `XDEL` does; `false` if it does not exist.
    pub(super) fn delete(&mut self, id: EntryId) -> bool {
        let Ok(index) = self.entries.binary_search_by_key(&id, |entry| entry.id()) else {
            return false;
        };
        if let Some(entry) = self.entries.remove(index) {
            self.bytes -= entry.cost_bytes();
        }
        self.max_deleted = self.max_deleted.max(id);
        true
    }

    /// How many entries have an ID at or below `id`: the index of the first one above it.
    pub(super) fn count_through(&self, id: EntryId) -> usize {
        self.entries.partition_point(|entry| entry.id() <= id)
    }

    /// How many entries have an ID below `id`.
    pub(super) fn count_below(&self, id: EntryId) -> usize {
        self.entries.partition_point(|entry| entry.id() < id)
    }

    /// The entry at `index`, with the ordinal that makes its cursor a continuous one in the present history: the
    /// entries ever added, less those that exist after it.
    pub(super) fn entry(&mut self, index: usize) -> Option<Arc<Entry>> {
        let ordinal = self.ordinal_at(index);
        let slot = self.entries.get_mut(index)?;
        let cursor = Cursor::new(slot.id(), ordinal);
        if slot.cursor != cursor {
            *slot = Arc::new(Entry::new(slot.stream.clone(), cursor, slot.event.clone()));
        }
        Some(Arc::clone(slot))
    }

    /// The ordinal of the entry at `index`.
    fn ordinal_at(&self, index: usize) -> u64 {
        self.added - (self.entries.len() as u64).saturating_sub(index as u64 + 1)
    }

    /// The position just before the entry at `index`, or the head behind the last one. It is a place that readers
    /// can have observed, so it does not look like a cursor into another history.
    pub(super) fn position_before(&self, index: usize) -> Cursor {
        if index >= self.entries.len() {
            return self.view().head();
        }
        match index.checked_sub(1).and_then(|index| self.entries.get(index)) {
            Some(previous) => Cursor::new(previous.id(), self.ordinal_at(index) - 1),
            None => self.view().front(),
        }
    }
}

/// The ID that `XADD *` gives at `now_ms`: that time, but never at or below `last_generated`. `None`: there is no
/// higher one.
pub(super) fn next_id(last_generated: EntryId, now_ms: u64) -> Option<EntryId> {
    if now_ms > last_generated.ms {
        return Some(EntryId::new(now_ms, 0));
    }
    (last_generated != EntryId::MAX).then(|| last_generated.successor())
}

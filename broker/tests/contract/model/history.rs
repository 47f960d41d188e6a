//! The naive model of a stream: every event that was ever added, and whether it still exists.

use shared::{Cursor, EntryId, Ordinal};

/// Every event that was ever added to the present history.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) items: Vec<Item>,
    pub(super) max_deleted: EntryId,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) id: EntryId,
    pub(super) value: u64,
    pub(super) exists: bool,
}

impl Model {
    pub(super) fn existing(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter().filter(|item| item.exists)
    }

    pub(super) fn after(&self, id: EntryId) -> impl Iterator<Item = &Item> {
        self.existing().filter(move |item| item.id > id)
    }

    pub(super) fn added(&self) -> u64 {
        self.items.len() as u64
    }

    pub(super) fn removed(&self) -> u64 {
        self.added() - self.existing().count() as u64
    }

    pub(super) fn head(&self) -> Cursor {
        let last = self.items.last().map_or(EntryId::ZERO, |item| item.id);
        Cursor::new(last, self.added())
    }

    /// What makes another history certain, by what a server tells of a stream: `None` if nothing does. The flag
    /// says whether that takes a count of the entries after the cursor.
    pub(super) fn surely_another(&self, cursor: Cursor) -> Option<bool> {
        let first = self.existing().next().map(|item| item.id);
        let present = self.existing().any(|item| item.id == cursor.id);
        let never_held =
            !present && first.is_some_and(|first| first <= cursor.id) && self.max_deleted < cursor.id;
        let Ordinal(n) = cursor.ordinal.unwrap_or_default();
        if cursor.id > self.head().id {
            return Some(false);
        }
        cursor.ordinal?;
        if n > self.added() || never_held {
            return Some(false);
        }
        (self.after(cursor.id).count() as u64 > self.added() - n).then_some(true)
    }
}

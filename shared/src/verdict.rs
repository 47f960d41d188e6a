//! The arithmetic that tells a reader whether it lost anything.
//!
//! Redis counts the entries ever added to a stream (`entries-added`, here `A`); the count survives trimming and
//! deletion. A cursor `(id, n)` says: "when I stood at `id`, all but the entries after it were behind me, and they
//! were `n`". If `m` entries exist after `id` now, then `m` against `A - n` tells what became of the rest:
//!
//! | `m` | verdict |
//! |---|---|
//! | `A - n` | continuous |
//! | fewer | gap: `A - n - m` entries were trimmed or deleted |
//! | more; or `id` above the last ID ever generated; or `A < n` | reset: another history |
//!
//! Two more signs of another history: the cursor's entry is missing although nothing can have removed it, and a gap
//! larger than the number of entries ever removed.
//!
//! # How a reader uses it
//!
//! 1. [`assess`] with one consistent view of the stream and one look at the cursor's surroundings. It settles nearly
//!    every case in constant time. [`Assessment::Count`] asks for the number of entries after the cursor; with that
//!    number, in the same view, [`compare`] settles it.
//! 2. After a verdict that is not `continuous` it goes on at [`resume_at`].
//! 3. It reads a page and adds one to the ordinal for each entry. It assesses each page before it delivers it; on the
//!    page that reaches the tail, the number of entries after the cursor is known, so whatever was lost under way is
//!    told there at the latest, exactly and once.
//!
//! A cursor with an ordinal may only name a place that was observed: an entry, [`StreamView::head`],
//! [`StreamView::front`] or [`Cursor::START`]. An ID that was made up (the predecessor of an entry, a time) looks
//! like an entry that another history held.
//!
//! ```
//! use shared::verdict::{Assessment, Look, assess};
//! use shared::{Cursor, EntryId, StreamView, Verdict};
//!
//! // Ten entries were added, the first six have been trimmed. The reader had seen five.
//! let view = StreamView {
//!     added: 10,
//!     length: 4,
//!     first: Some(EntryId::new(7, 0)),
//!     last_generated: EntryId::new(10, 0),
//!     max_deleted: EntryId::ZERO,
//! };
//! let cursor = Cursor::new(EntryId::new(5, 0), 5);
//! let look = Look { present: false, after: None };
//! assert_eq!(assess(cursor, &view, look), Assessment::Settled(Verdict::Gap { lost: 1 }));
//! ```
//!
//! # What no arithmetic can tell
//!
//! The cursor and the stream's counters are all there is to go by. Where a history that really follows the cursor
//! could show the very same numbers, that is what the verdict says; in every other case another history is found out
//! (`tests/verdict_exhaustive.rs` proves both over all small histories). So these are not told as `reset`:
//!
//! * A rollback to a state that holds the cursor's entry. What the fail-over lost came after the cursor: this reader
//!   never saw it and gets one history without a hole: `continuous`.
//! * A rollback behind the cursor, after which the entry that takes the same ordinal is given the same ID.
//! * A stream re-created, or rolled back and grown again, in which so much was removed that the place of the cursor
//!   is gone: its entries would have shown the difference. The reader is told a `gap` of what the numbers say is
//!   missing; `continuous` only if they come out exactly even.

use serde::{Deserialize, Serialize};

use crate::{Cursor, EntryId, Ordinal};

/// What a reader is told about the events between its cursor and what it is given next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is missing.
    Continuous,
    /// That many events are gone: trimmed or deleted before they could be read.
    Gap {
        /// How many.
        lost: u64,
    },
    /// The stream has another history than the one the reader saw: it was re-created, or rolled back.
    Reset,
    /// The position carries no count, so nothing can be proven.
    Unverified,
}

/// One consistent view of a stream's counters, as `XINFO STREAM` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamView {
    /// Entries ever added (`entries-added`).
    pub added: u64,
    /// Entries that exist (`length`).
    pub length: u64,
    /// The first entry that exists.
    pub first: Option<EntryId>,
    /// The highest ID ever generated (`last-generated-id`).
    pub last_generated: EntryId,
    /// The highest ID ever deleted singly (`max-deleted-entry-id`); trimming does not move it.
    pub max_deleted: EntryId,
}

impl StreamView {
    /// A stream that does not exist: same as an empty one to which nothing was ever added.
    pub const ABSENT: Self = Self {
        added: 0,
        length: 0,
        first: None,
        last_generated: EntryId::ZERO,
        max_deleted: EntryId::ZERO,
    };

    /// The position after everything.
    pub const fn head(&self) -> Cursor {
        Cursor::new(self.last_generated, self.added)
    }

    /// The position before the first entry that exists, with nothing lost up to there.
    pub const fn front(&self) -> Cursor {
        Cursor::new(EntryId::ZERO, self.removed())
    }

    /// Entries that were added and exist no more.
    pub const fn removed(&self) -> u64 {
        self.added.saturating_sub(self.length)
    }

    /// Whether every entry ever added still exists.
    pub const fn nothing_removed(&self) -> bool {
        self.added == self.length
    }

    /// Whether `id`, which does not exist, can have been an entry.
    fn can_have_removed(&self, id: EntryId) -> bool {
        // Trimming would have moved `first` past it, and single deletions are bounded by the highest one.
        if self.first.is_some_and(|first| first <= id) && self.max_deleted < id {
            return false;
        }
        // The removed entries that are known by their IDs cannot be more than were removed.
        let last_removed = self.first.is_none() || self.max_deleted == self.last_generated;
        let last = last_removed && self.last_generated != id;
        let deleted = ![EntryId::ZERO, id, self.last_generated].contains(&self.max_deleted);
        1 + u64::from(last) + u64::from(deleted) <= self.removed()
    }

    /// Whether every entry after `id` is sure to exist still, for a position that claims no count: trimming takes
    /// from the front, so an entry at or before `id` shows that it stopped short of it, and single deletions are
    /// bounded by the highest one.
    pub fn intact_after(&self, id: EntryId) -> bool {
        self.nothing_removed() || (self.first.is_some_and(|first| first <= id) && self.max_deleted <= id)
    }
}

/// What one look at the stream, in the same view, showed about the cursor's surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether the cursor's own entry exists.
    pub present: bool,
    /// How many entries exist after the cursor, if that is known.
    pub after: Option<u64>,
}

/// The outcome of [`assess`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assessment {
    /// The verdict. `Continuous` without a known count after the cursor is provisional: the reader confirms it by
    /// assessing each page it reads, at the latest the one that reaches the tail.
    Settled(Verdict),
    /// The entries after the cursor must be counted, then [`compare`]d.
    Count,
}

/// Judges `cursor` against one consistent view of its stream, without counting if that is possible.
pub fn assess(cursor: Cursor, view: &StreamView, look: Look) -> Assessment {
    use Assessment::{Count, Settled};
    let present = look.present || view.first == Some(cursor.id);
    let known_after = match view.first {
        None => Some(0),
        Some(first) if cursor.id < first => Some(view.length),
        Some(first) if cursor.id == first => Some(view.length.saturating_sub(1)),
        Some(_) if cursor.id >= view.last_generated => Some(0),
        Some(_) => look.after,
    };
    if let Some(after) = known_after {
        return Settled(compare(cursor, view, present, after));
    }
    if let Some(verdict) = without_count(cursor, view, present) {
        return Settled(verdict);
    }
    let expected = cursor
        .ordinal
        .map_or(0, |Ordinal(n)| view.added.saturating_sub(n));
    // The first entry and the cursor's own are not among those that follow, the last one is unless it was deleted.
    let possible = 1..=view.length.saturating_sub(2);
    if present && possible.contains(&expected) {
        Settled(Verdict::Continuous)
    } else {
        Count
    }
}

/// Judges `cursor` against a consistent view in which `after` entries exist after it; `present`: it exists itself.
pub fn compare(cursor: Cursor, view: &StreamView, present: bool, after: u64) -> Verdict {
    if let Some(verdict) = without_count(cursor, view, present) {
        return verdict;
    }
    let ordinal = cursor.ordinal.unwrap_or_default();
    let missing = view
        .added
        .checked_sub(ordinal.0)
        .and_then(|expected| expected.checked_sub(after));
    // The cursor's own entry was not lost: if it does not exist it was removed beside what was.
    let own = u64::from(!present && cursor.id != EntryId::ZERO);
    match missing {
        None => Verdict::Reset,
        Some(lost) if lost.saturating_add(own) > view.removed() => Verdict::Reset,
        Some(0) => Verdict::Continuous,
        Some(lost) => Verdict::Gap { lost },
    }
}

/// The part of the judgement that needs no count: what is certain without one.
fn without_count(cursor: Cursor, view: &StreamView, present: bool) -> Option<Verdict> {
    if cursor.id > view.last_generated {
        return Some(Verdict::Reset);
    }
    let Some(ordinal) = cursor.ordinal else {
        return Some(if view.nothing_removed() {
            Verdict::Continuous
        } else {
            Verdict::Unverified
        });
    };
    let never_held = !present && cursor.id != EntryId::ZERO && !view.can_have_removed(cursor.id);
    (view.added < ordinal.0 || never_held).then_some(Verdict::Reset)
}

/// Where a reader goes on after a verdict.
///
/// After a `reset` that is the cursor's own ID as long as this history reaches beyond it (what follows was never
/// delivered), otherwise the head: IDs went backwards, and only a fresh read from the start can rebuild state. The ID
/// is bare, because the ordinal belonged to the other history. The reader gets its own again from the first look at
/// what it has read: `A` minus the entries that follow, or the head if none does.
pub fn resume_at(cursor: Cursor, verdict: Verdict, view: &StreamView) -> Cursor {
    match verdict {
        Verdict::Continuous | Verdict::Unverified => cursor,
        Verdict::Gap { lost } => Cursor {
            id: cursor.id,
            ordinal: cursor.ordinal.map(|Ordinal(n)| Ordinal(n.saturating_add(lost))),
        },
        Verdict::Reset if cursor.id > view.last_generated => view.head(),
        Verdict::Reset => Cursor::bare(cursor.id),
    }
}

//! The arithmetic that tells a reader whether it lost anything.
//!
//! Redis counts the entries ever added to a stream (`entries-added`, here `A`); the count survives trimming and
//! deletion. A cursor `(id, n)` says: "when I stood at `id`, `n` entries had been added up to there". If `m` entries
//! exist after `id` now, then `m` against `A - n` tells what became of the rest:
//!
//! | `m` | verdict |
//! |---|---|
//! | `A - n` | continuous |
//! | fewer | gap: `A - n - m` entries were trimmed or deleted |
//! | more; or `id` above the last ID ever generated; or `A < n` | reset: another history |
//!
//! [`assess`] settles that from one consistent view of the stream in constant time wherever it can, and says when
//! the entries after the cursor must be counted.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Whether every entry ever added still exists.
    pub const fn nothing_removed(&self) -> bool {
        self.added == self.length
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

/// Judges `cursor` against one consistent view of its stream.
pub fn assess(cursor: Cursor, view: &StreamView, look: Look) -> Assessment {
    use Assessment::{Count, Settled};
    if cursor.id > view.last_generated {
        return Settled(Verdict::Reset);
    }
    let Some(ordinal) = cursor.ordinal else {
        return Settled(if view.nothing_removed() {
            Verdict::Continuous
        } else {
            Verdict::Unverified
        });
    };
    if view.added < ordinal.0 {
        return Settled(Verdict::Reset);
    }
    let known_after = match view.first {
        None => Some(0),
        Some(first) if cursor.id < first => Some(view.length),
        Some(_) if cursor.id == view.last_generated => Some(0),
        Some(_) => look.after,
    };
    if let Some(after) = known_after {
        return Settled(compare(ordinal, view.added, after));
    }
    let expected = view.added - ordinal.0;
    if look.present {
        // The entry itself is one of the `length`, so at most `length - 1` others can follow it.
        let impossible = expected == 0 || expected >= view.length;
        return if impossible {
            Count
        } else {
            Settled(Verdict::Continuous)
        };
    }
    // Trimming would have moved `first` past it, and single deletions are bounded: it never was in this history.
    if view.max_deleted < cursor.id {
        Settled(Verdict::Reset)
    } else {
        Count
    }
}

/// Compares the entries that exist after a cursor with those that should.
pub fn compare(ordinal: Ordinal, added: u64, after: u64) -> Verdict {
    match added.checked_sub(ordinal.0) {
        None => Verdict::Reset,
        Some(expected) if after > expected => Verdict::Reset,
        Some(expected) if after < expected => Verdict::Gap {
            lost: expected - after,
        },
        Some(_) => Verdict::Continuous,
    }
}

/// Where a reader goes on after a verdict.
///
/// After a `reset` that is the cursor's own ID as long as this history reaches beyond it (what follows was never
/// delivered), otherwise the head: IDs went backwards, and only a fresh read from the start can rebuild state.
pub fn resume_at(cursor: Cursor, verdict: Verdict, view: &StreamView) -> Cursor {
    match verdict {
        Verdict::Continuous | Verdict::Unverified => cursor,
        Verdict::Gap { lost } => Cursor {
            id: cursor.id,
            ordinal: cursor.ordinal.map(|Ordinal(n)| Ordinal(n + lost)),
        },
        Verdict::Reset if cursor.id > view.last_generated => view.head(),
        Verdict::Reset => Cursor::bare(cursor.id),
    }
}

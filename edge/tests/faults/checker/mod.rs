//! Judges what one subscriber received from one stream against what the log held. Pure: no clock, no network.
//!
//! The truth of a stream is a list of *histories*. A stream that is only appended to and trimmed has one; deleting
//! and re-creating it, or rolling it back, begins another. Each history lists every entry that was ever in it, also
//! those that were trimmed or deleted since, which are marked `removed`.
//!
//! A subscriber is right if what it received walks through a history entry by entry to its end; skips only removed
//! entries, and then exactly as many as a `gap` told; and changes to another history only by a `reset`, going on
//! with the first entry after the position that the reset named. It must end in the last one.

mod outages;
#[cfg(test)]
mod tests;
mod walk;

use shared::EntryId;

pub use outages::{Outage, Outages};
use walk::Walk;

/// What an entry is: its place, and who published it as which of their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// Where it is in the stream.
    pub id: EntryId,
    /// Who published it.
    pub producer: u16,
    /// Which of the producer's events it is.
    pub seq: u32,
}

/// One thing that a subscriber received from one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// An event, with the ordinal in its cursor.
    Event {
        /// Which.
        event: Event,
        /// Its position in the count of all entries ever added, if the cursor holds one.
        ordinal: Option<u64>,
    },
    /// A verdict: so many events are gone.
    Gap {
        /// How many.
        lost: u64,
    },
    /// A verdict: this is another history.
    Reset {
        /// Delivery goes on after this position.
        resumes_after: EntryId,
    },
    /// A verdict: nothing can be proven.
    Unverified,
}

/// An entry that was in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// What it is.
    pub event: Event,
    /// Whether it was trimmed or deleted later.
    pub removed: bool,
}

/// Where entries of a stream were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Only from the front: a gap is told where it is, before the next event.
    Front,
    /// Anywhere: a gap inside a range may be told as late as at the end of the range, but it is told.
    Anywhere,
}

/// What a stream really held.
#[derive(Debug, Clone)]
pub struct StreamTruth {
    /// Every history, in the order of time.
    pub histories: Vec<Vec<Logged>>,
    /// Where entries were removed.
    pub removal: Removal,
    /// Whether the server lost its last writes at some time. Then subscribers may have seen entries that are in no
    /// history, and must have been told by a reset after them.
    pub rolled_back: bool,
}

/// Where a subscriber began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Before the first entry ever added.
    Start,
    /// Behind this position.
    After(EntryId),
    /// At an unknown place: the first event it received settles which.
    Anywhere,
}

/// What was found. All of [`Findings::faults`] must be zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Events received.
    pub events: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Events that the gaps told as lost.
    pub lost_told: u64,
    /// Resets told.
    pub resets: u64,
    /// Fault: entries that were neither received nor told as lost.
    pub missing: u64,
    /// Fault: events received again.
    pub doubled: u64,
    /// Fault: events received after a later one.
    pub out_of_order: u64,
    /// Fault: gaps with a wrong count, or over entries that exist.
    pub wrong_gaps: u64,
    /// Fault: resets of a history that had not changed, or that skip more than they say.
    pub wrong_resets: u64,
    /// Fault: `unverified` where a proof was possible, or a cursor without the ordinal that makes the next one possible.
    pub unproven: u64,
    /// Fault: events that were never in the log.
    pub unknown: u64,
    /// Fault: cursors with a wrong ordinal.
    pub wrong_ordinals: u64,
    /// Which of the items showed the first fault; their number if it was the end that did.
    pub first_fault_at: Option<usize>,
    /// The first few faults in words.
    pub notes: Vec<String>,
}

/// Faults that are described in words; the rest is counted.
const NOTES_MAX: usize = 6;

impl Findings {
    /// All that must not be.
    pub fn faults(&self) -> u64 {
        self.missing
            + self.doubled
            + self.out_of_order
            + self.wrong_gaps
            + self.wrong_resets
            + self.unproven
            + self.unknown
            + self.wrong_ordinals
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.gaps += other.gaps;
        self.lost_told += other.lost_told;
        self.resets += other.resets;
        self.missing += other.missing;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.wrong_gaps += other.wrong_gaps;
        self.wrong_resets += other.wrong_resets;
        self.unproven += other.unproven;
        self.unknown += other.unknown;
        self.wrong_ordinals += other.wrong_ordinals;
    }

    fn note(&mut self, text: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(text);
        }
    }
}

/// Judges `items`, everything a subscriber received from the stream, in order. It must have reached the end.
pub fn check(truth: &StreamTruth, begin: Begin, items: &[Item]) -> Findings {
    let mut walk = Walk::new(truth, begin);
    items.iter().for_each(|item| walk.step(item));
    walk.finish()
}

/// Judges `items`, behind which the subscriber gave up.
pub fn check_part(truth: &StreamTruth, begin: Begin, items: &[Item]) -> Findings {
    let mut walk = Walk::new(truth, begin);
    items.iter().for_each(|item| walk.step(item));
    walk.give_up()
}

//! What readers who catch up hold of the log, all of them together.
//!
//! A page lies in memory until its reader has taken it, and thousands who ask for history and then do not read would
//! hold a page each. So the more is held already, the shorter is what the next page is cut to, down to one entry: nobody
//! waits for those who do not read, and what was cut off is read again when its turn has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shared::limits::LOG_PAGE_BYTES_MAX;

/// A page may take this part of what is still free, so that there is always something left for the next one.
const PART: usize = 16;
/// Entries of a page when there is not room for a whole one.
const ENTRIES_WHEN_SHORT: usize = 32;

/// Bytes of pages that readers hold, against what they may hold.
#[derive(Debug)]
pub(crate) struct HistoryBudget {
    held_bytes: AtomicUsize,
    max_bytes: usize,
}

/// Bytes that a reader holds; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<HistoryBudget>,
    bytes: usize,
}

impl HistoryBudget {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            held_bytes: AtomicUsize::new(0),
            max_bytes,
        }
    }

    /// Bytes that all readers hold.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that the next page may take.
    fn share(&self) -> usize {
        self.max_bytes.saturating_sub(self.held_bytes()) / PART
    }

    /// How many entries to ask for, of so many: fewer if most of a page would be cut off again.
    pub(crate) fn ask(&self, entries: usize) -> usize {
        match self.share() {
            // Only one of them may be held.
            0 => entries.min(1),
            share if share < LOG_PAGE_BYTES_MAX => entries.min(ENTRIES_WHEN_SHORT),
            _ => entries,
        }
    }

    /// Of a page with entries of these sizes: how many may be held, at least one, and the right to it.
    pub(crate) fn hold(self: &Arc<Self>, sizes: impl Iterator<Item = usize>) -> (usize, Held) {
        let share = self.share();
        let (mut count, mut bytes) = (0, 0);
        for size in sizes {
            if count > 0 && bytes + size > share {
                break;
            }
            count += 1;
            bytes += size;
        }
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = Held {
            budget: self.clone(),
            bytes,
        };
        (count, held)
    }

    /// The right to read a page of at most so many bytes before anybody waits for it, if there is room to spare.
    pub(crate) fn hold_ahead(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        (bytes <= self.share()).then(|| {
            self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
            Held {
                budget: self.clone(),
                bytes,
            }
        })
    }
}

impl Held {
    /// Both together.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(budget: &Arc<HistoryBudget>, count: usize) -> Vec<(usize, Held)> {
        (0..count)
            .map(|_| budget.hold(std::iter::repeat_n(1_000, 1_000)))
            .collect()
    }

    #[test]
    fn pages_become_shorter_and_end_with_one_entry() {
        let budget = Arc::new(HistoryBudget::new(16_000_000));
        let held = pages(&budget, 2_000);
        let counts: Vec<usize> = held.iter().map(|(count, _)| *count).collect();
        assert_eq!((counts[0], counts[1_999]), (1_000, 1));
        assert!(counts.is_sorted_by(|one, next| one >= next), "{counts:?}");
        // The last of them are one entry each.
        assert!(budget.held_bytes() < 16_000_000 + 2_000 * 1_000);
        assert!(budget.hold_ahead(1_000_000).is_none());
        assert_eq!(budget.ask(256), 1);
        drop(held);
        assert_eq!(budget.held_bytes(), 0);
        assert!(budget.hold_ahead(1_000_000).is_some());
        assert_eq!(HistoryBudget::new(1_000).ask(256), ENTRIES_WHEN_SHORT);
        let roomy = HistoryBudget::new(PART * LOG_PAGE_BYTES_MAX);
        assert_eq!(roomy.ask(256), 256);
    }

    #[test]
    fn what_is_held_together_is_given_back_together() {
        let budget = Arc::new(HistoryBudget::new(1_000));
        let (count, mut held) = budget.hold([10, 20].into_iter());
        let (_, other) = budget.hold([7].into_iter());
        held.add(other);
        assert_eq!((count, budget.held_bytes()), (2, 37));
        drop(held);
        assert_eq!(budget.held_bytes(), 0);
        let (count, _held) = budget.hold(std::iter::empty());
        assert_eq!((count, budget.held_bytes()), (0, 0));
    }
}

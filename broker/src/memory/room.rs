//! Makes room when the log is full: the streams that hold the most give way, with what is oldest in them.

use std::cmp::Reverse;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::MemoryLog;
use super::slot::Slot;
use crate::hub::lock;

/// Room is made for this part of the log's bytes at once, so that it need not be made at every append.
const ROOM_DIVISOR: usize = 16;

impl MemoryLog {
    /// If the log is over its bound, drops the oldest of the largest streams.
    pub(super) fn make_room(&self) {
        if self.bytes_used() <= self.bytes_max {
            return;
        }
        let _guard = lock(&self.making_room);
        if self.bytes_used() <= self.bytes_max {
            return;
        }
        let target_bytes = self.bytes_max - self.bytes_max / ROOM_DIVISOR;
        let mut slots: Vec<_> = self
            .all_slots()
            .into_iter()
            .map(|slot| {
                let (bytes, appended_turn) = weigh(&slot);
                (Reverse(bytes), appended_turn, slot)
            })
            .collect();
        // The largest first; among equals those that have been silent the longest.
        slots.sort_unstable_by_key(|(bytes, appended_turn, _)| (*bytes, *appended_turn));
        let sizes: Vec<_> = slots.iter().map(|(Reverse(bytes), ..)| *bytes).collect();
        let level_bytes = water_level(&sizes, self.bytes_used().saturating_sub(target_bytes));
        let mut dropped = 0;
        for (_, _, slot) in slots {
            if self.bytes_used() <= target_bytes {
                break;
            }
            dropped += self
                .access(&slot, |slot| slot.shrink_to(level_bytes))
                .unwrap_or(0);
        }
        if self.told_full.swap(true, Ordering::Relaxed) {
            tracing::debug!(dropped, "the in-memory log is full, its oldest entries went");
        } else {
            let bytes_max = self.bytes_max;
            tracing::warn!(
                dropped,
                bytes_max,
                "the in-memory log is full; from now on its oldest entries go"
            );
        }
    }
}

/// What a slot costs, and when it was last appended to.
fn weigh(slot: &Mutex<Slot>) -> (usize, u64) {
    let slot = lock(slot);
    (slot.bytes(), slot.appended_turn())
}

/// The level to which every stream must shrink so that together they give up `excess_bytes`: as water in a vessel,
/// only what stands above the level goes, so a noisy log makes room and a quiet document is left alone.
///
/// `sizes_bytes` is sorted, the largest first. If all of them together hold less than the excess the level is 0.
pub(super) fn water_level(sizes_bytes: &[usize], excess_bytes: usize) -> usize {
    let mut above = 0;
    for (index, size) in sizes_bytes.iter().enumerate() {
        above += size;
        let next = sizes_bytes.get(index + 1).copied().unwrap_or(0);
        let level = above.checked_sub(excess_bytes).map(|left| left / (index + 1));
        if let Some(level) = level.filter(|level| *level >= next) {
            return level;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::water_level;
    use proptest::prelude::*;

    fn freed(sizes: &[usize], level: usize) -> usize {
        sizes.iter().map(|size| size.saturating_sub(level)).sum()
    }

    #[test]
    fn the_largest_gives_way_first() {
        assert_eq!(water_level(&[100, 10, 10], 50), 50);
        assert_eq!(water_level(&[100, 60, 10], 60), 50);
        assert_eq!(water_level(&[10, 10], 50), 0);
        assert_eq!(water_level(&[], 1), 0);
    }

    proptest! {
        #[test]
        fn frees_enough_and_not_much_more(
            mut sizes in prop::collection::vec(0usize..10_000, 1..50), excess in 1usize..100_000,
        ) {
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            let level = water_level(&sizes, excess);
            let total: usize = sizes.iter().sum();
            prop_assert!(freed(&sizes, level) >= excess.min(total));
            // A level one byte higher would be too little.
            prop_assert!(freed(&sizes, level + 1) < excess);
        }
    }
}

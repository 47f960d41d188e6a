//! The ring of recent entries: who finds its place in it, takes from it, and puts something in front of it.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::{Cursor, Entry, Ordinal};

use super::{Channel, State, lock};

/// The time between two invalidations of a channel: what was read from the log in one may belong to another history
/// than what is in the ring in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// Another one begins.
    pub(super) fn end(&mut self) {
        self.0 += 1;
    }
}

/// The outcome of [`Channel::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Join {
    /// The number of the entry that comes next.
    pub(crate) number: u64,
    /// The ordinal of the position that was asked about, as far as the channel knows it.
    pub(crate) ordinal: Option<Ordinal>,
}

/// The outcome of [`Channel::pull`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Entries were taken (or there were none); go on at `number`.
    Taken {
        /// The number of the entry that comes next.
        number: u64,
        /// Whether that was all there is.
        drained: bool,
    },
    /// The ring no longer holds the entry: read the log.
    Behind,
}

impl Channel {
    /// What a read of the log that begins now belongs to.
    pub(crate) fn epoch(&self) -> Epoch {
        lock(&self.state).epoch
    }

    /// Finds the place of `cursor` in the ring, so that a subscriber can go on from there without reading the log.
    ///
    /// A cursor that has come out of the log by a read that began in this `read_in` may also lie between entries,
    /// beyond the head, or be without an ordinal. Any other must be an entry of the ring with its very ordinal:
    /// everything else is for the log to judge. An ordinal below the channel's means that something was lost. One above
    /// it means that another edge has told the reader of a loss that this one has yet to find, of entries which the
    /// ring may still hold; or that the ring is of another history by now.
    pub(crate) fn join(&self, cursor: Cursor, read_in: Option<Epoch>) -> Option<Join> {
        let mut state = lock(&self.state);
        let head = state.head?;
        let trusted = read_in == Some(state.epoch);
        if cursor.id < state.floor.id || (cursor.id > head.id && !trusted) {
            return None;
        }
        let index = state.ring.partition_point(|entry| entry.id() <= cursor.id);
        let before = if index == 0 {
            state.floor
        } else {
            state.ring[index - 1].cursor
        };
        if cursor.id > head.id {
            let number = state.base + index as u64;
            return state.ahead.note(cursor).then_some(Join {
                number,
                ordinal: cursor.ordinal,
            });
        }
        if !trusted && (before != cursor || cursor.ordinal.is_none()) {
            return None;
        }
        if cursor.ordinal.is_some() && cursor.ordinal < before.ordinal {
            return None;
        }
        Some(Join {
            number: state.base + index as u64,
            ordinal: cursor.ordinal.or(before.ordinal),
        })
    }

    /// Takes entries from `number` on, up to about `bytes_max` of data (at least one).
    pub(crate) fn pull(&self, number: u64, bytes_max: usize, mut take: impl FnMut(&Arc<Entry>)) -> Pull {
        let state = lock(&self.state);
        let Some(start) = number.checked_sub(state.base) else {
            return Pull::Behind;
        };
        let end = state.ring.len();
        let mut index = usize::try_from(start).unwrap_or(end).min(end);
        let mut bytes = 0;
        while index < end && bytes < bytes_max {
            let entry = &state.ring[index];
            bytes += entry.event.size_bytes();
            take(entry);
            index += 1;
        }
        Pull::Taken {
            number: state.base + index as u64,
            drained: index == end,
        }
    }

    /// How many entries lie between `ordinal` and the first entry of the ring, if `ordinal` is older.
    pub(crate) fn distance_below(&self, ordinal: Ordinal) -> Option<u64> {
        let state = lock(&self.state);
        state.head?;
        state
            .floor
            .ordinal
            .and_then(|floor| floor.0.checked_sub(ordinal.0))
            .filter(|d| *d > 0)
    }

    /// Entries that a backfill may put in front of the ring: half of it, the rest is for what comes.
    pub(crate) fn backfill_entries_max(&self) -> usize {
        self.entries_max / 2
    }

    /// Whether a backfill could put anything there now.
    pub(crate) fn takes_backfill(&self) -> bool {
        !self.backfill_is_full(&lock(&self.state), 1)
    }

    /// Whether there is no room in front of the ring for so many bytes.
    fn backfill_is_full(&self, state: &State, bytes: usize) -> bool {
        state.ring.len() >= self.backfill_entries_max()
            || state.ring_bytes + bytes > self.bytes_max / 2
            || self.budget.tight()
    }

    /// Puts entries that were read from the log after `from` in front of the ring, where they join it and as many
    /// as there is room for, so that the next who resumes there need not read them.
    pub(crate) fn extend_back(&self, from: Cursor, entries: &[Arc<Entry>]) {
        let mut state = lock(&self.state);
        if state.head.is_none() || from.ordinal.is_none() {
            return;
        }
        let end = entries.partition_point(|entry| entry.id() <= state.floor.id);
        // The floor must be the last of them, with the same ordinal: only then nothing is between them and the ring.
        if end == 0 || entries[end - 1].cursor != state.floor {
            return;
        }
        for index in (0..end).rev() {
            let entry = &entries[index];
            let cost_bytes = entry.cost_bytes();
            if self.backfill_is_full(&state, cost_bytes) {
                return;
            }
            state.ring.push_front(entry.clone());
            state.ring_bytes += cost_bytes;
            self.budget.add(cost_bytes);
            state.base -= 1;
            state.floor = if index == 0 {
                from
            } else {
                entries[index - 1].cursor
            };
        }
    }

    pub(super) fn overfull(&self, state: &State) -> bool {
        state.ring.len() > self.entries_max
            || (state.ring.len() > 1 && (state.ring_bytes > self.bytes_max || self.budget.exceeded()))
    }

    pub(super) fn pop_front(&self, state: &mut State) {
        if let Some(entry) = state.ring.pop_front() {
            let cost_bytes = entry.cost_bytes();
            state.ring_bytes -= cost_bytes;
            self.budget.remove(cost_bytes);
            state.base += 1;
            state.floor = entry.cursor;
        }
    }

    /// Drops all entries; the numbers go on behind them.
    pub(super) fn empty(&self, state: &mut State) {
        self.budget.remove(state.ring_bytes);
        state.ring_bytes = 0;
        state.base += state.ring.len() as u64;
        state.ring = VecDeque::new();
    }
}

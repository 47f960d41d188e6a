//! The idempotency keys of one stream: what each of them appended, for as long as the window lasts.

use std::collections::{HashMap, VecDeque};

use shared::{Cursor, EntryId};

use crate::IdempotencyKey;

/// What one remembered key costs beside its text: its places in the map and in the queue.
const KEY_COST_BYTES: usize = 192;

/// Keys with the position of the entry each of them appended.
#[derive(Debug, Default)]
pub(super) struct Keys {
    positions: HashMap<IdempotencyKey, Cursor>,
    /// In the order in which they were remembered, with the time in milliseconds.
    ages: VecDeque<(u64, EntryId, IdempotencyKey)>,
    bytes: usize,
}

impl Keys {
    pub(super) fn is_empty(&self) -> bool {
        self.ages.is_empty()
    }

    /// What they cost.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position of what `key` appended.
    pub(super) fn get(&self, key: &IdempotencyKey) -> Option<Cursor> {
        self.positions.get(key).copied()
    }

    /// Remembers a key that is not remembered yet.
    pub(super) fn remember(&mut self, key: IdempotencyKey, cursor: Cursor, now_ms: u64) {
        self.bytes += cost_bytes(&key);
        self.ages.push_back((now_ms, cursor.id, key.clone()));
        self.positions.insert(key, cursor);
    }

    /// Forgets the keys that are `window_ms` old or older.
    pub(super) fn expire(&mut self, now_ms: u64, window_ms: u64) {
        while let Some((since_ms, ..)) = self.ages.front() {
            if now_ms.saturating_sub(*since_ms) < window_ms {
                break;
            }
            self.forget_oldest();
        }
    }

    /// The entry of the key that is remembered longest.
    pub(super) fn oldest(&self) -> Option<EntryId> {
        self.ages.front().map(|(_, id, _)| *id)
    }

    /// Forgets the key that is remembered longest.
    pub(super) fn forget_oldest(&mut self) {
        if let Some((_, _, key)) = self.ages.pop_front() {
            self.bytes -= cost_bytes(&key);
            self.positions.remove(&key);
        }
    }
}

fn cost_bytes(key: &IdempotencyKey) -> usize {
    key.as_str().len() + KEY_COST_BYTES
}

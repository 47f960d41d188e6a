//! What operators and other clients do to a stream beside publishing: trim, delete, append raw fields, roll back.
//! Live subscribers are affected as with Redis.

use bytes::Bytes;
use shared::{EntryId, StreamName, fields};

use super::MemoryLog;
use super::history::History;
use crate::AppendError;

/// A stream as it was at one moment; see [`MemoryLog::restore`].
#[derive(Debug, Clone)]
pub struct MemorySnapshot(Option<History>);

impl MemoryLog {
    /// Drops the oldest entries until `keep` are left, as `XTRIM MAXLEN` does. Returns how many went.
    pub fn trim(&self, stream: &StreamName, keep: u64) -> u64 {
        let trim = |history: &mut History| history.trim_to(keep);
        self.with_existing(stream, |slot| slot.history.as_mut().map_or(0, trim))
            .unwrap_or(0)
    }

    /// Deletes single entries, as `XDEL` does. Returns how many existed.
    pub fn delete_entries(&self, stream: &StreamName, ids: &[EntryId]) -> u64 {
        let delete = |history: &mut History| ids.iter().map(|id| u64::from(history.delete(*id))).sum::<u64>();
        self.with_existing(stream, |slot| slot.history.as_mut().map_or(0, delete))
            .unwrap_or(0)
    }

    /// Deletes the stream and its counts, as `DEL` does; `false` if it did not exist. Idempotency keys stay.
    pub fn delete_stream(&self, stream: &StreamName) -> bool {
        self.with_existing(stream, |slot| {
            let existed = slot.history.is_some();
            slot.replace(None);
            existed
        })
        .unwrap_or(false)
    }

    /// Appends an entry with fields of the caller's choice, as an `XADD` by any client does: at `id`, which must be
    /// above every ID of the stream, or at the next one. Size limits and retention do not apply.
    pub fn append_raw(
        &self,
        stream: &StreamName,
        id: Option<EntryId>,
        fields: &[(Bytes, Bytes)],
    ) -> Result<EntryId, AppendError> {
        if fields.is_empty() {
            return Err(AppendError::Refused("an entry has one field at least".to_owned()));
        }
        let event = fields::decode(fields);
        let now = self.now();
        let appended = self.with_slot(stream, |slot| {
            self.admit_stream(slot)?;
            slot.append_raw(id, event, now)
        });
        self.make_room();
        appended
    }

    /// The stream as it is now.
    pub fn snapshot(&self, stream: &StreamName) -> MemorySnapshot {
        MemorySnapshot(self.with_existing(stream, |slot| slot.history.clone()).flatten())
    }

    /// Puts the stream back to what it was: a fail-over to a replica that lagged.
    pub fn restore(&self, stream: &StreamName, snapshot: MemorySnapshot) {
        let now = self.now();
        self.with_slot(stream, |slot| {
            slot.touch(now);
            slot.replace(snapshot.0);
        });
        self.make_room();
    }
}

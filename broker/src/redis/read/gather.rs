//! Reads ranges of one stream, each in one transaction with the stream's counters. A long range is read in pieces,
//! so that large entries do not make a huge reply; pieces are put together only if they show the same history with
//! nothing removed between them, so together they are as good as one look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use redis::{Cmd, Pipeline, cmd};
use shared::limits::{
    ENTRY_SIZES_MAX, LOG_PAGE_BYTES_MAX, PIECE_ENTRIES_MAX, PIECE_ENTRIES_UNKNOWN, VERDICT_COUNT_ENTRIES_MAX,
};
use shared::{Cursor, Entry, EntryId, Event, Ordinal, StreamName, StreamView, fields};

use super::super::fault::Fault;
use super::super::topology::ask_first;
use super::super::wire::Connection;
use super::super::wire::reply::{self, Fields};

/// How large the entries of streams were when they were read last: the first piece of a page goes by it.
#[derive(Debug, Default)]
pub(super) struct EntrySizes(Mutex<HashMap<StreamName, usize>>);

impl EntrySizes {
    /// Entries that the first piece should have.
    fn first_piece(&self, stream: &StreamName) -> usize {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sizes.get(stream) {
            // Two at the least: the first may be the one that the reader knows already.
            Some(bytes) => (LOG_PAGE_BYTES_MAX / bytes).clamp(2, PIECE_ENTRIES_MAX),
            None => PIECE_ENTRIES_UNKNOWN,
        }
    }

    fn saw(&self, stream: &StreamName, average_bytes: usize) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sizes.get_mut(stream) {
            *known = average_bytes;
        } else {
            if sizes.len() >= ENTRY_SIZES_MAX {
                // Costs each stream one round trip more, which is cheaper than to know the oldest.
                sizes.clear();
            }
            sizes.insert(stream.clone(), average_bytes);
        }
    }
}

/// An inclusive range of IDs, and the end from which it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) low: EntryId,
    pub(super) high: EntryId,
    pub(super) newest_first: bool,
}

/// An entry that was found, without its place.
pub(super) struct Found {
    pub(super) id: EntryId,
    event: Event,
    /// Bytes of its field names and values.
    size_bytes: usize,
}

/// What a range held at one moment.
pub(super) struct Gathered<T = Found> {
    pub(super) view: StreamView,
    /// In the order in which they were read.
    pub(super) entries: Vec<T>,
    /// Whether the range holds no more than these.
    pub(super) exhausted: bool,
}

/// One stream, over one connection.
pub(super) struct Source<'a> {
    connection: &'a mut Connection,
    stream: &'a StreamName,
    key: String,
    sizes: &'a EntrySizes,
    /// Whether each command has to say that another node sends us (`ASKING`).
    asking: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        connection: &'a mut Connection,
        stream: &'a StreamName,
        key: String,
        sizes: &'a EntrySizes,
        asking: bool,
    ) -> Self {
        Self {
            connection,
            stream,
            key,
            sizes,
            asking,
        }
    }

    /// The counters alone.
    pub(super) async fn view(&mut self) -> Result<StreamView, Fault> {
        let mut commands = self.begin(2);
        commands.add_command(self.info());
        let replies = self
            .connection
            .exchange(&commands.get_packed_pipeline(), commands.len())
            .await?;
        reply::view(reply::all(replies)?.pop().ok_or(Fault::Malformed)?)
    }

    /// Up to `wanted` entries of a range; fewer if they are large, but at least one if there is one.
    pub(super) async fn gather(&mut self, range: Range, wanted: usize) -> Result<Gathered, Fault> {
        let first = self.sizes.first_piece(self.stream);
        let mut gathered = self.piece(range, wanted.min(first), Found::new).await?;
        loop {
            let bytes: usize = gathered.entries.iter().map(|entry| entry.size_bytes).sum();
            let average = bytes.checked_div(gathered.entries.len()).unwrap_or(0).max(1);
            if !gathered.entries.is_empty() {
                self.sizes.saw(self.stream, average);
            }
            let missing = wanted - gathered.entries.len();
            let room = LOG_PAGE_BYTES_MAX.saturating_sub(bytes) / average;
            let count = missing.min(room).min(PIECE_ENTRIES_MAX);
            let Some(last) = gathered.entries.last().map(|entry| entry.id) else {
                return Ok(gathered);
            };
            if gathered.exhausted || count == 0 {
                return Ok(gathered);
            }
            // From the last entry on, once more: it shows that the next ones join it.
            let mut next = self.piece(range.from(last), count + 1, Found::new).await?;
            if next.entries.first().is_none_or(|entry| entry.id != last)
                || removed(&gathered.view, &next.view)
            {
                return Ok(gathered);
            }
            gathered.entries.extend(next.entries.drain(1..));
            gathered.view = next.view;
            gathered.exhausted = next.exhausted;
        }
    }

    /// How many entries of `view` exist after `id`, counted one by one; `None` if that cannot be told: too many, or
    /// they were removed meanwhile.
    pub(super) async fn count_after(&mut self, id: EntryId, view: &StreamView) -> Result<Option<u64>, Fault> {
        let mut range = Range {
            low: id.successor(),
            high: view.last_generated,
            newest_first: false,
        };
        let mut counted = 0;
        let count = self.sizes.first_piece(self.stream);
        loop {
            let piece = self.piece(range, count, |id, _| id).await?;
            counted += piece.entries.len() as u64;
            let trimmed_past = piece.view.first.is_none_or(|first| first > id) && removed(view, &piece.view);
            let same = piece.view.added >= view.added && piece.view.last_generated >= view.last_generated;
            if trimmed_past || !same || piece.view.max_deleted != view.max_deleted {
                return Ok(None);
            }
            match piece.entries.last() {
                Some(last) if !piece.exhausted => range.low = last.successor(),
                _ => return Ok(Some(counted)),
            }
            if counted >= VERDICT_COUNT_ENTRIES_MAX {
                return Ok(None);
            }
        }
    }

    /// One transaction.
    async fn piece<T>(
        &mut self,
        range: Range,
        count: usize,
        mut each: impl FnMut(EntryId, &Fields<'_>) -> T,
    ) -> Result<Gathered<T>, Fault> {
        let mut commands = self.begin(5);
        commands
            .add_command(cmd("MULTI"))
            .add_command(self.info())
            .add_command(range.command(&self.key, count))
            .add_command(cmd("EXEC"));
        let asked_at = Instant::now();
        let replies = self
            .connection
            .exchange(&commands.get_packed_pipeline(), commands.len())
            .await?;
        metrics::histogram!("weir_redis_latency_seconds", "op" => "read")
            .record(asked_at.elapsed().as_secs_f64());
        let (info, list) = reply::executed_two(replies)?;
        let entries = reply::list(list, &mut each)?;
        Ok(Gathered {
            view: reply::view(info)?,
            exhausted: entries.len() < count,
            entries,
        })
    }

    /// What comes before all commands.
    fn begin(&self, capacity: usize) -> Pipeline {
        let mut commands = Pipeline::with_capacity(capacity);
        ask_first(&mut commands, self.asking);
        commands
    }

    fn info(&self) -> Cmd {
        cmd("XINFO").arg("STREAM").arg(&self.key).take()
    }
}

impl Found {
    fn new(id: EntryId, fields: &Fields<'_>) -> Self {
        Self {
            id,
            event: fields::decode(fields),
            size_bytes: fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
        }
    }

    /// The entry in its place.
    pub(super) fn into_entry(self, stream: &StreamName, ordinal: Option<Ordinal>) -> Arc<Entry> {
        let cursor = Cursor { id: self.id, ordinal };
        Arc::new(Entry::new(stream.clone(), cursor, self.event))
    }
}

impl Range {
    /// The rest of the range from `id` on, inclusive.
    fn from(self, id: EntryId) -> Self {
        if self.newest_first {
            Self { high: id, ..self }
        } else {
            Self { low: id, ..self }
        }
    }

    fn command(self, key: &str, count: usize) -> Cmd {
        let (name, from, to) = if self.newest_first {
            ("XREVRANGE", self.high, self.low)
        } else {
            ("XRANGE", self.low, self.high)
        };
        cmd(name)
            .arg(key)
            .arg(from.to_string())
            .arg(to.to_string())
            .arg("COUNT")
            .arg(count)
            .take()
    }
}

/// Whether something was removed between two views, or they are of different histories.
fn removed(before: &StreamView, now: &StreamView) -> bool {
    before.removed() != now.removed()
        || now.added < before.added
        || now.last_generated < before.last_generated
}

//! A stream that remembers what really happened to it, and readers that remember what they are owed.

use std::collections::{BTreeMap, HashSet};

use shared::verdict::{Assessment, Look, assess, compare, resume_at};
use shared::{Cursor, EntryId, Ordinal, StreamView, Verdict};

/// An added entry, whatever ID it was given: no two are the same one.
pub(crate) type Identity = u64;
/// A moment in the life of a stream: no two are the same one, and a restored snapshot goes on from its own.
type Moment = u64;

/// A stream as a server holds it, with its past.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    entries: BTreeMap<EntryId, Identity>,
    added: Vec<(Moment, EntryId, Identity)>,
    last: EntryId,
    max_deleted: EntryId,
    past: Vec<Moment>,
}

impl Stream {
    pub(crate) fn view(&self) -> StreamView {
        StreamView {
            added: self.added.len() as u64,
            length: self.entries.len() as u64,
            first: self.entries.keys().next().copied(),
            last_generated: self.last,
            max_deleted: self.max_deleted,
        }
    }

    fn after(&self, id: EntryId) -> impl Iterator<Item = (EntryId, Identity)> {
        self.entries
            .range(id.successor()..)
            .map(|(id, identity)| (*id, *identity))
    }

    fn present(&self, id: EntryId) -> bool {
        self.entries.contains_key(&id)
    }

    /// The cursor of a reader that stands at `id` and looks: what follows it is all that is still to come.
    fn cursor_at(&self, id: EntryId) -> Cursor {
        Cursor::new(id, (self.added.len() - self.after(id).count()) as u64)
    }

    fn nth(&self, nth: usize) -> Option<EntryId> {
        let len = self.entries.len();
        self.entries.keys().nth(nth.checked_rem(len)?).copied()
    }

    fn now(&self) -> Moment {
        self.past.last().copied().unwrap_or_default()
    }
}

/// A stream, what can be restored of it, and the clock of the server.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) stream: Stream,
    snapshots: Vec<Stream>,
    clock_ms: u64,
    moments: Moment,
}

impl World {
    fn happen(&mut self) -> Moment {
        self.moments += 1;
        self.stream.past.push(self.moments);
        self.moments
    }

    /// `XADD *`: the clock's time, or right above the last ID if the clock is behind it.
    pub(crate) fn add(&mut self, clock_step_ms: i64) {
        self.clock_ms = self.clock_ms.saturating_add_signed(clock_step_ms).max(1);
        let moment = self.happen();
        let stream = &mut self.stream;
        let id = EntryId::new(self.clock_ms, 0).max(stream.last.successor());
        stream.entries.insert(id, moment);
        stream.added.push((moment, id, moment));
        stream.last = id;
    }

    /// `XDEL` of one entry.
    pub(crate) fn delete(&mut self, nth: usize) {
        if let Some(id) = self.stream.nth(nth) {
            self.happen();
            self.stream.entries.remove(&id);
            self.stream.max_deleted = self.stream.max_deleted.max(id);
        }
    }

    /// `XTRIM MAXLEN`, and `XTRIM MINID` as well: both take from the front.
    pub(crate) fn trim_to(&mut self, keep: usize) {
        self.happen();
        while self.stream.entries.len() > keep {
            self.stream.entries.pop_first();
        }
    }

    /// `DEL` of the key.
    pub(crate) fn recreate(&mut self) {
        self.stream = Stream::default();
        self.happen();
    }

    /// What a replica or the disk holds from here on.
    pub(crate) fn snapshot(&mut self) {
        self.happen();
        self.snapshots.push(self.stream.clone());
    }

    /// A fail-over to what a lagging replica holds, whose clock may be behind.
    pub(crate) fn roll_back(&mut self, nth: usize, clock_back_ms: u64) {
        if let Some(at) = nth.checked_rem(self.snapshots.len()) {
            self.stream = self.snapshots[at].clone();
            self.clock_ms = self.clock_ms.saturating_sub(clock_back_ms);
            self.happen();
        }
    }
}

/// A reader, and what it is really owed.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) cursor: Cursor,
    /// When it last looked; `None`: it never did, so every history is its own.
    seen: Option<Moment>,
    /// What it was owed then.
    owed: HashSet<Identity>,
    /// It read on in a history that was not its own, and has not been told yet.
    astray: bool,
}

/// What became of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) verdict: Verdict,
    /// Whether the history is one that follows what the reader saw.
    pub(crate) own: bool,
    /// Whether the entries after the cursor were counted, one way or the other.
    pub(crate) counted: bool,
    /// How many entries that the reader was owed were removed; of its own history only.
    pub(crate) lost: u64,
}

impl Reader {
    /// A reader that has not looked yet.
    pub(crate) fn at_start() -> Self {
        Self {
            cursor: Cursor::START,
            seen: None,
            owed: HashSet::new(),
            astray: false,
        }
    }

    fn observing(stream: &Stream, cursor: Cursor) -> Self {
        if cursor == Cursor::START {
            return Self::at_start();
        }
        Self {
            cursor,
            seen: Some(stream.now()),
            owed: stream.after(cursor.id).map(|(_, identity)| identity).collect(),
            astray: false,
        }
    }

    pub(crate) fn at_head(stream: &Stream) -> Self {
        Self::observing(stream, stream.view().head())
    }

    pub(crate) fn at_front(stream: &Stream) -> Self {
        Self::observing(stream, stream.view().front())
    }

    /// One that has just read an entry.
    pub(crate) fn at_entry(stream: &Stream, nth: usize) -> Self {
        let entry = stream.nth(nth);
        entry.map_or_else(Self::at_start, |id| Self::observing(stream, stream.cursor_at(id)))
    }

    /// Whether this stream's past holds what the reader saw.
    fn owns(&self, stream: &Stream) -> bool {
        !self.astray && self.seen.is_none_or(|seen| stream.past.contains(&seen))
    }

    /// What it is owed by now: what it was, and what was added since.
    fn owed_by(&self, stream: &Stream) -> HashSet<Identity> {
        let since = self.seen.unwrap_or_default();
        let added = stream.added.iter().filter(|(moment, ..)| *moment > since);
        let added = added.map(|(.., identity)| *identity);
        self.owed.iter().copied().chain(added).collect()
    }

    /// Reads on without a look at what was removed, and counts what it reads.
    pub(crate) fn read(&mut self, stream: &Stream, limit: usize) {
        let page: Vec<_> = stream.after(self.cursor.id).take(limit).collect();
        if self.owns(stream) {
            self.owed = self.owed_by(stream);
            self.seen = Some(stream.now());
        } else {
            self.astray = true;
        }
        for (id, identity) in page {
            self.owed.remove(&identity);
            self.cursor = Cursor {
                id,
                ordinal: self.cursor.ordinal.map(|Ordinal(n)| Ordinal(n + 1)),
            };
        }
    }

    /// Reads one page as a reader should: the verdict first, then the entries.
    pub(crate) fn page(&mut self, stream: &Stream, limit: usize) -> Told {
        let view = stream.view();
        let own = self.owns(stream);
        let after = stream.after(self.cursor.id).count() as u64;
        let present = stream.present(self.cursor.id);
        // A page that reaches the tail counts by itself.
        let seen_after = (after <= limit as u64).then_some(after);
        let look = Look {
            present,
            after: seen_after,
        };
        let (verdict, counted) = match assess(self.cursor, &view, look) {
            Assessment::Settled(verdict) => (verdict, seen_after.is_some()),
            Assessment::Count => (compare(self.cursor, &view, present, after), true),
        };
        let owed = self.owed_by(stream);
        let existing: HashSet<Identity> = stream.entries.values().copied().collect();
        let told = Told {
            verdict,
            own,
            counted,
            lost: owed.difference(&existing).count() as u64,
        };
        let resumed = resume_at(self.cursor, verdict, &view);
        let settled = counted || verdict != Verdict::Continuous;
        if settled {
            // From here on this is its history, for all it can know.
            *self = Self::observing(stream, resumed);
        }
        self.read(stream, limit);
        if self.cursor.ordinal.is_none() {
            // A bare ID gets its count from the first look at where it has come to.
            let reached = self.cursor.id;
            *self = match stream.present(reached) {
                true => Self::observing(stream, stream.cursor_at(reached)),
                false => Self::at_head(stream),
            };
        }
        told
    }

    /// In a stream from which nothing was ever removed everything can be known: whether its cursor is a place in it.
    pub(crate) fn stands_in_whole(&self, stream: &Stream) -> Option<bool> {
        let Ordinal(n) = self.cursor.ordinal?;
        if stream.added.len() != stream.entries.len() {
            return None;
        }
        let Some(before) = usize::try_from(n).ok()?.checked_sub(1) else {
            return Some(self.cursor.id == EntryId::ZERO);
        };
        Some(
            stream
                .added
                .get(before)
                .is_some_and(|(_, id, _)| *id == self.cursor.id),
        )
    }

    /// Whether the cursor names an ID that this history never gave, in a place from which nothing was removed.
    pub(crate) fn stands_nowhere(&self, stream: &Stream) -> bool {
        let id = self.cursor.id;
        id > stream.last
            || (stream.max_deleted < id
                && stream.view().first.is_some_and(|first| first <= id)
                && !stream.present(id))
    }
}

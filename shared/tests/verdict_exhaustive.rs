//! The verdict arithmetic over every small history.
//!
//! All histories that a stream can have over IDs 1 to `IDS` are walked, with every reader that one of them can have.
//! That gives, without any reference to the arithmetic, the exact set of situations (what a reader and a server know
//! together) that come about when the history is the reader's own, and what the reader lost in each. Then:
//!
//! * in its own history a reader is told exactly what it lost, and never a reset;
//! * in another history it is told a reset, unless its own history could show the very same situation: then nothing
//!   could tell them apart.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use shared::verdict::{Assessment, Look, assess, compare, resume_at};
use shared::{Cursor, EntryId, StreamView, Verdict};

/// The highest ID. Seven leave room between IDs, so that a history can be found that looks like another.
const IDS: u8 = 7;

/// A stream: sets of IDs as bits, bit `n` for ID `n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Stream {
    added: u8,
    existing: u8,
    last: u8,
    max_deleted: u8,
}

/// A reader in it: its cursor `(id, ordinal)`, and the entries it is owed: those it neither read nor was told of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Reader {
    id: u8,
    ordinal: u8,
    owed: u8,
}

/// Everything that can be known when a reader comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Situation {
    cursor: Cursor,
    view: StreamView,
    present: bool,
    after: u64,
}

fn bit(id: u8) -> u8 {
    1 << id
}

fn above(id: u8) -> u8 {
    !(bit(id) | (bit(id) - 1))
}

fn entry_id(id: u8) -> EntryId {
    EntryId::new(u64::from(id), 0)
}

fn lowest(set: u8) -> Option<u8> {
    (set != 0).then(|| u8::try_from(set.trailing_zeros()).unwrap())
}

impl Stream {
    /// Everything that can happen to it next, within one history.
    fn steps(self) -> Vec<Self> {
        let mut next = Vec::new();
        for id in self.last + 1..=IDS {
            next.push(Self {
                added: self.added | bit(id),
                existing: self.existing | bit(id),
                last: id,
                ..self
            });
        }
        for id in (1..=IDS).filter(|id| self.existing & bit(*id) != 0) {
            next.push(Self {
                existing: self.existing & !bit(id),
                max_deleted: self.max_deleted.max(id),
                ..self
            });
            // Trimming takes everything up to an entry.
            next.push(Self {
                existing: self.existing & above(id),
                ..self
            });
        }
        next
    }

    fn view(self) -> StreamView {
        StreamView {
            added: u64::from(self.added.count_ones()),
            length: u64::from(self.existing.count_ones()),
            first: lowest(self.existing).map(entry_id),
            last_generated: entry_id(self.last),
            max_deleted: entry_id(self.max_deleted),
        }
    }

    /// The readers that can begin in it: before everything, at its front, at an entry, at its head.
    fn observers(self) -> Vec<Reader> {
        let count = |set: u8| u8::try_from(set.count_ones()).unwrap();
        let at = |id: u8| {
            let owed = self.existing & above(id);
            Reader {
                id,
                ordinal: count(self.added) - count(owed),
                owed,
            }
        };
        let start = Reader {
            id: 0,
            ordinal: 0,
            owed: self.added,
        };
        let mut readers = vec![start, at(0), at(self.last)];
        readers.extend((1..=IDS).filter(|id| self.existing & bit(*id) != 0).map(at));
        readers
    }

    fn situation(self, reader: Reader) -> Situation {
        Situation {
            cursor: cursor(reader),
            view: self.view(),
            present: self.existing & bit(reader.id) != 0,
            after: u64::from((self.existing & above(reader.id)).count_ones()),
        }
    }
}

fn cursor(reader: Reader) -> Cursor {
    Cursor::new(entry_id(reader.id), u64::from(reader.ordinal))
}

/// What the reader knows next: it goes on after a gap it was told, or it reads the next entry and counts on without
/// looking whether something was removed under way.
fn reader_steps(stream: Stream, reader: Reader) -> Vec<Reader> {
    let following = stream.existing & above(reader.id);
    let lost = (reader.owed & !stream.existing).count_ones();
    let told = Reader {
        ordinal: reader.ordinal + u8::try_from(lost).unwrap(),
        owed: reader.owed & stream.existing,
        ..reader
    };
    let read = lowest(following).map(|id| Reader {
        id,
        ordinal: reader.ordinal + 1,
        owed: reader.owed & !bit(id),
    });
    std::iter::once(told).chain(read).collect()
}

/// Every stream with every reader whose own history it is.
fn own_histories() -> HashSet<(Stream, Reader)> {
    let mut seen = HashSet::new();
    let mut streams = HashSet::new();
    let mut open = Vec::new();
    let mut todo = vec![Stream::default()];
    while let Some(stream) = todo.pop() {
        if streams.insert(stream) {
            open.extend(stream.observers().into_iter().map(|reader| (stream, reader)));
            todo.extend(stream.steps());
        }
    }
    while let Some((stream, reader)) = open.pop() {
        if !seen.insert((stream, reader)) {
            continue;
        }
        open.extend(reader_steps(stream, reader).into_iter().map(|r| (stream, r)));
        for next in stream.steps() {
            let owed = reader.owed | (next.added & !stream.added);
            open.push((next, Reader { owed, ..reader }));
        }
    }
    seen
}

/// What can be known without counting.
type Glance = (Cursor, StreamView, bool);

fn glance(stream: Stream, reader: Reader) -> Glance {
    let situation = stream.situation(reader);
    (situation.cursor, stream.view(), situation.present)
}

/// Whether as many IDs as were added fit anywhere between those in sight, as they nearly always do in earnest.
fn roomy((cursor, view, _): Glance) -> bool {
    let sight = [cursor.id, view.last_generated, view.max_deleted];
    view.added <= 4 && sight.into_iter().chain(view.first).all(|id| id.ms % 2 == 0)
}

/// Whether the reader is sent on its way without a count, for the page that reaches the tail to confirm.
fn provisional(glance: Glance) -> bool {
    let (cursor, view, present) = glance;
    let look = Look { present, after: None };
    assess(cursor, &view, look) == Assessment::Settled(Verdict::Continuous)
}

/// The verdict as a reader finds it: without the count if it can be, then with it; both must agree.
fn verdict(stream: Stream, reader: Reader) -> Verdict {
    let situation = stream.situation(reader);
    let Situation {
        cursor,
        view,
        present,
        after,
    } = situation;
    let counted = compare(cursor, &view, present, after);
    let full = Look {
        present,
        after: Some(after),
    };
    assert_eq!(
        assess(cursor, &view, full),
        Assessment::Settled(counted),
        "{situation:?}"
    );
    let glance = Look { present, after: None };
    match assess(cursor, &view, glance) {
        // The first is provisional.
        Assessment::Settled(Verdict::Continuous) | Assessment::Count => {}
        Assessment::Settled(verdict) => assert_eq!(verdict, counted, "{situation:?}"),
    }
    counted
}

#[test]
fn every_small_history_gets_the_verdict_that_can_be_known() {
    let own = own_histories();
    let mut known: HashMap<Situation, Verdict> = HashMap::new();
    let mut hopeful = HashSet::new();
    for (stream, reader) in &own {
        let lost = u64::from((reader.owed & !stream.existing).count_ones());
        let truth = if lost == 0 {
            Verdict::Continuous
        } else {
            Verdict::Gap { lost }
        };
        let situation = stream.situation(*reader);
        assert_eq!(verdict(*stream, *reader), truth, "{stream:?} {reader:?}");
        assert_eq!(*known.entry(situation).or_insert(truth), truth, "{situation:?}");
    }
    for (stream, reader) in &own {
        if known[&stream.situation(*reader)] == Verdict::Continuous {
            hopeful.insert(glance(*stream, *reader));
        }
    }
    // After a rollback or a re-creation any stream can meet any cursor.
    let streams: HashSet<Stream> = own.iter().map(|(stream, _)| *stream).collect();
    let cursors = (0..=IDS).flat_map(|id| (0..=IDS + 1).map(move |ordinal| (id, ordinal)));
    let mut resets = 0;
    for ((id, ordinal), stream) in cursors.flat_map(|c| streams.iter().map(move |s| (c, s))) {
        let reader = Reader { id, ordinal, owed: 0 };
        let situation = stream.situation(reader);
        let expected = known.get(&situation).copied().unwrap_or(Verdict::Reset);
        assert_eq!(verdict(*stream, reader), expected, "{situation:?}");
        let glance = glance(*stream, reader);
        let sent_on_in_vain = provisional(glance) && !hopeful.contains(&glance);
        assert!(!sent_on_in_vain || !roomy(glance), "{situation:?}");
        resets += usize::from(expected == Verdict::Reset);
    }
    assert!(streams.len() > 1_000 && known.len() > 1_000 && resets > 1_000);
}

#[test]
fn after_a_verdict_a_reader_is_not_told_the_same_again() {
    for (stream, reader) in own_histories() {
        let view = stream.view();
        let told = verdict(stream, reader);
        let resumed = resume_at(cursor(reader), told, &view);
        let situation = stream.situation(reader);
        let again = compare(resumed, &view, situation.present, situation.after);
        assert_eq!(again, Verdict::Continuous, "{stream:?} {reader:?}");
    }
}

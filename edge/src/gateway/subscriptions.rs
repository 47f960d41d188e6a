//! What one socket follows, and how far its client has come: what its record and its offsets are made of.

use shared::{Cursor, StreamName};

use super::offset::{self, Positions};
use super::record::{FilterText, Record, RecordedSubscription};

/// What one socket follows.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Subscription>,
    /// Given next; never given again, also when what has it is gone.
    next_number: u64,
}

/// A stream that is followed.
#[derive(Debug)]
struct Subscription {
    number: u64,
    stream: StreamName,
    /// Where it began: where it goes on for a client that presents no position in it.
    start: Cursor,
    /// Up to where everything has been said.
    position: Cursor,
    filter: Option<Box<FilterText>>,
}

impl Subscriptions {
    /// How many streams are followed.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether none is.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether this stream is followed.
    pub(crate) fn contains(&self, stream: &StreamName) -> bool {
        self.list.iter().any(|known| known.stream == *stream)
    }

    /// Up to where everything has been said of this stream, if it is followed with this filter.
    pub(crate) fn standing(&self, stream: &StreamName, filter: &FilterText) -> Option<Cursor> {
        let known = self.list.iter().find(|known| known.stream == *stream)?;
        let same = match &known.filter {
            Some(known) => **known == *filter,
            None => *filter == FilterText::default(),
        };
        same.then_some(known.position)
    }

    /// A stream is followed from `start` on; a subscription to it that was there is over.
    pub(crate) fn add(&mut self, stream: StreamName, start: Cursor, filter: FilterText) {
        self.remove(&stream);
        self.list.push(Subscription {
            number: self.next_number,
            stream,
            start,
            position: start,
            filter: (filter != FilterText::default()).then(|| Box::new(filter)),
        });
        self.next_number += 1;
    }

    /// A stream is not followed any more.
    pub(crate) fn remove(&mut self, stream: &StreamName) {
        self.list.retain(|known| known.stream != *stream);
        self.list.shrink_to_fit();
    }

    /// Everything up to `cursor` has been said of a stream.
    pub(crate) fn advance(&mut self, stream: &StreamName, cursor: Cursor) {
        if let Some(known) = self.list.iter_mut().find(|known| known.stream == *stream) {
            known.position = cursor;
        }
    }

    /// Appends the offset of a client that has got everything that has been said.
    pub(crate) fn push_offset(&self, sid: &str, out: &mut Vec<u8>) {
        let moved = self.list.iter().filter(|known| known.position != known.start);
        offset::push(out, sid, moved.map(|known| (known.number, known.position)));
    }

    /// The record of a session that follows all this, except for `without`.
    pub(crate) fn record(&self, sid: &str, namespace: &str, without: &[StreamName]) -> Record {
        let stays = |known: &&Subscription| !without.contains(&known.stream);
        let recorded = |known: &Subscription| RecordedSubscription {
            number: known.number,
            stream: known.stream.clone(),
            start: known.start,
            filter: known.filter.as_deref().cloned().unwrap_or_default(),
        };
        let subscriptions = self.list.iter().filter(stays).map(recorded).collect();
        Record::new(sid, namespace, self.next_number, subscriptions)
    }

    /// What a record says is followed, by a client that has come as far as its offset says.
    pub(crate) fn restore(record: Record, positions: &Positions) -> Self {
        let restored = |recorded: RecordedSubscription| Subscription {
            number: recorded.number,
            stream: recorded.stream,
            start: recorded.start,
            position: positions.get(recorded.number).unwrap_or(recorded.start),
            filter: (recorded.filter != FilterText::default()).then(|| Box::new(recorded.filter)),
        };
        Self {
            list: record.subscriptions.into_iter().map(restored).collect(),
            next_number: record.next_number,
        }
    }

    /// The streams, where each goes on, and the filter.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&StreamName, Cursor, FilterText)> {
        self.list.iter().map(|known| {
            let filter = known.filter.as_deref().cloned().unwrap_or_default();
            (&known.stream, known.position, filter)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashMap;

    use proptest::prelude::*;
    use shared::EntryId;

    use super::*;

    const SID: &str = "k3Jx9aQwRtYuIoPasDfG";

    fn cursor(n: u64) -> Cursor {
        Cursor::new(EntryId::new(n, 0), n)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(usize, u64),
        Remove(usize),
        Advance(usize, u64),
        /// The client has dealt with everything that was said.
        Seen,
        /// Another edge goes on, from the record and the client's offset.
        Restore,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0..4usize, 1..9u64).prop_map(|(stream, at)| Step::Add(stream, at)),
            1 => (0..4usize).prop_map(Step::Remove),
            4 => (0..4usize, 1..9u64).prop_map(|(stream, by)| Step::Advance(stream, by)),
            2 => Just(Step::Seen),
            1 => Just(Step::Restore),
        ]
    }

    proptest! {
        /// What a client has dealt with is never said again, and what it has not is never left out, whatever it
        /// followed, left and followed again in between.
        #[test]
        fn a_session_goes_on_exactly_where_its_client_stands(steps in prop::collection::vec(step(), 0..40)) {
            let names: Vec<StreamName> = ["a", "b", "c", "d"].iter().map(|n| n.parse().unwrap()).collect();
            let mut subscriptions = Subscriptions::default();
            let mut seen_offset: Option<String> = None;
            // By stream: where the client stands, and what it has been told.
            let mut seen: HashMap<usize, u64> = HashMap::new();
            let mut told: HashMap<usize, u64> = HashMap::new();
            for step in steps {
                match step {
                    Step::Add(stream, at) => {
                        subscriptions.add(names[stream].clone(), cursor(at), FilterText::default());
                        seen.insert(stream, at);
                        told.insert(stream, at);
                    }
                    Step::Remove(stream) => {
                        subscriptions.remove(&names[stream]);
                        seen.remove(&stream);
                        told.remove(&stream);
                    }
                    Step::Advance(stream, by) => {
                        if let Some(at) = told.get_mut(&stream) {
                            *at += by;
                            subscriptions.advance(&names[stream], cursor(*at));
                        }
                    }
                    Step::Seen => {
                        let mut offset = Vec::new();
                        subscriptions.push_offset(SID, &mut offset);
                        seen_offset = Some(String::from_utf8(offset).unwrap());
                        seen = told.clone();
                    }
                    Step::Restore => {
                        let record = Record::decode(&subscriptions.record(SID, "/", &[]).encode()).unwrap();
                        let positions = seen_offset.as_deref().map(|text| offset::parse(text, SID).unwrap());
                        subscriptions = Subscriptions::restore(record, &positions.unwrap_or_default());
                        let goes_on: HashMap<usize, Cursor> = subscriptions
                            .iter()
                            .map(|(stream, at, _)| (names.iter().position(|n| n == stream).unwrap(), at))
                            .collect();
                        let expected = seen.iter().map(|(stream, at)| (*stream, cursor(*at))).collect();
                        prop_assert_eq!(&goes_on, &expected);
                        told = seen.clone();
                    }
                }
            }
        }
    }

    #[test]
    fn a_record_can_be_made_without_what_is_about_to_be_left() {
        let mut subscriptions = Subscriptions::default();
        let names: Vec<StreamName> = ["a", "b"].iter().map(|n| n.parse().unwrap()).collect();
        for name in &names {
            subscriptions.add(name.clone(), Cursor::START, FilterText::default());
        }
        let record = subscriptions.record(SID, "/", &names[..1]);
        assert_eq!(record.subscriptions.len(), 1);
        assert_eq!((record.subscriptions[0].number, record.next_number), (1, 2));
        assert_eq!(subscriptions.len(), 2);
    }
}

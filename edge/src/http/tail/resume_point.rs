//! Where a client stands, in the form in which it is told: the cursor of one stream, or one token for several.
//!
//! A merged tail tells a new token with every event. So the token is kept as text, and an event changes only the
//! digits of its own stream in it.

use shared::{Cursor, Ordinal, StreamName};

/// The position up to which a client has been told everything.
#[derive(Debug)]
pub(super) enum ResumePoint {
    /// In a tail of one stream.
    One(Cursor),
    /// In a merged tail.
    Many(MergedCursor),
}

impl ResumePoint {
    /// The client has been told everything of `stream` up to `cursor`. Returns how many entries that is further on;
    /// 1 where it cannot be told.
    pub(super) fn advance(&mut self, stream: &StreamName, cursor: Cursor) -> u64 {
        match self {
            Self::One(own) => {
                let passed = entries_between(*own, cursor);
                *own = cursor;
                passed
            }
            Self::Many(merged) => merged.advance(stream, cursor),
        }
    }

    /// Appends the text that resumes here.
    pub(super) fn push_text(&self, out: &mut Vec<u8>) {
        match self {
            Self::One(cursor) => cursor.push_to(out),
            Self::Many(merged) => out.extend_from_slice(merged.text()),
        }
    }
}

fn entries_between(before: Cursor, after: Cursor) -> u64 {
    match (before.ordinal, after.ordinal) {
        (Some(Ordinal(before)), Some(Ordinal(after))) => after.saturating_sub(before),
        _ => u64::from(before != after),
    }
}

/// A [`shared::MultiCursor`] as text that is changed in place.
#[derive(Debug, Default)]
pub(super) struct MergedCursor {
    text: Vec<u8>,
    /// In the order of the names, which is their order in the text.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    stream: StreamName,
    cursor: Cursor,
    /// Where in the text its cursor stands.
    start: usize,
    end: usize,
}

impl MergedCursor {
    /// A token for these positions. Of a stream given twice the last position counts.
    pub(super) fn new(mut positions: Vec<(StreamName, Cursor)>) -> Self {
        positions.sort_by(|a, b| a.0.cmp(&b.0));
        let mut merged = Self::default();
        for (stream, cursor) in positions {
            if merged.parts.last().is_some_and(|last| last.stream == stream) {
                merged.advance(&stream, cursor);
                continue;
            }
            if !merged.text.is_empty() {
                merged.text.push(b',');
            }
            merged.text.extend_from_slice(stream.as_str().as_bytes());
            merged.text.push(b'~');
            let start = merged.text.len();
            cursor.push_to(&mut merged.text);
            let end = merged.text.len();
            merged.parts.push(Part {
                stream,
                cursor,
                start,
                end,
            });
        }
        merged
    }

    /// Sets the position in `stream`; a stream that the token does not cover is left alone. Returns how many
    /// entries that is further on, as [`ResumePoint::advance`] does.
    fn advance(&mut self, stream: &StreamName, cursor: Cursor) -> u64 {
        let Ok(index) = self.parts.binary_search_by(|part| part.stream.cmp(stream)) else {
            return 0;
        };
        let passed = entries_between(self.parts[index].cursor, cursor);
        self.parts[index].cursor = cursor;
        self.write_digits(index);
        passed
    }

    fn write_digits(&mut self, index: usize) {
        // The new digits go to the end of the text first, which is where there is room, and from there into place.
        let Part {
            cursor, start, end, ..
        } = self.parts[index];
        let staged = self.text.len();
        cursor.push_to(&mut self.text);
        let len = self.text.len() - staged;
        if len == end - start {
            self.text.copy_within(staged.., start);
            self.text.truncate(staged);
            return;
        }
        let digits = self.text.split_off(staged);
        self.text.splice(start..end, digits);
        self.parts[index].end = start + len;
        for part in &mut self.parts[index + 1..] {
            part.start = part.start + len - (end - start);
            part.end = part.end + len - (end - start);
        }
    }

    /// The token.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use shared::{EntryId, MultiCursor, Ordinal};

    use super::*;

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        let number = prop_oneof![0..12u64, any::<u64>()];
        (number.clone(), number.clone(), proptest::option::of(number)).prop_map(|(ms, seq, n)| Cursor {
            id: EntryId::new(ms, seq),
            ordinal: n.map(Ordinal),
        })
    }

    proptest! {
        #[test]
        fn the_text_is_always_that_of_a_multi_cursor(
            starts in proptest::collection::vec(("[a-c:/]{1,3}", any_cursor()), 1..8),
            steps in proptest::collection::vec((any::<proptest::sample::Index>(), any_cursor()), 0..20),
        ) {
            let starts: Vec<(StreamName, Cursor)> =
                starts.into_iter().map(|(name, cursor)| (name.parse().unwrap(), cursor)).collect();
            let mut model: MultiCursor = starts.iter().cloned().collect();
            let mut merged = MergedCursor::new(starts.clone());
            prop_assert_eq!(std::str::from_utf8(merged.text()).unwrap(), model.to_string());
            for (index, cursor) in steps {
                let stream = &starts[index.index(starts.len())].0;
                merged.advance(stream, cursor);
                model.set(stream.clone(), cursor);
                prop_assert_eq!(std::str::from_utf8(merged.text()).unwrap(), model.to_string());
            }
            merged.advance(&"zz".parse().unwrap(), Cursor::START);
            prop_assert_eq!(std::str::from_utf8(merged.text()).unwrap().parse::<MultiCursor>().unwrap(), model);
        }
    }
}

//! Readers who are ahead: they have read in the log what the engine has yet to publish, and wait in the ring for what
//! follows that. Where they stand is kept until the engine gets there, because the history may change in between: an
//! engine that never saw the entries which are gone would not notice, and neither would those readers.

use std::sync::Arc;

use shared::limits::READERS_AHEAD_MAX;
use shared::{Cursor, Entry};

use super::{Channel, lock};

/// Where readers stand beyond the head. Bounded: who finds it full reads the log again instead of waiting in the ring.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Each with the number of those before it.
    places: Vec<(Cursor, u64)>,
    count: u64,
}

/// Says which readers were ahead at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AheadMark(u64);

impl Ahead {
    /// A reader stands at `cursor`; `false` if there are too many already.
    pub(super) fn note(&mut self, cursor: Cursor) -> bool {
        if self.places.iter().any(|(place, _)| *place == cursor) {
            return true;
        }
        if self.places.len() >= READERS_AHEAD_MAX {
            return false;
        }
        self.places.push((cursor, self.count));
        self.count += 1;
        true
    }

    /// These entries follow the head. Returns whether they are the history that the readers have read: whoever is not
    /// beyond them must stand at one of them.
    pub(super) fn agrees(&mut self, entries: &[Arc<Entry>]) -> bool {
        let Some(last) = entries.last() else { return true };
        let mut agrees = true;
        self.retain(|place| {
            if place.id > last.id() {
                return true;
            }
            let at = entries.binary_search_by_key(&place.id, |entry| entry.id());
            agrees &= at.is_ok_and(|at| same(place, entries[at].cursor));
            false
        });
        agrees
    }

    /// Everybody reads the log again.
    pub(super) fn clear(&mut self) {
        self.places = Vec::new();
    }

    fn retain(&mut self, mut keep: impl FnMut(Cursor) -> bool) {
        self.places.retain(|(place, _)| keep(*place));
        if self.places.is_empty() {
            self.places = Vec::new();
        }
    }
}

/// A place without an ordinal is known by its ID alone.
fn same(place: Cursor, entry: Cursor) -> bool {
    place.id == entry.id && (place.ordinal.is_none() || place.ordinal == entry.ordinal)
}

impl Channel {
    /// Whether readers stand beyond the head.
    pub(crate) fn has_ahead(&self) -> bool {
        !lock(&self.state).ahead.places.is_empty()
    }

    /// Who is ahead by now. To be taken before the log is asked for the head that is then given to
    /// [`Channel::confirms`].
    pub(crate) fn ahead(&self) -> AheadMark {
        AheadMark(lock(&self.state).ahead.count)
    }

    /// Engine: the log ends at `head`, as of after `mark`. Returns whether everybody who was ahead then can have read
    /// what they have read in this history.
    pub(crate) fn confirms(&self, head: Cursor, mark: AheadMark) -> bool {
        let mut state = lock(&self.state);
        let beyond =
            |place: Cursor| place.id > head.id || (place.ordinal.is_some() && place.ordinal > head.ordinal);
        let asked = |number: u64| number < mark.0;
        let ahead = &mut state.ahead;
        if ahead
            .places
            .iter()
            .any(|(place, number)| asked(*number) && beyond(*place))
        {
            return false;
        }
        // The last entry may have been deleted singly: then it is never published.
        ahead.retain(|place| !same(place, head));
        true
    }
}

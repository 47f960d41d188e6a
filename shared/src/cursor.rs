//! Cursors: resume tokens that can tell the truth.
//!
//! A cursor on one stream is `<entry ID>.<ordinal>`, for example `1700000000000-0.42`; a bare entry ID is one
//! without an ordinal. A cursor over several streams lists them: `doc:1~1700000000000-0.42,log:api~0-0.0`.
//! Clients treat both as opaque; neither contains a space, a quote or a backslash.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::id::decimal;
use crate::limits::STREAMS_PER_CURSOR_MAX;
use crate::{EntryId, Ordinal, StreamName};

/// A position in one stream: everything up to and including `id` has been seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The last entry seen, or [`EntryId::ZERO`] before the first.
    pub id: EntryId,
    /// How many of the entries ever added were behind the reader there. `None`: unknown (a bare entry ID).
    ///
    /// It belongs to a place that was observed, never to an ID that was made up; see [`crate::verdict`].
    pub ordinal: Option<Ordinal>,
}

impl Cursor {
    /// Before the first entry that was ever added.
    pub const START: Self = Self {
        id: EntryId::ZERO,
        ordinal: Some(Ordinal(0)),
    };

    /// A cursor whose ordinal is known.
    pub const fn new(id: EntryId, ordinal: u64) -> Self {
        Self {
            id,
            ordinal: Some(Ordinal(ordinal)),
        }
    }

    /// A bare entry ID.
    pub const fn bare(id: EntryId) -> Self {
        Self { id, ordinal: None }
    }

    /// Appends its text, see [`EntryId::push_to`].
    pub fn push_to(self, out: &mut Vec<u8>) {
        self.id.push_to(out);
        if let Some(Ordinal(ordinal)) = self.ordinal {
            out.push(b'.');
            out.extend_from_slice(itoa::Buffer::new().format(ordinal).as_bytes());
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            Some(Ordinal(n)) => write!(f, "{}.{n}", self.id),
            None => fmt::Display::fmt(&self.id, f),
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, ordinal) = match text.split_once('.') {
            Some((id, n)) => (
                id,
                Some(Ordinal(
                    decimal(n.as_bytes()).map_err(|_| CursorError::Malformed)?,
                )),
            ),
            None => (text, None),
        };
        Ok(Self {
            id: id.parse().map_err(|_| CursorError::Malformed)?,
            ordinal,
        })
    }
}

/// Positions in several streams, as one token. An empty one has no token: its text is empty and not read back.
///
/// Who fills one keeps to [`STREAMS_PER_CURSOR_MAX`] streams; a token of more is not read back either.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MultiCursor(BTreeMap<StreamName, Cursor>);

impl MultiCursor {
    /// The position in `stream`, if this cursor covers it.
    pub fn get(&self, stream: &StreamName) -> Option<Cursor> {
        self.0.get(stream).copied()
    }

    /// Sets the position in `stream`.
    pub fn set(&mut self, stream: StreamName, cursor: Cursor) {
        self.0.insert(stream, cursor);
    }

    /// Forgets `stream`.
    pub fn remove(&mut self, stream: &StreamName) {
        self.0.remove(stream);
    }

    /// The streams and positions, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&StreamName, Cursor)> {
        self.0.iter().map(|(name, cursor)| (name, *cursor))
    }

    /// How many streams are covered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no stream is covered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(StreamName, Cursor)> for MultiCursor {
    fn from_iter<I: IntoIterator<Item = (StreamName, Cursor)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl fmt::Display for MultiCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, cursor)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}~{cursor}")?;
        }
        Ok(())
    }
}

impl FromStr for MultiCursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut positions = BTreeMap::new();
        for part in text.split(',') {
            let (name, cursor) = part.split_once('~').ok_or(CursorError::Malformed)?;
            let name = name.parse().map_err(|_| CursorError::Malformed)?;
            if positions.insert(name, cursor.parse()?).is_some() {
                return Err(CursorError::Malformed);
            }
            if positions.len() > STREAMS_PER_CURSOR_MAX {
                return Err(CursorError::TooMany);
            }
        }
        Ok(Self(positions))
    }
}

/// Why a text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Neither a cursor nor an entry ID.
    #[error("not a cursor: pass back the \"cursor\" of an event or an answer, or an entry ID, unchanged")]
    Malformed,
    /// More streams than one cursor may cover.
    #[error("a cursor covers at most {STREAMS_PER_CURSOR_MAX} streams")]
    TooMany,
}

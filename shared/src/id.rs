//! Entry IDs (a Redis stream ID: milliseconds and a sequence number) and ordinals.

use std::fmt;
use std::str::FromStr;

/// The ID of a stream entry, as Redis gives it: `<milliseconds since 1970>-<sequence>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Milliseconds since the Unix epoch, by the clock of the server that added the entry.
    pub ms: u64,
    /// Sequence number among the entries of one millisecond.
    pub seq: u64,
}

impl EntryId {
    /// Below every entry: the position before the first one.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
    /// The highest ID there can be.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// An ID from its two halves.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// Appends its text, as `Display` writes it: a good deal cheaper, for what is written once for each delivery.
    pub fn push_to(self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(self.ms).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(self.seq).as_bytes());
    }

    /// The ID right below this one; `ZERO` stays itself.
    pub const fn predecessor(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => self,
            (ms, 0) => Self::new(ms - 1, u64::MAX),
            (ms, seq) => Self::new(ms, seq - 1),
        }
    }

    /// The ID right above this one; `MAX` stays itself.
    pub const fn successor(self) -> Self {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => self,
            (ms, u64::MAX) => Self::new(ms + 1, 0),
            (ms, seq) => Self::new(ms, seq + 1),
        }
    }

    /// Reads the ASCII form from bytes, as it stands in a Redis reply.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryIdError> {
        let mut halves = bytes.splitn(2, |b| *b == b'-');
        let ms = decimal(halves.next().unwrap_or_default())?;
        let seq = halves.next().map_or(Ok(0), decimal)?;
        Ok(Self { ms, seq })
    }
}

/// A plain decimal number without sign or leading `+`, as Redis writes it.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, EntryIdError> {
    if digits.is_empty() || digits.len() > 20 {
        return Err(EntryIdError);
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        let value = u64::from(digit.wrapping_sub(b'0'));
        if value > 9 {
            return Err(EntryIdError);
        }
        sum.checked_mul(10)
            .and_then(|s| s.checked_add(value))
            .ok_or(EntryIdError)
    })
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EntryId {
    type Err = EntryIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes())
    }
}

/// The text is not an entry ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an entry ID: expected <milliseconds>-<sequence>, for example 1700000000000-0")]
pub struct EntryIdError;

/// Position of an entry in the count of all entries ever added to its stream: the first has 1.
///
/// It is `entries-added` of Redis at the moment the entry was added, as far as a reader could observe it;
/// see [`crate::verdict`] for what it proves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ordinal(pub u64);

//! Stream names and patterns over them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::NAME_BYTES_MAX;

/// The name of a stream: 1 to 200 bytes of ASCII letters, digits and `. _ - : /`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks length and alphabet; a `star` is allowed in patterns.
fn check(text: &str, star: bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    let allowed = |c: &char| match c {
        '.' | '_' | '-' | ':' | '/' => true,
        '*' => star,
        c => c.is_ascii_alphanumeric(),
    };
    match text.chars().zip(1..).find(|(c, _)| !allowed(c)) {
        None => Ok(()),
        Some((found, _)) if star => Err(NameError::PatternCharacter(found)),
        Some((found, place)) => Err(NameError::Character { found, place }),
    }
}

impl FromStr for StreamName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text, false)?;
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for StreamName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a stream name or a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("the stream name is empty")]
    Empty,
    /// More bytes than [`NAME_BYTES_MAX`].
    #[error("a stream name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the alphabet of names.
    #[error(
        "a stream name consists of letters, digits and . _ - : / but character {place} of this one is {found:?}"
    )]
    Character {
        /// The character.
        found: char,
        /// Which one it is, counted from 1.
        place: usize,
    },
    /// A character outside the alphabet of patterns.
    #[error("a pattern of stream names consists of letters, digits and . _ - : / * but this one has {0:?}")]
    PatternCharacter(char),
}

/// Whether `pattern`, in which `*` stands for any run of characters, covers `text` from its first to its last character.
pub fn covers(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A pattern over stream names: `*` stands for any run of characters, everything else for itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StreamPattern(Box<str>);

impl StreamPattern {
    /// Whether the pattern covers `name` from its first to its last character.
    pub fn matches(&self, name: &StreamName) -> bool {
        covers(&self.0, name.as_str())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamPattern {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text, true)?;
        Ok(Self(text.into()))
    }
}

impl Serialize for StreamPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StreamPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

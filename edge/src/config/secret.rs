//! Passwords and other texts that nobody may see: they are printed as `***`, and an error about one does not repeat it.

use std::fmt;
use std::path::Path;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use shared::limits::SECRET_BYTES_MAX;

/// What is printed of a secret.
const HIDDEN: &str = "***";

/// What is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret, for the one who uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Secret {
    type Err = SecretError;
    fn from_str(text: &str) -> Result<Self, SecretError> {
        match (1..=SECRET_BYTES_MAX).contains(&text.len()) {
            true => Ok(Self(text.to_owned())),
            false => Err(SecretError),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Knows numbers too: the usual error about one would repeat it.
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret in quotes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("a secret is written in quotes"))
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom("a secret is written in quotes"))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("a secret is written in quotes"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The text is empty or too long for a secret. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 1 to {SECRET_BYTES_MAX} bytes")]
pub struct SecretError;

/// The secret that `option` holds, or that stands in the file which `option` with `_file` names; white space around
/// it does not count.
pub(super) fn read(
    option: &str,
    secret: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Option<Secret>, String> {
    let Some(path) = file else {
        return Ok(secret.cloned());
    };
    if secret.is_some() {
        return Err(format!("{option} and {option}_file exclude each other"));
    }
    let wrong = |why: &dyn fmt::Display| format!("{option}_file: {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    text.trim().parse().map(Some).map_err(|e| wrong(&e))
}

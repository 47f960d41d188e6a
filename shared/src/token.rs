//! Names that are drawn at random: of edges, and of sessions that may be taken up again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::limits::{SESSION_ID_BYTES_MAX, SESSION_ID_BYTES_MIN};

/// Characters of an [`EdgeId`].
const EDGE_ID_BYTES: usize = 8;

/// The alphabet of Base64 for URLs (RFC 4648, section 5), of which all of these names are made.
fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The name of one edge process: 8 characters of letters, digits, `-` and `_`. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId([u8; EDGE_ID_BYTES]);

impl EdgeId {
    /// The name that random bytes make.
    pub fn from_random(bytes: [u8; 6]) -> Self {
        let mut text = [0; EDGE_ID_BYTES];
        // Six bytes take exactly eight characters, so it has no way to fail.
        let _ = BASE64URL.encode_slice(bytes, &mut text);
        Self(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        // Both ways to make one leave only ASCII in it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for EdgeId {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; EDGE_ID_BYTES] = text.as_bytes().try_into().map_err(|_| TokenError)?;
        bytes
            .iter()
            .all(|byte| is_base64url(*byte))
            .then_some(Self(bytes))
            .ok_or(TokenError)
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name under which a session is kept: 20 to 64 characters of letters, digits, `-` and `_`. Whoever knows it may take
/// the session up, so it is a secret and prints redacted. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The name that random bytes make: 24 characters.
    pub fn from_random(bytes: [u8; 18]) -> Self {
        Self(BASE64URL.encode(bytes).into())
    }

    /// The name as text, for the client that owns the session and for the log's keys.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (SESSION_ID_BYTES_MIN..=SESSION_ID_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(is_base64url) {
            Ok(Self(text.into()))
        } else {
            Err(TokenError)
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// The text is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name that an edge has given")]
pub struct TokenError;

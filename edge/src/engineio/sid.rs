//! The ID of a session. Whoever knows it may speak for the client: it is a secret between client and edge.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use shared::EdgeId;

/// Characters of the name of the edge, in front.
const EDGE_BYTES: usize = 8;
/// Random bytes, so many that an ID cannot be guessed; each three are four characters.
pub(crate) const RANDOM_BYTES: usize = 12;
/// Characters of an ID.
const SID_BYTES: usize = EDGE_BYTES + RANDOM_BYTES / 3 * 4;

/// The name of the edge that has the session, and 16 random characters. Prints redacted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sid([u8; SID_BYTES]);

impl Sid {
    /// An ID of this edge.
    pub(crate) fn new(edge: EdgeId, random: [u8; RANDOM_BYTES]) -> Self {
        let mut text = [0; SID_BYTES];
        text[..EDGE_BYTES].copy_from_slice(edge.as_str().as_bytes());
        // Twelve bytes take exactly sixteen characters, so it has no way to fail.
        let _ = BASE64URL.encode_slice(random, &mut text[EDGE_BYTES..]);
        Self(text)
    }

    /// Reads an ID; `None` if no edge can have given it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; SID_BYTES] = text.as_bytes().try_into().ok()?;
        let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        bytes.iter().all(valid).then_some(Self(bytes))
    }

    /// The edge that has the session.
    pub(crate) fn edge(&self) -> Option<EdgeId> {
        self.as_str().get(..EDGE_BYTES)?.parse().ok()
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        // Both ways to make one leave only ASCII in it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edge = self.as_str().get(..EDGE_BYTES).unwrap_or_default();
        write!(f, "Sid({edge}…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_names_its_edge_and_reads_as_it_was_given(edge: [u8; 6], random: [u8; RANDOM_BYTES]) {
            let edge = EdgeId::from_random(edge);
            let sid = Sid::new(edge, random);
            prop_assert_eq!(sid.edge(), Some(edge));
            prop_assert_eq!(sid.as_str().len(), 24);
            prop_assert_eq!(Sid::parse(sid.as_str()), Some(sid));
            let printed = format!("{sid:?}");
            prop_assert!(!printed.contains(&sid.as_str()[EDGE_BYTES..]));
        }

        #[test]
        fn other_texts_are_no_ids(text in "\\PC{0,30}") {
            if let Some(sid) = Sid::parse(&text) {
                prop_assert_eq!(sid.as_str(), text);
            }
        }
    }
}

//! One line of the answer to a request of lines.

use serde::Deserialize;
use shared::EntryId;

use crate::cli::problem::ErrorDetail;

/// Codes of errors that are about this moment and not about the event: the same line may be taken the next time.
const PASSING_CODES: &[&str] = &[
    "unavailable",
    "unconfirmed",
    "not_durable",
    "full",
    "closing",
    "rate_limited",
    "request_timeout",
];

/// What an edge says about one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is in the stream.
    Published {
        /// Where, if the ID has a known form.
        id: Option<EntryId>,
        /// Whether an earlier attempt had put it there.
        duplicate: bool,
    },
    /// It will not be taken, and why.
    Refused(String),
    /// It was not taken this time, or the edge does not know, and why.
    Again(String),
}

/// The line is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edge sent a line that is no answer")]
pub(super) struct Malformed;

#[derive(Deserialize)]
struct Raw {
    id: Option<String>,
    #[serde(default)]
    duplicate: bool,
    error: Option<ErrorDetail>,
}

impl Answer {
    /// Reads a line without its line feed; nothing if it is only a sign of life.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, Malformed> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let raw: Raw = serde_json::from_slice(line).map_err(|_| Malformed)?;
        match (raw.error, raw.id) {
            (Some(error), _) if PASSING_CODES.contains(&error.code.as_str()) => {
                Ok(Some(Self::Again(error.text())))
            }
            (Some(error), _) => Ok(Some(Self::Refused(error.text()))),
            (None, Some(id)) => Ok(Some(Self::Published {
                id: id.parse().ok(),
                duplicate: raw.duplicate,
            })),
            (None, None) => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn answers_of_every_kind() {
        let parse = |text: &str| Answer::parse(text.as_bytes());
        let plain = parse(r#"{"id":"1-0","cursor":"1-0.1"}"#).unwrap().unwrap();
        let id = Some(EntryId::new(1, 0));
        assert_eq!(plain, Answer::Published { id, duplicate: false });
        let again = parse(r#"{"id":"1-0","cursor":"1-0.1","duplicate":true}"#)
            .unwrap()
            .unwrap();
        assert_eq!(again, Answer::Published { id, duplicate: true });
        let refused = parse(r#"{"error":{"code":"too_large","message":"too\nlarge"}}"#)
            .unwrap()
            .unwrap();
        assert_eq!(refused, Answer::Refused("too\\nlarge".to_owned()));
        let passing = parse(r#"{"error":{"code":"unconfirmed","message":"lost"}}"#)
            .unwrap()
            .unwrap();
        assert_eq!(passing, Answer::Again("lost".to_owned()));
        assert_eq!(parse(" ").unwrap(), None);
        for wrong in ["{}", "<html>", "{\"id\":1", "[]"] {
            assert_eq!(parse(wrong).unwrap_err(), Malformed, "{wrong}");
        }
    }
}

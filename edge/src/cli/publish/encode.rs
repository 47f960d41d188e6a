//! A line of input as the line of JSON that is sent for it. It decides what becomes of each line, and does no I/O.

use bytes::Bytes;
use serde_json::value::RawValue;
use shared::wire::push_json_string;

/// How lines are turned into events.
#[derive(Debug)]
pub(super) struct Encoder {
    /// `"event":"…",`, or nothing.
    event: Vec<u8>,
    /// `,"key":"…-`, which the number of the line completes.
    key: Vec<u8>,
    json: bool,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Encoded {
    /// This is sent, with its line feed.
    Line {
        /// The line of JSON.
        wire: Bytes,
        /// Whether bytes had to be replaced.
        repaired: bool,
    },
    /// Nothing to send.
    Blank,
    /// It cannot be sent, and why.
    Unfit(String),
}

impl Encoder {
    /// An encoder for events of this name, with keys that begin like this.
    pub(super) fn new(event: Option<&str>, key_prefix: &str, json: bool) -> Self {
        let mut event_part = Vec::new();
        if let Some(event) = event {
            event_part.extend_from_slice(b"\"event\":");
            push_json_string(&mut event_part, event);
            event_part.push(b',');
        }
        let mut key = b",\"key\":".to_vec();
        push_json_string(&mut key, key_prefix);
        key.pop();
        key.push(b'-');
        Self {
            event: event_part,
            key,
            json,
        }
    }

    /// Encodes line `number`.
    pub(super) fn encode(&self, number: u64, line: &[u8]) -> Encoded {
        if !self.json {
            let text = String::from_utf8_lossy(line);
            let repaired = matches!(text, std::borrow::Cow::Owned(_));
            let wire = self.wire(number, line.len(), |out| push_json_string(out, &text));
            return Encoded::Line { wire, repaired };
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return Encoded::Blank;
        }
        match serde_json::from_slice::<&RawValue>(line) {
            Ok(value) => Encoded::Line {
                wire: self.wire(number, line.len(), |out| {
                    // Between the tokens of one line there can still be a carriage return.
                    out.extend(value.get().bytes().map(|b| if b == b'\r' { b' ' } else { b }));
                }),
                repaired: false,
            },
            Err(error) => Encoded::Unfit(format!("not JSON: {error}")),
        }
    }

    fn wire(&self, number: u64, len: usize, push_data: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        use std::io::Write as _;
        let mut out = Vec::with_capacity(len + self.event.len() + self.key.len() + 48);
        out.push(b'{');
        out.extend_from_slice(&self.event);
        out.extend_from_slice(b"\"data\":");
        push_data(&mut out);
        out.extend_from_slice(&self.key);
        // Writing into a vector has no way to fail.
        let _ = write!(out, "{number}");
        out.extend_from_slice(b"\"}\n");
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn sent(encoder: &Encoder, line: &[u8]) -> Value {
        match encoder.encode(7, line) {
            Encoded::Line { wire, .. } => {
                assert_eq!(wire.iter().filter(|b| **b == b'\n').count(), 1);
                serde_json::from_slice(&wire).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_becomes_a_string_and_json_stays() {
        let text = Encoder::new(Some("a \"b\""), "run", false);
        assert_eq!(
            sent(&text, b"x\ty"),
            json!({"event": "a \"b\"", "data": "x\ty", "key": "run-7"})
        );
        assert_eq!(sent(&text, b"")["data"], "");
        let json = Encoder::new(None, "k\"", true);
        assert_eq!(
            sent(&json, b" {\"a\": [1]} \r"),
            json!({"data": {"a": [1]}, "key": "k\"-7"})
        );
        assert_eq!(json.encode(1, b" \t"), Encoded::Blank);
        assert!(matches!(json.encode(1, b"{\"a\""), Encoded::Unfit(_)));
        assert!(matches!(json.encode(1, b"1 2"), Encoded::Unfit(_)));
        assert!(matches!(json.encode(1, b"\"\xff\""), Encoded::Unfit(_)));
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_and_counted() {
        let text = Encoder::new(None, "run", false);
        assert!(matches!(
            text.encode(1, b"caf\xe9"),
            Encoded::Line { repaired: true, .. }
        ));
        assert_eq!(sent(&text, b"caf\xe9")["data"], "caf\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_was(line in "[^\\n]*", prefix in "[ -~]{1,20}") {
            let value = sent(&Encoder::new(None, &prefix, false), line.as_bytes());
            prop_assert_eq!(value["data"].as_str().unwrap(), line);
            prop_assert_eq!(value["key"].as_str().unwrap(), format!("{prefix}-7"));
        }
    }
}

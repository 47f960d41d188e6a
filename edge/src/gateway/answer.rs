//! What stands in acknowledgements: each function makes the whole array of arguments, which is always one object.

use std::fmt::Display;
use std::io::Write as _;

use broker::{Appended, Page};
use shared::{Cursor, MultiCursor, StreamName, Verdict};

use super::request::Naming;
use crate::error::ApiError;
use crate::page;

/// How a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Where.
    pub(crate) cursor: Cursor,
    /// What is missing before that.
    pub(crate) verdict: Verdict,
    /// Whether it had begun before, and just goes on.
    pub(crate) already: bool,
}

/// `[{"error":{"code","message"}}]`
pub(crate) fn error(error: &ApiError) -> Vec<u8> {
    let mut out = b"[{\"error\":".to_vec();
    error.clone().shortened().push_json(&mut out);
    out.extend_from_slice(b"}]");
    out
}

/// `[{"id","cursor","duplicate"?}]`
pub(crate) fn published(appended: &Appended) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(b'[');
    appended.push_json(&mut out);
    out.push(b']');
    out
}

/// `[{"ok":true}]`
pub(crate) fn done() -> Vec<u8> {
    b"[{\"ok\":true}]".to_vec()
}

/// The page as over HTTP.
pub(crate) fn history(read: &Page) -> Vec<u8> {
    let mut out = b"[".to_vec();
    page::push_json(&mut out, read);
    out.push(b']');
    out
}

/// What became of each stream of a request. For one: `[{"ok":true,…}]` or an error. For several:
/// `[{"ok","cursor"?,"error"?,"streams":{…}}]`, in which `ok` speaks for all, `cursor` covers those that are followed,
/// and `error` is the first there was.
pub(crate) fn streams<T: Outcome>(naming: Naming, outcomes: &[(StreamName, Result<T, ApiError>)]) -> Vec<u8> {
    if let (Naming::One, [(_, outcome)]) = (naming, outcomes) {
        return match outcome {
            Err(failed) => error(failed),
            Ok(done) => {
                let mut out = b"[{\"ok\":true".to_vec();
                done.push(&mut out);
                out.extend_from_slice(b"}]");
                out
            }
        };
    }
    let failed = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().err());
    let mut out = format!("[{{\"ok\":{}", failed.is_none()).into_bytes();
    let reached = outcomes.iter().filter_map(|(stream, outcome)| {
        let cursor = outcome.as_ref().ok()?.cursor()?;
        Some((stream.clone(), cursor))
    });
    let reached: MultiCursor = reached.collect();
    if !reached.is_empty() {
        push_text(&mut out, "cursor", &reached);
    }
    if let Some(failed) = failed {
        push_error(&mut out, failed);
    }
    out.extend_from_slice(b",\"streams\":{");
    for (index, (stream, outcome)) in outcomes.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\"{stream}\":{{\"ok\":{}", outcome.is_ok());
        match outcome {
            Ok(done) => done.push(&mut out),
            Err(failed) => push_error(&mut out, failed),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"}}]");
    out
}

/// What is told of a stream for which a request was carried out.
pub(crate) trait Outcome {
    /// Where it has come to.
    fn cursor(&self) -> Option<Cursor>;
    /// Appends `,"key":value` for each thing to tell.
    fn push(&self, out: &mut Vec<u8>);
}

impl Outcome for Begun {
    fn cursor(&self) -> Option<Cursor> {
        Some(self.cursor)
    }

    fn push(&self, out: &mut Vec<u8>) {
        push_text(out, "cursor", &self.cursor);
        out.extend_from_slice(b",\"verdict\":");
        // Writing into a vector has no way to fail.
        let _ = serde_json::to_writer(&mut *out, &self.verdict);
        if self.already {
            out.extend_from_slice(b",\"already\":true");
        }
    }
}

impl Outcome for () {
    fn cursor(&self) -> Option<Cursor> {
        None
    }

    fn push(&self, _out: &mut Vec<u8>) {}
}

/// Appends a text that needs no escapes.
fn push_text(out: &mut Vec<u8>, key: &str, text: &impl Display) {
    // Writing into a vector has no way to fail.
    let _ = write!(out, ",\"{key}\":\"{text}\"");
}

fn push_error(out: &mut Vec<u8>, error: &ApiError) {
    out.extend_from_slice(b",\"error\":");
    error.clone().shortened().push_json(out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use shared::EntryId;

    use super::*;
    use crate::error::Code;

    fn text(array: Vec<u8>) -> String {
        let text = String::from_utf8(array).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value[0].is_object() && value.as_array().unwrap().len() == 1);
        text
    }

    fn begun(n: u64, verdict: Verdict) -> Begun {
        Begun {
            cursor: Cursor::new(EntryId::new(n, 0), n),
            verdict,
            already: false,
        }
    }

    #[test]
    fn publishes_and_errors() {
        let cursor = Cursor::new(EntryId::new(7, 0), 3);
        let published = |duplicate| text(super::published(&Appended { cursor, duplicate }));
        assert_eq!(published(false), r#"[{"id":"7-0","cursor":"7-0.3"}]"#);
        assert_eq!(
            published(true),
            r#"[{"id":"7-0","cursor":"7-0.3","duplicate":true}]"#
        );
        let problem = ApiError::new(Code::InvalidEvent, "\"x\" is wrong");
        assert_eq!(
            text(error(&problem)),
            r#"[{"error":{"code":"invalid_event","message":"\"x\" is wrong"}}]"#
        );
        let long = ApiError::new(Code::InvalidEvent, "ä".repeat(1_000));
        assert!(text(error(&long)).len() < 500);
        assert_eq!(text(done()), r#"[{"ok":true}]"#);
    }

    #[test]
    fn one_stream_is_answered_for_itself() {
        let stream: StreamName = "a".parse().unwrap();
        let gap = begun(7, Verdict::Gap { lost: 2 });
        assert_eq!(
            text(streams(Naming::One, &[(stream.clone(), Ok(gap))])),
            r#"[{"ok":true,"cursor":"7-0.7","verdict":{"kind":"gap","lost":2}}]"#
        );
        assert_eq!(
            text(streams(Naming::One, &[(stream.clone(), Ok(()))])),
            r#"[{"ok":true}]"#
        );
        let failed: Result<(), ApiError> = Err(ApiError::new(Code::Full, "full"));
        assert_eq!(
            text(streams(Naming::One, &[(stream, failed)])),
            r#"[{"error":{"code":"full","message":"full"}}]"#
        );
    }

    #[test]
    fn several_streams_are_answered_together_and_each() {
        let name = |name: &str| name.parse::<StreamName>().unwrap();
        let (a, b) = (begun(7, Verdict::Continuous), begun(8, Verdict::Reset));
        assert_eq!(
            text(streams(
                Naming::Several,
                &[(name("b"), Ok(b)), (name("a"), Ok(a))]
            )),
            concat!(
                r#"[{"ok":true,"cursor":"a~7-0.7,b~8-0.8","streams":{"#,
                r#""b":{"ok":true,"cursor":"8-0.8","verdict":{"kind":"reset"}},"#,
                r#""a":{"ok":true,"cursor":"7-0.7","verdict":{"kind":"continuous"}}}}]"#
            )
        );
        let failed = Err(ApiError::new(Code::WrongType, "no stream"));
        assert_eq!(
            text(streams(
                Naming::Several,
                &[(name("a"), Ok(a)), (name("b"), failed.clone())]
            )),
            concat!(
                r#"[{"ok":false,"cursor":"a~7-0.7","error":{"code":"wrong_type","message":"no stream"},"streams":{"#,
                r#""a":{"ok":true,"cursor":"7-0.7","verdict":{"kind":"continuous"}},"#,
                r#""b":{"ok":false,"error":{"code":"wrong_type","message":"no stream"}}}}]"#
            )
        );
        assert!(
            text(streams::<Begun>(Naming::Several, &[(name("b"), failed)]))
                .contains("\"ok\":false,\"error\"")
        );
    }
}

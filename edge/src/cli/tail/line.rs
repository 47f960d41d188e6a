//! One line of an NDJSON tail, taken apart. It decides nothing.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::EntryId;

/// What a line says.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// An event.
    Event(Event<'a>),
    /// Something about the tail itself.
    Control(Control<'a>),
    /// A sign of life.
    Heartbeat,
}

/// An event, as far as it is looked at here.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) id: EntryId,
    pub(super) stream: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    /// The data, as JSON.
    pub(super) data: &'a str,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) cursor: Bytes,
}

/// A line that is no event.
#[derive(Debug)]
pub(super) struct Control<'a> {
    pub(super) kind: ControlKind,
    /// The stream it is about; `None`: all of them.
    pub(super) stream: Option<Cow<'a, str>>,
    /// How many events are gone, in a gap.
    pub(super) lost: Option<u64>,
    /// Where the tail stands after it.
    pub(super) cursor: Option<Bytes>,
}

/// What a control line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlKind {
    /// Events are gone.
    Gap,
    /// The history is another one.
    Reset,
    /// Whether something is missing cannot be told.
    Unverified,
    /// Everything that was there has been sent.
    CaughtUp,
    /// Only the cursor moves: a filter held events back.
    Cursor,
    /// The edge is going away; another one goes on.
    Reconnect,
    /// The log is away.
    Degraded,
    /// The log is back.
    Restored,
    /// `until` is reached.
    Ended,
    /// Something that a later version says.
    Unknown,
}

/// The line is no line of a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edge sent a line that is no event")]
pub(super) struct Malformed;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    control: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cursor: Option<Cow<'a, str>>,
    lost: Option<u64>,
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    pub(super) fn parse(line: &'a Bytes) -> Result<Self, Malformed> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::Heartbeat);
        }
        let raw: Raw<'a> = serde_json::from_slice(line).map_err(|_| Malformed)?;
        let cursor = raw.cursor.filter(|text| !text.is_empty()).map(|text| match text {
            Cow::Borrowed(text) => line.slice_ref(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        });
        if let Some(kind) = raw.control {
            return Ok(Self::Control(Control {
                kind: ControlKind::of(&kind),
                stream: raw.stream,
                lost: raw.lost,
                cursor,
            }));
        }
        let id = raw.id.ok_or(Malformed)?;
        Ok(Self::Event(Event {
            id: id.parse().map_err(|_| Malformed)?,
            stream: raw.stream.ok_or(Malformed)?,
            name: raw.event.unwrap_or(Cow::Borrowed(shared::DEFAULT_EVENT)),
            data: raw.data.map_or("null", RawValue::get),
            user: raw.user,
            cursor: cursor.ok_or(Malformed)?,
        }))
    }
}

impl ControlKind {
    fn of(text: &str) -> Self {
        match text {
            "gap" => Self::Gap,
            "reset" => Self::Reset,
            "unverified" => Self::Unverified,
            "caught_up" => Self::CaughtUp,
            "cursor" => Self::Cursor,
            "reconnect" => Self::Reconnect,
            "degraded" => Self::Degraded,
            "restored" => Self::Restored,
            "ended" => Self::Ended,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_event_borrows_from_its_line() {
        let line = Bytes::from_static(
            br#"{"id":"5-1","stream":"a","event":"message","data":{"x": 1},"time":null,"cursor":"5-1.9"}"#,
        );
        let Line::Event(event) = Line::parse(&line).unwrap() else {
            unreachable!()
        };
        assert_eq!(
            (event.id, event.data, event.cursor),
            (EntryId::new(5, 1), r#"{"x": 1}"#, Bytes::from("5-1.9"))
        );
        assert!(matches!(event.stream, Cow::Owned(_) | Cow::Borrowed("a")));
    }

    #[test]
    fn data_null_is_an_event() {
        let line = Bytes::from_static(br#"{"id":"5-1","stream":"a","data":null,"cursor":"5-1.9"}"#);
        assert!(
            matches!(Line::parse(&line).unwrap(), Line::Event(e) if e.data == "null" && e.name == "message")
        );
    }

    #[test]
    fn controls_known_and_unknown() {
        let line = Bytes::from_static(br#"{"control":"gap","stream":"a","lost":3,"cursor":"5-1.9"}"#);
        let Line::Control(gap) = Line::parse(&line).unwrap() else {
            unreachable!()
        };
        assert_eq!(
            (gap.kind, gap.lost, gap.cursor),
            (ControlKind::Gap, Some(3), Some(Bytes::from("5-1.9")))
        );
        let line = Bytes::from_static(br#"{"control":"tea","strength":{"x":[1]}}"#);
        assert!(matches!(Line::parse(&line).unwrap(), Line::Control(c) if c.kind == ControlKind::Unknown));
    }

    #[test]
    fn what_is_no_line_of_a_tail_is_malformed() {
        for wrong in [
            "<html>",
            "[]",
            "1",
            r#"{"id":"5-1"}"#,
            r#"{"id":"x","stream":"a","cursor":"1"}"#,
        ] {
            assert_eq!(
                Line::parse(&Bytes::from(wrong)).unwrap_err(),
                Malformed,
                "{wrong}"
            );
        }
        assert!(matches!(
            Line::parse(&Bytes::from(" \t")).unwrap(),
            Line::Heartbeat
        ));
    }
}

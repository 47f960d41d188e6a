//! What arrives on a tail, transport by transport, as one kind of [`Frame`]; and the position that a client takes from
//! it. Bytes in, frames out: no sockets.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;
use shared::{Cursor, EntryId, MultiCursor, StreamName};

use crate::checker::{Event, Outage};
use crate::events::Data;

/// Where a subscriber goes on, as it was told: one token over HTTP, one for each stream over WebSocket.
#[derive(Debug, Clone)]
pub struct Position {
    /// Where to begin as long as nothing was told: `start` or `now`.
    pub begin: &'static str,
    /// The last token.
    pub token: Option<String>,
    /// The last cursor in each stream, from frames that are about one stream.
    pub each: BTreeMap<StreamName, String>,
    /// The stream, if it is only one: then every cursor is about it.
    only: Option<StreamName>,
}

impl Position {
    /// At the beginning of a subscription to `streams`.
    pub fn new(streams: &[StreamName], begin: &'static str) -> Self {
        Self {
            begin,
            token: None,
            each: BTreeMap::new(),
            only: (streams.len() == 1).then(|| streams[0].clone()),
        }
    }

    /// Takes over what a frame says.
    pub fn moved(&mut self, frame: &Frame) {
        // Where a subscription begins is known only to one who did not say it; and if the answer holds a verdict, it
        // has not been delivered yet.
        let known = frame
            .stream
            .as_ref()
            .is_some_and(|stream| self.each.contains_key(stream));
        if frame.kind == Kind::Subscribed && (known || self.begin != "now") {
            return;
        }
        let Some(cursor) = &frame.cursor else { return };
        self.token = Some(cursor.clone());
        if let Some(stream) = frame.stream.as_ref().or(self.only.as_ref()) {
            self.each.insert(stream.clone(), cursor.clone());
        }
    }
}

/// One thing that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is about; `None`: the whole tail.
    pub stream: Option<StreamName>,
    /// What it says.
    pub kind: Kind,
    /// Where to go on after it.
    pub cursor: Option<String>,
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event.
    Event(Event),
    /// So many events are lost.
    Gap(u64),
    /// Another history.
    Reset,
    /// Nothing can be proven.
    Unverified,
    /// The log is away, or back.
    Outage(Outage),
    /// A WebSocket subscription stands.
    Subscribed,
    /// Only the position, or nothing at all.
    Other,
}

impl Frame {
    /// A sign of life.
    pub fn nothing() -> Self {
        Self {
            stream: None,
            kind: Kind::Other,
            cursor: None,
        }
    }

    /// A line of NDJSON.
    pub fn of_line(line: &[u8]) -> io::Result<Self> {
        Wire::parse(line)?.frame("control")
    }

    /// A text message of a WebSocket.
    pub fn of_message(text: &[u8]) -> io::Result<Self> {
        Wire::parse(text)?.frame("type")
    }

    /// The position in the frame's own stream, out of its cursor.
    pub fn own_cursor(&self) -> Option<Cursor> {
        let (text, stream) = (self.cursor.as_deref()?, self.stream.as_ref()?);
        match text.contains('~') {
            true => text.parse::<MultiCursor>().ok()?.get(stream),
            false => text.parse().ok(),
        }
    }
}

/// The fields of a server-sent event.
#[derive(Default)]
pub struct Fields {
    id: Option<String>,
    name: Option<String>,
    data: Option<String>,
}

/// The error of a complete frame that cannot be understood.
pub fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Fields {
    /// One line of the event stream (HTML Living Standard, section 9.2.6); a frame when it is complete.
    pub fn take_line(&mut self, line: &[u8]) -> io::Result<Option<Frame>> {
        let line = std::str::from_utf8(line).map_err(|_| broken("not UTF-8"))?;
        if line.is_empty() {
            return std::mem::take(self).frame().map(Some);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "id" => self.id = Some(value),
            "event" => self.name = Some(value),
            "data" => self.data = Some(value),
            // A comment, or the time after which to come back.
            "" | "retry" => {}
            other => return Err(broken(&format!("unknown field {other:?}"))),
        }
        Ok(None)
    }

    /// Whether a part of an event has arrived.
    pub fn has_begun(&self) -> bool {
        self.id.is_some() || self.name.is_some() || self.data.is_some()
    }

    fn frame(self) -> io::Result<Frame> {
        let Some(data) = self.data else {
            return Ok(Frame {
                cursor: self.id,
                ..Frame::nothing()
            });
        };
        let mut wire = Wire::parse(data.as_bytes())?;
        // What says nothing of the position leaves the client's as it is.
        let moves_nothing = self.name.as_deref() == Some("degraded");
        if wire.cursor.is_none() != moves_nothing || wire.cursor != self.id {
            return Err(broken(&format!("id {:?} with {data}", self.id)));
        }
        wire.control = self.name;
        wire.frame("control")
    }
}

/// Every member that a frame may have.
#[derive(Debug, Deserialize)]
struct Wire {
    control: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    stream: Option<StreamName>,
    data: Option<Data>,
    lost: Option<u64>,
    since: Option<String>,
    cursor: Option<String>,
    error: Option<serde_json::Value>,
}

impl Wire {
    fn parse(json: &[u8]) -> io::Result<Self> {
        serde_json::from_slice(json)
            .map_err(|error| broken(&format!("{error} in {}", String::from_utf8_lossy(json))))
    }

    /// `named_by` is the member that tells what an object is: `control` or `type`; without it, it is an event.
    fn frame(self, named_by: &str) -> io::Result<Frame> {
        if let Some(error) = &self.error {
            // The edge cannot follow the stream right now.
            return Err(io::Error::other(error.to_string()));
        }
        let Self {
            control,
            kind,
            id,
            stream,
            data,
            lost,
            since,
            cursor,
            ..
        } = self;
        let name = if named_by == "type" { kind } else { control };
        let kind = match name.as_deref() {
            None | Some("event") => {
                let id: Option<EntryId> = id.as_deref().and_then(|id| id.parse().ok());
                let event = id.zip(data).and_then(|(id, data)| data.of(id));
                Kind::Event(event.ok_or_else(|| broken("not the data that were published"))?)
            }
            Some("gap") => Kind::Gap(lost.ok_or_else(|| broken("a gap without a count"))?),
            Some("reset") => Kind::Reset,
            Some("unverified") => Kind::Unverified,
            Some("degraded") => {
                since.ok_or_else(|| broken("degraded without a time"))?;
                Kind::Outage(Outage::Degraded)
            }
            Some("restored") => Kind::Outage(Outage::Restored),
            Some("subscribed") => Kind::Subscribed,
            Some("caught_up" | "cursor" | "reconnect" | "ended") => Kind::Other,
            Some(other) => return Err(broken(&format!("unknown frame {other:?}"))),
        };
        let about_a_stream = !matches!(kind, Kind::Other);
        let moves = kind != Kind::Outage(Outage::Degraded);
        if about_a_stream && (stream.is_none() || cursor.is_some() != moves) {
            return Err(broken("no stream or no cursor"));
        }
        Ok(Frame { stream, kind, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str =
        r#"{"id":"5-1","stream":"a","event":"x","data":{"p":1,"n":0,"pad":"PAD"},"cursor":"5-1.7"}"#;

    fn event() -> (String, Frame) {
        let pad = serde_json::Value::from(crate::events::pad(1, 0)).to_string();
        let frame = Frame {
            stream: Some("a".parse().unwrap()),
            kind: Kind::Event(Event {
                id: EntryId::new(5, 1),
                producer: 1,
                seq: 0,
            }),
            cursor: Some("5-1.7".to_owned()),
        };
        (EVENT.replace("\"PAD\"", &pad), frame)
    }

    #[test]
    fn an_event_is_the_same_over_each_transport() {
        let (json, frame) = event();
        assert_eq!(Frame::of_line(json.as_bytes()).unwrap(), frame);
        let message = json.replacen('{', "{\"type\":\"event\",", 1);
        assert_eq!(Frame::of_message(message.as_bytes()).unwrap(), frame);
        let mut fields = Fields::default();
        let lines = ["id: 5-1.7".to_owned(), format!("data: {json}")];
        for line in lines {
            assert_eq!(fields.take_line(line.as_bytes()).unwrap(), None);
        }
        assert!(fields.has_begun());
        assert_eq!(fields.take_line(b"").unwrap(), Some(frame));
        assert!(!fields.has_begun());
    }

    #[test]
    fn data_that_nobody_published_are_a_broken_frame() {
        let (json, _) = event();
        for spoilt in [
            json.replace("\"n\":0", "\"n\":1"),
            json.replace("\"data\"", "\"date\""),
        ] {
            let error = Frame::of_line(spoilt.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn verdicts_and_positions_are_told_apart() {
        let gap = br#"{"control":"gap","stream":"a","lost":3,"cursor":"a~4-0.9,b~0-0.0"}"#;
        let frame = Frame::of_line(gap).unwrap();
        assert_eq!(
            (frame.kind, frame.own_cursor()),
            (Kind::Gap(3), Some(Cursor::new(EntryId::new(4, 0), 9)))
        );
        let caught_up = br#"{"control":"caught_up","cursor":"4-0.9"}"#;
        let frame = Frame::of_line(caught_up).unwrap();
        let mut position = Position::new(&["a".parse().unwrap()], "start");
        position.moved(&frame);
        assert_eq!(
            (frame.kind, position.token.as_deref()),
            (Kind::Other, Some("4-0.9"))
        );
    }

    #[test]
    fn an_outage_moves_nothing_until_it_is_over() {
        let away = br#"{"control":"degraded","stream":"a","since":"2026-01-01T00:00:00.000Z"}"#;
        let back = br#"{"control":"restored","stream":"a","cursor":"4-0.9"}"#;
        let mut position = Position::new(&["a".parse().unwrap()], "start");
        for (line, told, token) in [
            (&away[..], Outage::Degraded, None),
            (&back[..], Outage::Restored, Some("4-0.9")),
        ] {
            let frame = Frame::of_line(line).unwrap();
            position.moved(&frame);
            assert_eq!(
                (frame.kind, position.token.as_deref()),
                (Kind::Outage(told), token)
            );
        }
        for wrong in [
            r#"{"control":"degraded","stream":"a"}"#,
            r#"{"control":"degraded","stream":"a","since":"t","cursor":"4-0.9"}"#,
            r#"{"control":"restored","stream":"a"}"#,
            r#"{"control":"restored","cursor":"4-0.9"}"#,
        ] {
            Frame::of_line(wrong.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn the_answer_to_a_subscription_moves_only_one_who_did_not_say_where_it_stands() {
        let subscribed =
            br#"{"type":"subscribed","ref":1,"stream":"a","cursor":"4-0.9","verdict":{"kind":"gap"}}"#;
        let frame = Frame::of_message(subscribed).unwrap();
        for (begin, token) in [("start", None), ("now", Some("4-0.9"))] {
            let mut position = Position::new(&["a".parse().unwrap(), "b".parse().unwrap()], begin);
            position.moved(&frame);
            assert_eq!(position.each.values().next().map(String::as_str), token);
        }
    }
}

//! Packets of Socket.IO v5: read from and written to messages of Engine.IO. Only what stands around the JSON is taken
//! apart; the JSON itself stays the text that it was.

use std::io;

use bytes::Bytes;

use super::engine::Message;
use super::invalid;

/// Attachments of a packet at the most.
const ATTACHMENTS_MAX: usize = 10;
/// Names that no event may have.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) kind: Kind,
    pub(super) namespace: Bytes,
    pub(super) id: Option<u64>,
    /// JSON; empty if there is none.
    pub(super) json: Bytes,
    pub(super) attachments: Vec<Bytes>,
}

impl Packet {
    /// Its messages.
    pub(super) fn encode(&self) -> Vec<Message> {
        let number = match (self.kind, self.attachments.len()) {
            (Kind::Connect, _) => "0".to_owned(),
            (Kind::Disconnect, _) => "1".to_owned(),
            (Kind::Event, 0) => "2".to_owned(),
            (Kind::Ack, 0) => "3".to_owned(),
            (Kind::ConnectError, _) => "4".to_owned(),
            (Kind::Event, count) => format!("5{count}-"),
            (Kind::Ack, count) => format!("6{count}-"),
        };
        let mut text = number.into_bytes();
        if self.namespace != "/" {
            text.extend_from_slice(&self.namespace);
            text.push(b',');
        }
        if let Some(id) = self.id {
            text.extend_from_slice(id.to_string().as_bytes());
        }
        text.extend_from_slice(&self.json);
        let attachments = self.attachments.iter().cloned().map(Message::Binary);
        [Message::Text(text.into())]
            .into_iter()
            .chain(attachments)
            .collect()
    }
}

/// Joins messages to packets.
#[derive(Debug)]
pub(super) struct Decoder {
    /// A packet some of whose attachments are still to come, and how many it is to have.
    unfinished: Option<(Packet, usize)>,
    /// Whether the JSON of events is looked at as a whole.
    checks_json: bool,
}

impl Decoder {
    pub(super) fn new(checks_json: bool) -> Self {
        Self {
            unfinished: None,
            checks_json,
        }
    }

    /// Forgets what has arrived in part.
    pub(super) fn reset(&mut self) {
        self.unfinished = None;
    }

    /// Takes a message; returns a packet if that made one complete. An error is one that ends the connection.
    pub(super) fn take(&mut self, message: Message) -> io::Result<Option<Packet>> {
        match (message, self.unfinished.take()) {
            (Message::Text(text), None) => {
                let (packet, attachments) = self.parse(&text)?;
                if attachments == 0 {
                    return Ok(Some(packet));
                }
                self.unfinished = Some((packet, attachments));
                Ok(None)
            }
            (Message::Binary(bytes), Some((mut packet, attachments))) => {
                packet.attachments.push(bytes);
                if packet.attachments.len() == attachments {
                    return Ok(Some(packet));
                }
                self.unfinished = Some((packet, attachments));
                Ok(None)
            }
            (Message::Text(_), Some(_)) => Err(invalid("text where an attachment should come")),
            (Message::Binary(_), None) => Err(invalid("an attachment to nothing")),
        }
    }

    /// The packet that a text holds, and how many attachments follow.
    fn parse(&self, text: &Bytes) -> io::Result<(Packet, usize)> {
        let (kind, binary) = match text.first() {
            Some(b'0') => (Kind::Connect, false),
            Some(b'1') => (Kind::Disconnect, false),
            Some(b'2') => (Kind::Event, false),
            Some(b'3') => (Kind::Ack, false),
            Some(b'4') => (Kind::ConnectError, false),
            Some(b'5') => (Kind::Event, true),
            Some(b'6') => (Kind::Ack, true),
            _ => return Err(invalid("type of a packet")),
        };
        let mut at = 1;
        let mut attachments = 0;
        if binary {
            let digits = digits(text, at);
            attachments = number(text, at, digits)
                .filter(|count| *count <= ATTACHMENTS_MAX as u64)
                .and_then(|count| usize::try_from(count).ok())
                .ok_or_else(|| invalid("number of attachments"))?;
            at = digits + 1;
            if text.get(digits) != Some(&b'-') {
                return Err(invalid("number of attachments"));
            }
        }
        let mut namespace = Bytes::from_static(b"/");
        if text.get(at) == Some(&b'/') {
            let end = memchr::memchr(b',', &text[at..]).map_or(text.len(), |length| at + length);
            namespace = text.slice(at..end);
            at = (end + 1).min(text.len());
        }
        let end = digits(text, at);
        let id = number(text, at, end);
        let packet = Packet {
            kind,
            namespace,
            id,
            json: text.slice(end..),
            attachments: Vec::new(),
        };
        self.check(&packet)?;
        Ok((packet, attachments))
    }

    /// What the official client does not take either.
    fn check(&self, packet: &Packet) -> io::Result<()> {
        let begins = |with: &[u8]| packet.json.first().is_some_and(|first| with.contains(first));
        let valid = match packet.kind {
            Kind::Connect => packet.json.is_empty() || begins(b"{"),
            Kind::Disconnect => packet.json.is_empty(),
            Kind::ConnectError => begins(b"{\""),
            Kind::Event => begins(b"[") && event_name(&packet.json).is_some(),
            Kind::Ack => packet.json.is_empty() || begins(b"["),
        };
        let well_formed = || serde_json::from_slice::<serde::de::IgnoredAny>(&packet.json).is_ok();
        let look = self.checks_json || !matches!(packet.kind, Kind::Event | Kind::Ack);
        if !valid || (look && !packet.json.is_empty() && !well_formed()) {
            return Err(invalid("payload of a packet"));
        }
        Ok(())
    }
}

/// The name of an event, as it is written. Not that of a number, which has none, and no reserved one.
fn event_name(array: &[u8]) -> Option<&[u8]> {
    let first = array.get(1..)?.trim_ascii_start();
    match first.first()? {
        b'"' => {
            let end = string_end(first)?;
            let name = &first[1..end];
            (!RESERVED.iter().any(|reserved| reserved.as_bytes() == name)).then_some(name)
        }
        b'0'..=b'9' | b'-' => Some(b""),
        _ => None,
    }
}

/// Where the string that begins at the front ends.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The last element of a JSON array, if it is a string.
pub(super) fn last_string(array: &[u8]) -> Option<String> {
    let inner = array.trim_ascii_end().strip_suffix(b"]")?.trim_ascii_end();
    let before = inner.strip_suffix(b"\"")?;
    let mut end = before.len();
    let begin = loop {
        let quote = memchr::memrchr(b'"', &before[..end])?;
        let backslashes = before[..quote]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if backslashes % 2 == 0 {
            break quote;
        }
        end = quote;
    };
    serde_json::from_slice(&inner[begin..]).ok()
}

fn digits(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn number(text: &[u8], at: usize, end: usize) -> Option<u64> {
    std::str::from_utf8(text.get(at..end)?).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decode(text: &'static str) -> io::Result<Option<Packet>> {
        Decoder::new(true).take(Message::Text(text.into()))
    }

    fn packet(kind: Kind, namespace: &'static str, id: Option<u64>, json: &'static str) -> Packet {
        Packet {
            kind,
            namespace: namespace.into(),
            id,
            json: json.into(),
            attachments: Vec::new(),
        }
    }

    #[test]
    fn every_form_of_a_packet_is_read_and_written() {
        for (text, expected) in [
            ("0", packet(Kind::Connect, "/", None, "")),
            (
                "0{\"sid\":\"x\"}",
                packet(Kind::Connect, "/", None, "{\"sid\":\"x\"}"),
            ),
            ("0/a,{}", packet(Kind::Connect, "/a", None, "{}")),
            ("1/a,", packet(Kind::Disconnect, "/a", None, "")),
            ("2[\"e\",1]", packet(Kind::Event, "/", None, "[\"e\",1]")),
            ("2/a,12[\"e\"]", packet(Kind::Event, "/a", Some(12), "[\"e\"]")),
            ("30[]", packet(Kind::Ack, "/", Some(0), "[]")),
            (
                "4{\"message\":\"no\"}",
                packet(Kind::ConnectError, "/", None, "{\"message\":\"no\"}"),
            ),
        ] {
            let decoded = decode(text).unwrap().unwrap();
            assert_eq!(decoded, expected, "{text}");
            assert_eq!(decoded.encode(), [Message::Text(text.into())]);
        }
        assert_eq!(
            decode("1/a").unwrap(),
            Some(packet(Kind::Disconnect, "/a", None, ""))
        );
    }

    #[test]
    fn attachments_are_joined_to_their_packet() {
        let whole = Packet {
            attachments: vec![Bytes::from_static(b"\0"), Bytes::from_static(b"\xff")],
            ..packet(
                Kind::Event,
                "/a",
                Some(7),
                "[\"e\",{\"_placeholder\":true,\"num\":0}]",
            )
        };
        let mut decoder = Decoder::new(true);
        let mut messages = whole.encode().into_iter();
        assert_eq!(decoder.take(messages.next().unwrap()).unwrap(), None);
        assert_eq!(decoder.take(messages.next().unwrap()).unwrap(), None);
        assert_eq!(
            decoder.take(messages.next().unwrap()).unwrap(),
            Some(whole.clone())
        );
        decoder.take(whole.encode()[0].clone()).unwrap();
        assert!(decoder.take(Message::Text("2[\"e\"]".into())).is_err());
        assert!(decoder.take(Message::Binary(Bytes::new())).is_err());
    }

    #[test]
    fn what_the_official_client_refuses_is_refused() {
        for text in [
            "",
            "7",
            "2",
            "2{}",
            "2[]",
            "2[null]",
            "2[\"connect\"]",
            "2[\"e\"",
            "3{}",
            "0[]",
            "4",
            "4[]",
            "1{}",
            "5[\"e\"]",
            "511-[\"e\"]",
            "2[\"disconnecting\",1]",
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
        for text in ["2[5]", "2[\"\\u0063onnect2\"]", "2[ \"e\" ]"] {
            assert!(decode(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_last_string_of_an_array_is_found() {
        for (array, last) in [
            (r#"["e"]"#, Some("e")),
            (r#"["e","x"]"#, Some("x")),
            (r#"["e",{"a":"b"}]"#, None),
            (r#"["e",1]"#, None),
            (r#"["e","a\"b\\"]"#, Some("a\"b\\")),
            (r#"["e","\\","\\\""  ] "#, Some("\\\"")),
            (r#"["e",["x"]]"#, None),
            (r#"["e","","ä]"]"#, Some("ä]")),
            (r#"["e",""]"#, Some("")),
        ] {
            assert_eq!(last_string(array.as_bytes()).as_deref(), last, "{array}");
        }
    }
}

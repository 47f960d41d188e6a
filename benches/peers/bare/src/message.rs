//! As much of Engine.IO and Socket.IO as a client needs that follows streams and publishes, over WebSocket from the beginning.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::frame;

/// A server's part of the key (RFC 6455, section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client is told when it comes.
pub(crate) struct Greeting {
    pub(crate) ping_interval_ms: u64,
    pub(crate) ping_timeout_ms: u64,
}

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Follow these.
    Subscribe(Vec<String>),
    /// The frame that goes to everybody who follows this.
    Publish(String, Vec<u8>),
    /// The answer is all.
    Nothing,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    stream: Option<String>,
    streams: Option<Vec<String>>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Greeting {
    /// The answer to the head of a request: to one for a WebSocket, that and the OPEN packet of Engine.IO. Nothing for what
    /// has no answer here.
    pub(crate) fn answer(&self, head: &[u8]) -> Option<Vec<u8>> {
        let head = std::str::from_utf8(head).ok()?;
        if head.starts_with("GET /readyz ") {
            return Some(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
        }
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then(|| value.trim())
        })?;
        let mut sha = sha1_smol::Sha1::from(key.as_bytes());
        sha.update(KEY_SUFFIX);
        let accept = BASE64_STANDARD.encode(sha.digest().bytes());
        let mut out = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        let open = format!(
            r#"0{{"sid":"{:016x}","upgrades":[],"pingInterval":{},"pingTimeout":{},"maxPayload":1000000}}"#,
            fastrand::u64(..),
            self.ping_interval_ms,
            self.ping_timeout_ms
        );
        frame::write(&mut out, frame::TEXT, open.as_bytes());
        Some(out)
    }
}

/// Understands a packet of Engine.IO, and appends the answer to it. None if it is nothing that is understood here.
pub(crate) fn take(packet: &[u8], out: &mut Vec<u8>) -> Option<Wish> {
    match packet {
        // PONG.
        [b'3', ..] => Some(Wish::Nothing),
        // CONNECT.
        [b'4', b'0', ..] => {
            let connected = format!(r#"40{{"sid":"{:016x}"}}"#, fastrand::u64(..));
            frame::write(out, frame::TEXT, connected.as_bytes());
            Some(Wish::Nothing)
        }
        // EVENT.
        [b'4', b'2', event @ ..] => {
            let array = event.iter().position(|byte| *byte == b'[')?;
            let (number, array) = event.split_at(array);
            let wish = wish(array)?;
            if !number.is_empty() {
                let acknowledged = [b"43", number, br#"[{"ok":true}]"#].concat();
                frame::write(out, frame::TEXT, &acknowledged);
            }
            Some(wish)
        }
        _ => None,
    }
}

fn wish(array: &[u8]) -> Option<Wish> {
    let (name, arguments): (&str, Arguments<'_>) = serde_json::from_slice(array).ok()?;
    match name {
        "subscribe" => Some(Wish::Subscribe(
            arguments
                .streams
                .unwrap_or_default()
                .into_iter()
                .chain(arguments.stream)
                .collect(),
        )),
        "publish" => {
            let event = arguments.event.map_or(r#""message""#, RawValue::get);
            let mut packet = Vec::new();
            // Writing to memory does not fail.
            let _ = write!(packet, "42[{event},{}]", arguments.data?.get());
            let mut framed = Vec::with_capacity(packet.len() + 10);
            frame::write(&mut framed, frame::TEXT, &packet);
            Some(Wish::Publish(arguments.stream?, framed))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(packet: &str) -> (Option<Wish>, String) {
        let mut out = Vec::new();
        let wish = take(packet.as_bytes(), &mut out);
        let text = out.get(2..).map(<[u8]>::to_vec).unwrap_or_default();
        (wish, String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn packets_are_answered_as_socketio_does() {
        let one = |stream: &str| Some(Wish::Subscribe(vec![stream.to_owned()]));
        assert_eq!(answered("3").0, Some(Wish::Nothing));
        assert!(answered("40").1.starts_with(r#"40{"sid":""#));
        assert_eq!(
            answered(r#"4212["subscribe",{"stream":"a"}]"#),
            (one("a"), r#"4312[{"ok":true}]"#.to_owned())
        );
        assert_eq!(
            answered(r#"42["subscribe",{"streams":["a"]}]"#),
            (one("a"), String::new())
        );
        let mut frame = Vec::new();
        frame::write(&mut frame, frame::TEXT, br#"42["message",{"x":[1]}]"#);
        let published = answered(r#"427["publish",{"stream":"s","data":{"x":[1]}}]"#);
        assert_eq!(
            published,
            (
                Some(Wish::Publish("s".to_owned(), frame)),
                r#"437[{"ok":true}]"#.to_owned()
            )
        );
        for packet in ["", "5", "42", r#"42["publish",{"data":1}]"#, r#"42["leave",{}]"#] {
            assert_eq!(answered(packet), (None, String::new()), "{packet}");
        }
    }

    #[test]
    fn the_key_of_the_specification_has_its_answer() {
        let greeting = Greeting {
            ping_interval_ms: 1,
            ping_timeout_ms: 2,
        };
        let head = b"GET /socket.io/ HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let answer = greeting.answer(head).unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{answer}"
        );
        assert!(
            answer.ends_with(r#""pingInterval":1,"pingTimeout":2,"maxPayload":1000000}"#),
            "{answer}"
        );
        assert_eq!(greeting.answer(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}

//! A client that is cut off and comes back where it was, without I/O: bytes that came go in, bytes to send come out.
//! Events are looked at where they lie, and each is ticked off.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;

use crate::load::{frame, payload};

/// How a client speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Socket.IO over WebSocket, recovered by the server.
    SocketIo,
    /// `/v1/ws`, with the cursor that it has seen last.
    WebSocket,
}

/// A client, over all its connections.
#[derive(Debug)]
pub(super) struct Client {
    dialect: Dialect,
    stream: String,
    greeted: bool,
    /// It follows its stream on this connection.
    follows: bool,
    pid: Option<String>,
    /// Its offset, or its cursor.
    position: Option<String>,
    /// Whether the server has let it go on where it was. Some servers tell that behind the events.
    recovered: Option<bool>,
    /// How often each event came.
    seen: Vec<u8>,
    /// Events that came once at the least.
    different: usize,
    /// Where the number of an event was found last.
    place: usize,
    /// Events that the server has told to be gone.
    told_gone: u64,
}

/// What became of the events of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Events that never came.
    pub(super) missing: u64,
    /// How often an event came that had come before.
    pub(super) doubled: u64,
    /// Events that are missing and were told to be.
    pub(super) told_gone: u64,
    /// 1 if the server did not recover the session.
    pub(super) unrecovered: u64,
}

#[derive(Deserialize)]
struct LetIn {
    pid: Option<String>,
}

impl Client {
    /// A client that follows `stream`, to which the events 0 to `events` will be published.
    pub(super) fn new(dialect: Dialect, stream: String, events: usize) -> Self {
        Self {
            dialect,
            stream,
            greeted: false,
            follows: false,
            pid: None,
            position: None,
            recovered: None,
            seen: vec![0; events + 1],
            different: 0,
            place: 0,
            told_gone: 0,
        }
    }

    /// A connection opens: what is said first.
    pub(super) fn open(&mut self, host: &str, out: &mut Vec<u8>) {
        self.greeted = false;
        self.follows = false;
        self.recovered = None;
        let target = match self.dialect {
            Dialect::SocketIo => "/socket.io/?EIO=4&transport=websocket",
            Dialect::WebSocket => "/v1/ws",
        };
        frame::write_handshake(out, target, host);
    }

    /// Whether it follows its stream.
    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    /// Different events that have come.
    pub(super) fn different(&self) -> usize {
        self.different
    }

    /// What became of the events so far.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            missing: (self.seen.len() - self.different) as u64,
            doubled: self
                .seen
                .iter()
                .map(|times| u64::from(times.saturating_sub(1)))
                .sum(),
            told_gone: self.told_gone,
            unrecovered: u64::from(self.recovered == Some(false)),
        }
    }

    /// Understands what is whole of `bytes` and returns how many bytes that was; the rest is to be presented again with
    /// what follows it.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut at = 0;
        if !self.greeted {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            anyhow::ensure!(
                bytes.starts_with(b"HTTP/1.1 101 "),
                "no WebSocket: {}",
                text(bytes)
            );
            at = end + 4;
            self.greeted = true;
            if self.dialect == Dialect::WebSocket {
                let from = self.position.as_deref().unwrap_or("now");
                let subscribe = json!({"type": "subscribe", "stream": self.stream, "from": from});
                say(out, &subscribe.to_string());
            }
        }
        // The place of the last message that a client would come back with.
        let mut last = None;
        while let Some(frame) = frame::first(&bytes[at..])? {
            at += frame.length;
            match (frame.opcode, self.dialect) {
                (frame::TEXT, Dialect::SocketIo) => {
                    if self.packet(frame.payload, out)? {
                        last = Some(frame.payload);
                    }
                }
                (frame::TEXT, Dialect::WebSocket) => {
                    self.message(frame.payload)?;
                    last = Some(frame.payload);
                }
                (frame::PING, _) => {
                    frame::write(out, frame::PONG, |out| out.extend_from_slice(frame.payload))
                }
                _ => bail!("the server closes: {}", text(frame.payload)),
            }
        }
        if let Some(position) = last.and_then(|last| self.position_in(last)) {
            self.position = Some(position);
        }
        Ok(at)
    }

    /// A packet; `true` if it is an event.
    fn packet(&mut self, packet: &[u8], out: &mut Vec<u8>) -> anyhow::Result<bool> {
        match packet {
            [b'4', b'2', array @ ..] => {
                if array.starts_with(b"[\"stream:") {
                    self.notice(array)?;
                } else {
                    self.event(array)?;
                }
                return Ok(true);
            }
            [b'0', ..] => {
                let auth = match (&self.pid, &self.position) {
                    (Some(pid), Some(offset)) => json!({ "pid": pid, "offset": offset }).to_string(),
                    (Some(pid), None) => json!({ "pid": pid }).to_string(),
                    (None, _) => String::new(),
                };
                say(out, &format!("40{auth}"));
            }
            [b'4', b'0', json @ ..] => {
                let let_in: LetIn = serde_json::from_slice(json).context("a CONNECT")?;
                let recovered = self.pid.is_some() && let_in.pid == self.pid;
                self.recovered = Some(recovered);
                self.follows = recovered;
                self.pid = let_in.pid;
                if !recovered {
                    let subscribe = json!(["subscribe", { "stream": self.stream }]);
                    say(out, &format!("420{subscribe}"));
                }
            }
            [b'4', b'3', rest @ ..] => {
                let refused = memchr::memmem::find(rest, b"\"error\"").is_some();
                anyhow::ensure!(!refused, "the subscription is refused: {}", text(rest));
                self.follows = true;
            }
            [b'2', ..] => say(out, "3"),
            [b'6', ..] => {}
            _ => bail!("the server sends {}", text(packet)),
        }
        Ok(false)
    }

    /// A frame of `/v1/ws`.
    fn message(&mut self, message: &[u8]) -> anyhow::Result<()> {
        if message.starts_with(br#"{"type":"event""#) {
            return self.event(message);
        }
        if message.starts_with(br#"{"type":"subscribed""#) {
            self.follows = true;
        } else if !message.starts_with(br#"{"type":"caught_up""#) {
            self.notice(message)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8]) -> anyhow::Result<()> {
        let stamp = payload::read(event, &mut self.place);
        let number = stamp
            .with_context(|| format!("the server sends {}", text(event)))?
            .number;
        let seen = self.seen.get_mut(number as usize);
        let seen = seen.with_context(|| format!("event {number} was never published"))?;
        if *seen == 0 {
            self.different += 1;
        }
        *seen = seen.saturating_add(1);
        Ok(())
    }

    /// Something that is told of the stream.
    fn notice(&mut self, notice: &[u8]) -> anyhow::Result<()> {
        const LOST: &[u8] = b"\"lost\":";
        if let Some(at) = memchr::memmem::find(notice, LOST) {
            let digits = &notice[at + LOST.len()..];
            let end = digits.iter().position(|digit| !digit.is_ascii_digit());
            let lost = std::str::from_utf8(&digits[..end.unwrap_or(digits.len())])?;
            self.told_gone += lost.parse::<u64>()?;
            return Ok(());
        }
        let fine = memchr::memmem::find(notice, b"caught_up").is_some();
        anyhow::ensure!(fine, "the server tells {}", text(notice));
        Ok(())
    }

    fn position_in(&self, message: &[u8]) -> Option<String> {
        let end = memchr::memrchr(b'"', message)?;
        let begin = memchr::memrchr(b'"', &message[..end])? + 1;
        let text = std::str::from_utf8(&message[begin..end]).ok()?;
        match self.dialect {
            // The last argument, if it is a text.
            Dialect::SocketIo => (&message[end..] == b"\"]").then(|| text.to_owned()),
            Dialect::WebSocket => {
                let key = br#""cursor":""#;
                let begin = memchr::memmem::rfind(message, key)? + key.len();
                let end = begin + memchr::memchr(b'"', &message[begin..])?;
                Some(String::from_utf8_lossy(&message[begin..end]).into_owned())
            }
        }
    }
}

impl Counts {
    /// Those of several clients together.
    pub(super) fn add(&mut self, other: Self) {
        self.missing += other.missing;
        self.doubled += other.doubled;
        self.told_gone += other.told_gone;
        self.unrecovered += other.unrecovered;
    }
}

fn say(out: &mut Vec<u8>, text: &str) {
    frame::write(out, frame::TEXT, |out| out.extend_from_slice(text.as_bytes()));
}

/// The beginning of what somebody sent, for an error.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::payload::Stamp;

    const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

    fn from_server(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        let head: &[u8] = match text.len() {
            0..126 => &[0x81, length[1]],
            _ => &[0x81, 126, length[0], length[1]],
        };
        [head, text.as_bytes()].concat()
    }

    fn event(number: u64) -> String {
        let mut data = Vec::new();
        payload::write(&mut data, Stamp { due_us: 0, number });
        String::from_utf8(data).unwrap()
    }

    /// What a client says to all this.
    fn told(client: &mut Client, texts: &[String]) -> String {
        let mut out = Vec::new();
        client.open("h", &mut out);
        out.clear();
        let frames = texts.iter().flat_map(|text| from_server(text));
        let bytes: Vec<u8> = SWITCHED.iter().copied().chain(frames).collect();
        assert_eq!(client.feed(&bytes, &mut out).unwrap(), bytes.len());
        unmasked(&out)
    }

    fn unmasked(mut frames: &[u8]) -> String {
        let mut said = String::new();
        while let [0x81, length, rest @ ..] = frames {
            let length = usize::from(length & 0x7f);
            assert!(length < 126);
            let (key, rest) = rest.split_at(4);
            let (payload, rest) = rest.split_at(length);
            said.extend(
                payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| char::from(byte ^ key)),
            );
            said.push('\n');
            frames = rest;
        }
        said
    }

    #[test]
    fn a_socketio_client_comes_back_with_its_offset_and_counts_what_is_missing_and_doubled() {
        let mut client = Client::new(Dialect::SocketIo, "s".into(), 4);
        let first = [
            r#"0{"sid":"e"}"#.to_owned(),
            r#"40{"sid":"a","pid":"p"}"#.to_owned(),
            r#"430[{"ok":true}]"#.to_owned(),
            format!(r#"42["message",{},{{"cursor":"1"}},"o1"]"#, event(0)),
        ];
        let said = told(&mut client, &first);
        assert_eq!(said, "40\n420[\"subscribe\",{\"stream\":\"s\"}]\n");
        assert!(client.follows());
        let again = [
            r#"0{"sid":"f"}"#.to_owned(),
            r#"40{"sid":"a","pid":"p"}"#.to_owned(),
            format!(r#"42["message",{},{{}},"o2"]"#, event(1)),
            format!(r#"42["message",{},{{}},"o3"]"#, event(1)),
            r#"42["stream:gap",{"stream":"s","lost":2,"cursor":"1"},"o4"]"#.to_owned(),
            format!(r#"42["message",{},{{}},"o5"]"#, event(4)),
            "2".to_owned(),
        ];
        let said = told(&mut client, &again);
        assert_eq!(said, "40{\"pid\":\"p\",\"offset\":\"o1\"}\n3\n");
        let counts = Counts {
            missing: 2,
            doubled: 1,
            told_gone: 2,
            unrecovered: 0,
        };
        assert_eq!(client.counts(), counts);
        assert_eq!(client.position.as_deref(), Some("o5"));
        let elsewhere = [
            r#"0{"sid":"g"}"#.to_owned(),
            r#"40{"sid":"b","pid":"q"}"#.to_owned(),
        ];
        assert!(told(&mut client, &elsewhere).ends_with("420[\"subscribe\",{\"stream\":\"s\"}]\n"));
        assert_eq!(client.counts().unrecovered, 1);
    }

    #[test]
    fn a_websocket_client_comes_back_with_its_cursor() {
        let mut client = Client::new(Dialect::WebSocket, "s".into(), 1);
        let first = [
            r#"{"type":"subscribed","stream":"s","cursor":"1-0.1","head":"1-0.1","verdict":{}}"#.to_owned(),
            format!(r#"{{"type":"event","data":{},"cursor":"2-0.2"}}"#, event(0)),
        ];
        let subscribe =
            |from: &str| format!("{{\"type\":\"subscribe\",\"stream\":\"s\",\"from\":\"{from}\"}}\n");
        assert_eq!(told(&mut client, &first), subscribe("now"));
        assert_eq!(told(&mut client, &[]), subscribe("2-0.2"));
        assert_eq!((client.different(), client.counts().missing), (1, 1));
    }

    #[test]
    fn what_was_never_published_is_an_error() {
        let mut client = Client::new(Dialect::WebSocket, "s".into(), 1);
        let unknown = from_server(&format!(
            r#"{{"type":"event","data":{},"cursor":"2-0.2"}}"#,
            event(9)
        ));
        assert!(
            client
                .feed(&[SWITCHED, &unknown].concat(), &mut Vec::new())
                .is_err()
        );
    }
}

//! A client that follows streams, is cut off and comes back where it was, without I/O: bytes that came go in, bytes to
//! send come out. Events are looked at where they lie, and each is told to a [`Tally`].

mod line;
mod tail;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, json};

use crate::load::{frame, http, payload};
pub(super) use line::Line;
use tail::Tail;

/// Streams that one of them follows at the most.
const STREAMS_MAX: usize = 2;

/// How a client speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Socket.IO over WebSocket, recovered by the server.
    SocketIo,
    /// `/v1/ws`, with the cursor of each stream that it has seen last.
    WebSocket,
    /// Server-sent events, with the last ID.
    Sse,
}

/// What becomes of the events.
pub(super) trait Tally {
    /// An event of this number came. An error: it was never published.
    fn count(&mut self, number: u64) -> anyhow::Result<()>;
}

/// A client, over all its connections.
#[derive(Debug)]
pub(super) struct Follower<T> {
    dialect: Dialect,
    streams: Vec<String>,
    greeted: bool,
    /// Streams that it follows on this connection.
    followed: usize,
    pid: Option<String>,
    /// The cursor of each stream; of a dialect that has one position for all, the first is that.
    positions: [Option<String>; STREAMS_MAX],
    /// How often the server has begun a new session instead of going on with the one it had.
    unrecovered: u64,
    tail: Tail,
    /// Where the number of an event was found last.
    place: usize,
    /// Events that the server has told to be gone.
    told_gone: u64,
    /// What became of the events so far.
    pub(super) tally: T,
}

#[derive(Deserialize)]
struct LetIn {
    pid: Option<String>,
}

impl<T: Tally> Follower<T> {
    /// A client that follows these streams from now on.
    pub(super) fn new(dialect: Dialect, streams: Vec<String>, tally: T) -> Self {
        assert!((1..=STREAMS_MAX).contains(&streams.len()), "{streams:?}");
        Self {
            dialect,
            streams,
            greeted: false,
            followed: 0,
            pid: None,
            positions: [const { None }; STREAMS_MAX],
            unrecovered: 0,
            tail: Tail::default(),
            place: 0,
            told_gone: 0,
            tally,
        }
    }

    /// A connection opens: what is said first.
    pub(super) fn open(&mut self, host: &str, out: &mut Vec<u8>) {
        self.greeted = false;
        self.followed = 0;
        match self.dialect {
            Dialect::SocketIo => {
                frame::write_handshake(out, "/socket.io/?EIO=4&transport=websocket", host);
            }
            Dialect::WebSocket => frame::write_handshake(out, "/v1/ws", host),
            Dialect::Sse => {
                self.tail = Tail::default();
                tail::write_request(out, &self.streams, self.positions[0].as_deref(), host);
            }
        }
    }

    /// Whether the server has answered on this connection.
    pub(super) fn is_open(&self) -> bool {
        self.greeted
    }

    /// Whether it follows its streams.
    pub(super) fn follows(&self) -> bool {
        self.followed == self.streams.len()
    }

    /// Events that are missing and were told to be.
    pub(super) fn told_gone(&self) -> u64 {
        self.told_gone
    }

    /// How often the server has begun a new session instead of recovering the one it had.
    pub(super) fn unrecovered(&self) -> u64 {
        self.unrecovered
    }

    /// Understands what is whole of `bytes` and returns how many bytes that was; the rest is to be presented again with
    /// what follows it.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut at = 0;
        if !self.greeted {
            let status = if self.dialect == Dialect::Sse {
                "200"
            } else {
                "101"
            };
            let Some(length) = http::head(bytes, status)? else {
                return Ok(0);
            };
            at = length;
            self.greeted = true;
            match self.dialect {
                // The server speaks first.
                Dialect::SocketIo => {}
                Dialect::WebSocket => self.subscribe(out),
                Dialect::Sse => self.followed = self.streams.len(),
            }
        }
        match self.dialect {
            Dialect::Sse => at += self.lines(&bytes[at..])?,
            Dialect::SocketIo | Dialect::WebSocket => at += self.frames(&bytes[at..], out)?,
        }
        Ok(at)
    }

    fn subscribe(&self, out: &mut Vec<u8>) {
        let position = |(stream, position): (&String, &Option<String>)| {
            (stream.clone(), json!(position.as_deref().unwrap_or("now")))
        };
        let streams: Map<_, _> = self.streams.iter().zip(&self.positions).map(position).collect();
        say(out, &json!({"type": "subscribe", "streams": streams}).to_string());
    }

    fn frames(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut at = 0;
        // The last message of each stream that a client would come back with.
        let mut last = [None; STREAMS_MAX];
        while let Some(frame) = frame::first(&bytes[at..])? {
            at += frame.length;
            match (frame.opcode, self.dialect) {
                (frame::TEXT, Dialect::SocketIo) => {
                    if self.packet(frame.payload, out)? {
                        last[0] = Some(frame.payload);
                    }
                }
                (frame::TEXT, _) => {
                    let moves = self.message(frame.payload)?;
                    if let Some(stream) = self.stream_of(frame.payload).filter(|_| moves) {
                        last[stream] = Some(frame.payload);
                    }
                }
                (frame::PING, _) => {
                    frame::write(out, frame::PONG, |out| out.extend_from_slice(frame.payload));
                }
                _ => bail!("the server closes: {}", text(frame.payload)),
            }
        }
        for (position, last) in self.positions.iter_mut().zip(last) {
            if let Some(moved) = last.and_then(|last| position_in(self.dialect, last)) {
                *position = Some(moved);
            }
        }
        Ok(at)
    }

    /// A packet; `true` if it is an event that a client would come back with.
    fn packet(&mut self, packet: &[u8], out: &mut Vec<u8>) -> anyhow::Result<bool> {
        match packet {
            [b'4', b'2', array @ ..] => {
                match array.strip_prefix(b"[\"stream:") {
                    Some(notice) => {
                        self.notice(word(notice), notice)?;
                        return Ok(word(notice) != DEGRADED);
                    }
                    None => self.event(array)?,
                }
                return Ok(true);
            }
            [b'0', ..] => {
                let auth = match (&self.pid, &self.positions[0]) {
                    (Some(pid), Some(offset)) => json!({ "pid": pid, "offset": offset }).to_string(),
                    (Some(pid), None) => json!({ "pid": pid }).to_string(),
                    (None, _) => String::new(),
                };
                say(out, &format!("40{auth}"));
            }
            [b'4', b'0', json @ ..] => {
                let let_in: LetIn = serde_json::from_slice(json).context("a CONNECT")?;
                let recovered = self.pid.is_some() && let_in.pid == self.pid;
                self.unrecovered += u64::from(self.pid.is_some() && !recovered);
                self.pid = let_in.pid;
                if recovered {
                    self.followed = self.streams.len();
                } else {
                    for (number, stream) in self.streams.iter().enumerate() {
                        let subscribe = json!(["subscribe", { "stream": stream }]);
                        say(out, &format!("42{number}{subscribe}"));
                    }
                }
            }
            [b'4', b'3', rest @ ..] => {
                let refused = memchr::memmem::find(rest, b"\"error\"").is_some();
                anyhow::ensure!(!refused, "the subscription is refused: {}", text(rest));
                self.followed += 1;
            }
            [b'2', ..] => say(out, "3"),
            [b'6', ..] => {}
            _ => bail!("the server sends {}", text(packet)),
        }
        Ok(false)
    }

    /// A frame of `/v1/ws`; `true` if it says where its stream stands.
    fn message(&mut self, message: &[u8]) -> anyhow::Result<bool> {
        let kind = word(message.strip_prefix(br#"{"type":""#).unwrap_or_default());
        match kind {
            b"event" => self.event(message)?,
            b"subscribed" => self.followed += 1,
            kind => self.notice(kind, message)?,
        }
        Ok(kind != DEGRADED)
    }

    /// Which of its streams a frame of `/v1/ws` is about.
    fn stream_of(&self, message: &[u8]) -> Option<usize> {
        const STREAM: &[u8] = br#""stream":""#;
        if self.streams.len() == 1 {
            return Some(0);
        }
        let name = &message[memchr::memmem::find(message, STREAM)? + STREAM.len()..];
        self.streams
            .iter()
            .position(|stream| stream.as_bytes() == word(name))
    }

    fn event(&mut self, event: &[u8]) -> anyhow::Result<()> {
        let number = self.number(event)?;
        self.tally.count(number)
    }

    fn number(&mut self, event: &[u8]) -> anyhow::Result<u64> {
        let stamp = payload::read(event, &mut self.place);
        let stamp = stamp.with_context(|| format!("the server sends {}", text(event)))?;
        Ok(stamp.number)
    }

    /// Something that is told of a stream.
    fn notice(&mut self, kind: &[u8], notice: &[u8]) -> anyhow::Result<()> {
        const LOST: &[u8] = b"\"lost\":";
        match kind {
            b"gap" => {
                let at = memchr::memmem::find(notice, LOST).context("a gap of nobody knows how many")?;
                let digits = &notice[at + LOST.len()..];
                let end = digits.iter().position(|digit| !digit.is_ascii_digit());
                let lost = std::str::from_utf8(&digits[..end.unwrap_or(digits.len())])?;
                self.told_gone += lost.parse::<u64>()?;
            }
            b"caught_up" | b"cursor" | b"degraded" | b"restored" => {}
            _ => bail!("the server tells {}", text(notice)),
        }
        Ok(())
    }
}

/// The notice that says nothing of a position.
const DEGRADED: &[u8] = b"degraded";

/// What a client would come back with after this message.
fn position_in(dialect: Dialect, message: &[u8]) -> Option<String> {
    if dialect == Dialect::WebSocket {
        let key = br#""cursor":""#;
        let begin = memchr::memmem::rfind(message, key)? + key.len();
        return Some(String::from_utf8_lossy(word(&message[begin..])).into_owned());
    }
    // The last argument, if it is a text.
    let end = memchr::memrchr(b'"', message)?;
    let begin = memchr::memrchr(b'"', &message[..end])? + 1;
    let text = std::str::from_utf8(&message[begin..end]).ok()?;
    (&message[end..] == b"\"]").then(|| text.to_owned())
}

/// All before the first quotation mark.
fn word(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(b'"', bytes).unwrap_or(bytes.len())]
}

fn say(out: &mut Vec<u8>, text: &str) {
    frame::write(out, frame::TEXT, |out| out.extend_from_slice(text.as_bytes()));
}

/// The beginning of what somebody sent, for an error.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

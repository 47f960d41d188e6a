//! What is said on one connection, from the first request on, without any I/O: bytes that came go in, bytes to send and
//! what was understood come out. Of an event only its place is found; nothing is parsed or copied.

use std::io::Write;

use anyhow::{bail, ensure};

use super::http::{Chunks, Lines, head};
use super::polling::Polling;
use super::{frame, payload};

/// How a client speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Protocol {
    /// Socket.IO over WebSocket.
    SocketIo,
    /// Socket.IO over HTTP long polling. Nothing can be published on it.
    SocketIoPolling,
    /// Weir's own frames on `/v1/ws`, in JSON.
    WebSocket,
    /// A tail as server-sent events. Nothing can be published on it.
    Sse,
    /// A tail as NDJSON. Nothing can be published on it.
    Ndjson,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Follows a stream from now on.
    Follows(String),
    /// Publishes, or only stays.
    Stays,
}

/// Something that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming<'a> {
    /// The connection does what it is for from here on.
    Ready,
    /// An event; its data are somewhere in this.
    Event(&'a [u8]),
    /// The server has answered what was published.
    Acknowledged {
        /// Whether it was taken.
        ok: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head of the HTTP response is still to come.
    Opening,
    /// The rest of the greeting.
    Joining,
    Ready,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    protocol: Protocol,
    role: Role,
    state: State,
    chunks: Chunks,
    lines: Lines,
    /// Of a connection that polls.
    polling: Option<Polling>,
}

impl Session {
    /// A connection to `host`, and what it sends first.
    pub(super) fn open(
        protocol: Protocol,
        role: Role,
        host: &str,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Self> {
        let polling = match protocol {
            Protocol::SocketIoPolling => Some(Polling::open(host, out)),
            _ => None,
        };
        let upgrade = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: d2VpciBpcyBtZWFzdXJlZA==\r\n";
        let request = match (protocol, &role) {
            (Protocol::SocketIoPolling, _) => None,
            (Protocol::SocketIo, _) => Some(("/socket.io/?EIO=4&transport=websocket".to_owned(), upgrade)),
            (Protocol::WebSocket, _) => Some(("/v1/ws".to_owned(), upgrade)),
            (Protocol::Sse, Role::Follows(stream)) => Some((tail(stream), "accept: text/event-stream\r\n")),
            (Protocol::Ndjson, Role::Follows(stream)) => {
                Some((tail(stream), "accept: application/x-ndjson\r\n"))
            }
            (Protocol::Sse | Protocol::Ndjson, Role::Stays) => bail!("a tail follows a stream"),
        };
        if let Some((target, headers)) = request {
            write!(out, "GET {target} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n")?;
        }
        Ok(Self {
            protocol,
            role,
            state: State::Opening,
            chunks: Chunks::default(),
            lines: Lines::default(),
            polling,
        })
    }

    /// Appends what publishes an event to `out`.
    pub(super) fn publish(&self, stream: &str, stamp: payload::Stamp, out: &mut Vec<u8>) {
        frame::write(out, frame::TEXT, |out| {
            let number = stamp.number;
            // Writing to memory does not fail.
            let _ = match self.protocol {
                Protocol::SocketIo => write!(out, r#"42{number}["publish",{{"stream":"{stream}","data":"#),
                _ => write!(out, r#"{{"type":"publish","stream":"{stream}","data":"#),
            };
            payload::write(out, stamp);
            out.extend_from_slice(match self.protocol {
                Protocol::SocketIo => b"}]",
                _ => b"}",
            });
        });
    }

    /// Understands what is whole of `bytes` and returns how many bytes that was; the rest is to be presented again with
    /// what follows it. An error is the end of the connection.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut told: impl FnMut(Incoming<'_>),
    ) -> anyhow::Result<usize> {
        if self.polling.is_some() {
            return self.polled(bytes, out, &mut told);
        }
        let mut at = 0;
        if self.state == State::Opening {
            let status = match self.protocol {
                Protocol::SocketIo | Protocol::WebSocket => "101",
                _ => "200",
            };
            let Some(length) = head(bytes, status)? else {
                return Ok(0);
            };
            at = length;
            self.state = State::Joining;
            self.greet(out, &mut told);
        }
        match self.protocol {
            Protocol::SocketIo | Protocol::WebSocket => {
                while let Some(frame) = frame::first(&bytes[at..])? {
                    at += frame.length;
                    self.frame(frame.opcode, frame.payload, out, &mut told)?;
                }
            }
            _ => {
                let (mut chunks, mut lines) =
                    (std::mem::take(&mut self.chunks), std::mem::take(&mut self.lines));
                at += chunks.feed(&bytes[at..], |data| {
                    lines.feed(data, |line| self.line(line, &mut told))
                })?;
                (self.chunks, self.lines) = (chunks, lines);
            }
        }
        Ok(at)
    }

    /// What is sent once the connection is a WebSocket. With Socket.IO the server speaks first.
    fn greet(&mut self, out: &mut Vec<u8>, told: &mut impl FnMut(Incoming<'_>)) {
        if self.protocol != Protocol::WebSocket {
            return;
        }
        match &self.role {
            Role::Follows(stream) => frame::write(out, frame::TEXT, |out| {
                let _ = write!(out, r#"{{"type":"subscribe","stream":"{stream}"}}"#);
            }),
            Role::Stays => self.become_ready(told),
        }
    }

    fn become_ready(&mut self, told: &mut impl FnMut(Incoming<'_>)) {
        self.state = State::Ready;
        told(Incoming::Ready);
    }

    fn frame(
        &mut self,
        opcode: u8,
        payload: &[u8],
        out: &mut Vec<u8>,
        told: &mut impl FnMut(Incoming<'_>),
    ) -> anyhow::Result<()> {
        match opcode {
            frame::TEXT if self.protocol == Protocol::SocketIo => self.packet(payload, out, told),
            frame::TEXT => self.message(payload, told),
            frame::PING => {
                frame::write(out, frame::PONG, |out| out.extend_from_slice(payload));
                Ok(())
            }
            frame::CLOSE => bail!(
                "the server closes: {}",
                text(payload.get(2..).unwrap_or_default())
            ),
            _ => bail!("a WebSocket frame with opcode {opcode}"),
        }
    }

    /// Answers to what was asked by polling; each leads to the next request.
    fn polled(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        told: &mut impl FnMut(Incoming<'_>),
    ) -> anyhow::Result<usize> {
        let mut at = 0;
        while let Some(polling) = &mut self.polling
            && let Some((length, packets)) = polling.answer(&bytes[at..])?
        {
            at += length;
            for packet in packets {
                self.packet(packet, out, told)?;
            }
            if let Some(polling) = &mut self.polling {
                polling.next(out);
            }
        }
        Ok(at)
    }

    /// Says a packet of Engine.IO.
    fn say(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.polling {
            Some(polling) => polling.say(write),
            None => frame::write(out, frame::TEXT, write),
        }
    }

    /// A packet of Engine.IO, with one of Socket.IO in it.
    fn packet(
        &mut self,
        packet: &[u8],
        out: &mut Vec<u8>,
        told: &mut impl FnMut(Incoming<'_>),
    ) -> anyhow::Result<()> {
        match packet {
            [b'4', b'2', ..] => told(Incoming::Event(packet)),
            [b'4', b'3', rest @ ..] => {
                let ok = !has(rest, b"\"error\"");
                if self.state == State::Ready {
                    told(Incoming::Acknowledged { ok });
                } else {
                    ensure!(ok, "the subscription is refused: {}", text(rest));
                    self.become_ready(told);
                }
            }
            [b'2', ..] => self.say(out, |out| out.push(b'3')),
            [b'0', ..] => self.say(out, |out| out.extend_from_slice(b"40")),
            [b'4', b'0', ..] => match &self.role {
                Role::Follows(stream) => {
                    let subscribe = format!(r#"420["subscribe",{{"stream":"{stream}"}}]"#);
                    self.say(out, |out| out.extend_from_slice(subscribe.as_bytes()));
                }
                Role::Stays => self.become_ready(told),
            },
            [b'6', ..] => {}
            _ => bail!("the server sends {}", text(packet)),
        }
        Ok(())
    }

    /// A frame of `/v1/ws`.
    fn message(&mut self, message: &[u8], told: &mut impl FnMut(Incoming<'_>)) -> anyhow::Result<()> {
        let kind = message.strip_prefix(br#"{"type":""#).unwrap_or_default();
        let kind = &kind[..memchr::memchr(b'"', kind).unwrap_or_default()];
        match kind {
            b"event" => told(Incoming::Event(message)),
            b"published" => told(Incoming::Acknowledged { ok: true }),
            b"error" if self.state == State::Ready => told(Incoming::Acknowledged { ok: false }),
            b"subscribed" => self.become_ready(told),
            b"caught_up" => {}
            _ => bail!("the server sends {}", text(message)),
        }
        Ok(())
    }

    /// A line of a tail.
    fn line(&mut self, line: &[u8], told: &mut impl FnMut(Incoming<'_>)) -> anyhow::Result<()> {
        let json = line.strip_prefix(b"data: ").unwrap_or(line);
        if json.starts_with(br#"{"id""#) {
            told(Incoming::Event(json));
        } else if line == b"event: caught_up" || line.starts_with(br#"{"control":"caught_up""#) {
            self.become_ready(told);
        } else if line.starts_with(br#"{"control":"#) || line.starts_with(b"event: ") {
            bail!("the server sends {}", text(line));
        }
        Ok(())
    }
}

fn tail(stream: &str) -> String {
    format!("/v1/streams/{stream}")
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// The beginning of what somebody sent, for an error.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

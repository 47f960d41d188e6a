//! From the bytes of a client to its messages. Pure: bytes go in, in whatever pieces they come.
//!
//! It holds what is not complete yet, and memory grows with what has come, not with what a header promises.

use bytes::Bytes;

use super::frame::{self, Breach, CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header, Opcode};

/// Bytes that are made room for when a message begins that is not there as a whole.
const FIRST_ROOM_BYTES: usize = 4 * 1024;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A text: valid UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// To be answered with a pong that says the same.
    Ping(Bytes),
    /// An answer to a ping.
    Pong,
    /// The goodbye, with its code. Nothing comes behind it.
    Close(Option<u16>),
}

/// The state of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    message_bytes_max: usize,
    /// The beginning of a header that is not complete.
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: u8,
    /// After a close or a breach the rest does not matter.
    over: bool,
    frame: Option<Frame>,
    message: Message,
    /// The payload of the control frame under way.
    control: Vec<u8>,
}

/// A frame whose header is known.
#[derive(Debug, Clone, Copy)]
struct Frame {
    header: Header,
    taken: usize,
}

/// The message under way, which may have several frames.
#[derive(Debug, Default)]
struct Message {
    kind: Option<Kind>,
    payload: Vec<u8>,
    /// So much of a text is known to be UTF-8.
    valid: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

impl Decoder {
    /// A connection on which nothing has come. A message may have so many bytes.
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_bytes: 0,
            over: false,
            frame: None,
            message: Message::default(),
            control: Vec::new(),
        }
    }

    /// Takes bytes from `input` until something is complete; `None`: all were taken, and more are needed.
    ///
    /// After an error, as after a close, everything that still comes is dropped.
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Breach> {
        let decoded = self.decode_frames(input);
        if matches!(decoded, Err(_) | Ok(Some(Incoming::Close(_)))) {
            self.over = true;
            self.frame = None;
            self.message = Message::default();
            self.control = Vec::new();
        }
        decoded
    }

    /// Whether the client has said goodbye or broken the protocol.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    fn decode_frames(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Breach> {
        if self.over {
            *input = &[];
            return Ok(None);
        }
        loop {
            if self.frame.is_none() {
                let Some(header) = self.take_header(input)? else {
                    return Ok(None);
                };
                self.begin(header)?;
            }
            let Some(header) = self.take_payload(input)? else {
                return Ok(None);
            };
            self.frame = None;
            if let Some(incoming) = self.end(header)? {
                return Ok(Some(incoming));
            }
        }
    }

    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Breach> {
        if self.header_bytes == 0
            && let Some((header, used)) = Header::parse(input)?
        {
            *input = &input[used..];
            return Ok(Some(header));
        }
        let held = usize::from(self.header_bytes);
        let count = input.len().min(HEADER_BYTES_MAX - held);
        self.header[held..held + count].copy_from_slice(&input[..count]);
        match Header::parse(&self.header[..held + count])? {
            Some((header, used)) => {
                *input = &input[used - held..];
                self.header_bytes = 0;
                Ok(Some(header))
            }
            None => {
                // A whole header fits, so all of `input` was taken.
                *input = &input[count..];
                self.header_bytes = (held + count) as u8;
                Ok(None)
            }
        }
    }

    /// Checks what a header begins.
    fn begin(&mut self, header: Header) -> Result<(), Breach> {
        self.frame = Some(Frame { header, taken: 0 });
        if header.opcode.is_control() {
            return Ok(());
        }
        match (header.opcode, self.message.kind) {
            (Opcode::Continuation, Some(_)) => {}
            (Opcode::Text, None) => self.message.kind = Some(Kind::Text),
            (Opcode::Binary, None) => self.message.kind = Some(Kind::Binary),
            _ => return Err(Breach::Protocol),
        }
        let room = self.message_bytes_max - self.message.payload.len();
        match usize::try_from(header.length) {
            Ok(length) if length <= room => Ok(()),
            _ => Err(Breach::TooBig),
        }
    }

    /// Takes payload; returns the header of the frame if that is complete.
    fn take_payload(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Breach> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let missing = frame.header.length as usize - frame.taken;
        let (piece, rest) = input.split_at(missing.min(input.len()));
        let whole = piece.len() == missing;
        let payload = match frame.header.opcode.is_control() {
            true => &mut self.control,
            false => &mut self.message.payload,
        };
        let start = payload.len();
        if payload.capacity() == 0 && !piece.is_empty() {
            // A message that is here as a whole gets exactly what it needs.
            let room = match whole && frame.header.last {
                true => piece.len(),
                false => missing.min(FIRST_ROOM_BYTES).max(piece.len()),
            };
            payload.reserve_exact(room);
        }
        payload.extend_from_slice(piece);
        frame::unmask(&mut payload[start..], frame.header.mask, frame.taken);
        frame.taken += piece.len();
        let header = frame.header;
        *input = rest;
        if !header.opcode.is_control() {
            self.message.check()?;
        }
        Ok(whole.then_some(header))
    }

    /// A frame is complete; is something else complete with it?
    fn end(&mut self, header: Header) -> Result<Option<Incoming>, Breach> {
        debug_assert!(self.control.len() <= CONTROL_BYTES_MAX);
        match header.opcode {
            Opcode::Close => {
                let code = frame::close_code(&std::mem::take(&mut self.control))?;
                Ok(Some(Incoming::Close(code)))
            }
            Opcode::Ping => Ok(Some(Incoming::Ping(std::mem::take(&mut self.control).into()))),
            Opcode::Pong => {
                self.control = Vec::new();
                Ok(Some(Incoming::Pong))
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary if header.last => {
                std::mem::take(&mut self.message).complete().map(Some)
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
        }
    }
}

impl Message {
    /// Looks at the part of a text that was not looked at yet. A character may be cut at the end.
    fn check(&mut self) -> Result<(), Breach> {
        if self.kind != Some(Kind::Text) {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.valid..]) {
            Ok(text) => self.valid += text.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Breach::InvalidUtf8),
        }
        Ok(())
    }

    fn complete(self) -> Result<Incoming, Breach> {
        let payload = Bytes::from(self.payload.into_boxed_slice());
        match self.kind {
            Some(Kind::Text) if self.valid < payload.len() => Err(Breach::InvalidUtf8),
            Some(Kind::Text) => Ok(Incoming::Text(payload)),
            Some(Kind::Binary) => Ok(Incoming::Binary(payload)),
            None => Err(Breach::Protocol),
        }
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;

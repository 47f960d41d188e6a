//! Payloads: the packets of one request or answer when polling, separated by a record separator. Binary is base64
//! behind a `b`. Pure.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::packet::{NoPacket, Packet};
use crate::websocket::{Opcode, Outgoing};

const SEPARATOR: u8 = 0x1e;
const BINARY: u8 = b'b';

/// As clients write it, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The packets of a client's payload that are not taken yet.
#[derive(Debug)]
pub(crate) struct Payload {
    body: Bytes,
    /// Where the next packet begins; `None` behind the last.
    next: Option<usize>,
}

impl Payload {
    /// A payload must be text.
    pub(crate) fn new(body: Bytes) -> Result<Self, NoPacket> {
        match std::str::from_utf8(&body) {
            Ok(_) => Ok(Self { body, next: Some(0) }),
            Err(_) => Err(NoPacket),
        }
    }

    /// Whether every packet was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// Takes the next packet.
    pub(crate) fn next(&mut self) -> Option<Result<Packet, NoPacket>> {
        let start = self.next?;
        let length = memchr::memchr(SEPARATOR, &self.body[start..]);
        let end = length.map_or(self.body.len(), |length| start + length);
        self.next = length.map(|_| end + 1);
        Some(match self.body.get(start) {
            Some(&BINARY) => BASE64
                .decode(&self.body[start + 1..end])
                .map(|bytes| Packet::of_binary(bytes.into()))
                .map_err(|_| NoPacket),
            _ => Packet::of_text(self.piece(start, end)),
        })
    }

    /// A small piece is copied, so that whoever keeps it does not keep the whole body.
    fn piece(&self, start: usize, end: usize) -> Bytes {
        match (end - start) * 2 < self.body.len() {
            true => Bytes::copy_from_slice(&self.body[start..end]),
            false => self.body.slice(start..end),
        }
    }
}

/// Takes packets out of `outgoing` as long as the payload has at most `bytes_max` bytes; the first in any case.
pub(crate) fn take(outgoing: &mut Outgoing, bytes_max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut binary = Vec::new();
    while let Some((opcode, length)) = outgoing.front() {
        let encoded = match opcode {
            Opcode::Binary => 1 + length.div_ceil(3) * 4,
            _ => length,
        };
        if !out.is_empty() {
            if out.len() + 1 + encoded > bytes_max {
                break;
            }
            out.push(SEPARATOR);
        }
        match opcode {
            Opcode::Binary => {
                binary.clear();
                outgoing.pop(&mut binary);
                push_binary(&binary, &mut out);
            }
            _ => {
                outgoing.pop(&mut out);
            }
        }
    }
    out
}

fn push_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(BINARY);
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // There is exactly the room that it takes.
    let used = BASE64.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + used);
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;

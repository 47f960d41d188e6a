//! What the fuzzers of `edge/fuzz` run, and what the tests run over their seeds: any bytes, and what must hold
//! whatever they are.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::core::driver::{Driver, Step, fall_silent, take};
use super::packet::Packet;
use super::payload::{self, Payload};
use super::{Message, Outbox};
use crate::websocket::fuzz;

/// Bytes that a payload may have.
const PAYLOAD_BYTES_MAX: usize = 1_000;

/// Reads `bytes` behind the first as what a client sends on a WebSocket: whole, and in pieces of the length that the
/// first byte says. It means the same.
pub fn websocket(bytes: &[u8]) {
    fuzz::decode(bytes);
}

/// Reads `bytes` as a payload that a client posts. Its messages arrive unchanged when they are sent back.
pub fn payload(bytes: &[u8]) {
    let Ok(mut payload) = Payload::new(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let mut outbox = Outbox::default();
    let mut messages = Vec::new();
    let mut count = 0;
    while let Some(packet) = payload.next() {
        count += 1;
        let Ok(Packet::Message(message)) = packet else {
            continue;
        };
        match &message {
            Message::Text(text) => outbox.text(&[text]),
            Message::Binary(bytes) => outbox.binary(bytes),
        }
        messages.push(message);
    }
    assert_eq!(count, bytes.split(|byte| *byte == 0x1e).count());
    assert!(payload.is_empty());
    let mut back = Vec::new();
    while !outbox.is_empty() {
        let body = payload::take(outbox.frames(), PAYLOAD_BYTES_MAX);
        let before = back.len();
        let mut payload = Payload::new(body.clone().into()).expect("what is sent is text");
        while let Some(packet) = payload.next() {
            match packet {
                Ok(Packet::Message(message)) => back.push(message),
                other => panic!("{other:?} in {body:?}"),
            }
        }
        assert!(body.len() <= PAYLOAD_BYTES_MAX || back.len() == before + 1);
    }
    assert_eq!(back, messages);
}

/// Lets happen to a session what `bytes` say, one thing each; the first says whether it polls. The driver checks the
/// orders of the core. In the end the client falls silent, and the session must end.
pub fn session(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let mut driver = Driver::new(first % 2 == 0);
    for byte in rest {
        take(&mut driver, step(*byte));
    }
    fall_silent(&mut driver);
}

fn step(byte: u8) -> Step {
    match byte {
        // Printable, so that seeds can be read.
        b'a'..=b'v' => Step::Input(byte - b'a'),
        b'S' => Step::Say,
        b'W' => Step::Write,
        b'C' => Step::Close,
        b'D' => Step::Deadline,
        b'R' => Step::Read(true),
        b'N' => Step::Read(false),
        other => Step::Pass(u64::from(other) * 150),
    }
}

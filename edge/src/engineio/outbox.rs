//! What a protocol wants sent.

use bytes::Bytes;

use super::Message;
use super::packet::MESSAGE;
use crate::websocket::{Opcode, Outgoing};

pub use crate::websocket::Piece;

/// Messages that wait to be sent, in order, and whether the session is to end behind them.
///
/// They are kept as they stand on a WebSocket, in one piece of memory, so that a message is copied once.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: Outgoing,
    closing: bool,
}

impl Outbox {
    /// Adds a text message made of `parts`, which together are valid UTF-8.
    pub fn text(&mut self, parts: &[&[u8]]) {
        let parts = parts.iter().map(|part| Piece::Copied(part));
        self.frames
            .push(Opcode::Text, std::iter::once(Piece::Copied(MESSAGE)).chain(parts));
    }

    /// Adds a text message of pieces, of which the large ones stay shared with others until they are sent.
    pub fn text_of(&mut self, pieces: &[Piece<'_>]) {
        let pieces = pieces.iter().copied();
        self.frames.push(
            Opcode::Text,
            std::iter::once(Piece::Copied(MESSAGE)).chain(pieces),
        );
    }

    /// Adds a binary message.
    pub fn binary(&mut self, bytes: &[u8]) {
        self.frames
            .push(Opcode::Binary, std::iter::once(Piece::Copied(bytes)));
    }

    /// Adds a binary message that stays shared with others until it is sent, if it is large.
    pub fn binary_shared(&mut self, bytes: &Bytes) {
        self.frames
            .push(Opcode::Binary, std::iter::once(Piece::Shared(bytes)));
    }

    /// Ends the session when everything has been sent.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Whether the session is to end.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.frames.bytes()
    }

    /// Takes everything that waits: for tests of what runs on top.
    pub fn take(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut bytes = Vec::new();
        while let Some(opcode) = self.frames.pop(&mut bytes) {
            let bytes = Bytes::from(std::mem::take(&mut bytes));
            messages.push(match opcode {
                Opcode::Binary => Message::Binary(bytes),
                _ => Message::Text(bytes.slice(MESSAGE.len()..)),
            });
        }
        messages
    }

    /// Adds a packet that is no message.
    pub(super) fn packet(&mut self, packet: &[u8]) {
        self.frames
            .push(Opcode::Text, std::iter::once(Piece::Copied(packet)));
    }

    /// The frames that wait.
    pub(super) fn frames(&mut self) -> &mut Outgoing {
        &mut self.frames
    }

    /// The frames that wait, to look at.
    pub(super) fn frames_ref(&self) -> &Outgoing {
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_taken_out() {
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![b'x'; 100_000]);
        outbox.text(&[b"2[\"a\"", b"]"]);
        outbox.binary(&[1, 2]);
        outbox.text_of(&[Piece::Copied(b"2["), Piece::Shared(&large), Piece::Copied(b"]")]);
        outbox.binary_shared(&large);
        assert!(outbox.bytes() > 200_000);
        let whole = [b"2[".as_slice(), &large, b"]"].concat();
        assert_eq!(
            outbox.take(),
            [
                Message::Text(Bytes::from_static(b"2[\"a\"]")),
                Message::Binary(Bytes::from_static(&[1, 2])),
                Message::Text(whole.into()),
                Message::Binary(large),
            ]
        );
        assert!(outbox.is_empty() && outbox.take().is_empty());
    }
}

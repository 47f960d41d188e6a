//! What a protocol wants sent.

use bytes::Bytes;

use super::Message;

/// Messages that wait to be sent, in order, and whether the session is to end behind them.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: Vec<Message>,
    closing: bool,
}

impl Outbox {
    /// Adds a text message made of `parts`, which together are valid UTF-8.
    pub fn text(&mut self, parts: &[&[u8]]) {
        self.messages.push(Message::Text(Bytes::from(parts.concat())));
    }

    /// Adds a binary message.
    pub fn binary(&mut self, bytes: &[u8]) {
        self.messages.push(Message::Binary(Bytes::copy_from_slice(bytes)));
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
        self.messages.is_empty()
    }

    /// Takes everything that waits.
    pub fn take(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}

//! Packets: the units of Engine.IO v4. Pure.

use bytes::{Buf as _, Bytes};

use super::Message;

/// What the client says to try a WebSocket, and what it is answered with.
const PROBE: &[u8] = b"probe";

/// The first packet of a session.
pub(crate) const OPEN: u8 = b'0';
/// The end of a session.
pub(crate) const CLOSE: &[u8] = b"1";
/// Asks the client for a sign of life.
pub(crate) const PING: &[u8] = b"2";
/// The answer to a client that tries a WebSocket.
pub(crate) const PROBED: &[u8] = b"3probe";
/// Comes before the text of a message.
pub(crate) const MESSAGE: &[u8] = b"4";
/// Says nothing, and so ends a request that waits.
pub(crate) const NOOP: &[u8] = b"6";

/// A packet of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The client ends the session.
    Close,
    /// A client pings only to try a WebSocket.
    Ping {
        /// Whether it says that it does.
        probe: bool,
    },
    /// The answer to a ping.
    Pong,
    /// A message.
    Message(Message),
    /// The client changes to the WebSocket on which this came.
    Upgrade,
    /// A packet that means nothing when it comes from a client.
    Nothing,
}

/// What came is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPacket;

impl Packet {
    /// Reads a packet from text: its type, and what follows.
    pub(crate) fn of_text(mut text: Bytes) -> Result<Self, NoPacket> {
        match text.first() {
            Some(b'0' | b'6') => Ok(Self::Nothing),
            Some(b'1') => Ok(Self::Close),
            Some(b'2') => Ok(Self::Ping {
                probe: &text[1..] == PROBE,
            }),
            Some(b'3') => Ok(Self::Pong),
            Some(b'4') => {
                text.advance(1);
                Ok(Self::Message(Message::Text(text)))
            }
            Some(b'5') => Ok(Self::Upgrade),
            _ => Err(NoPacket),
        }
    }

    /// Binary is always a message.
    pub(crate) fn of_binary(bytes: Bytes) -> Self {
        Self::Message(Message::Binary(bytes))
    }
}

//! The two encodings of a socket's frames, and how a client chooses one.

use crate::websocket::Opcode;

/// How the frames of one socket are encoded. Fixed by the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text frames, each one JSON object.
    Json,
    /// Binary frames, each one MessagePack map.
    MessagePack,
}

impl Format {
    /// Every format, in the order in which the server names them.
    pub(crate) const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The name that stands in `Sec-WebSocket-Protocol`.
    pub(crate) const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "weir.v1.json",
            Self::MessagePack => "weir.v1.msgpack",
        }
    }

    /// The format a subprotocol stands for. Subprotocol names are case-sensitive (RFC 6455, section 4.1).
    pub(crate) fn of_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.subprotocol() == name)
    }

    /// The kind of WebSocket message that this format is sent as.
    pub(crate) const fn opcode(self) -> Opcode {
        match self {
            Self::Json => Opcode::Text,
            Self::MessagePack => Opcode::Binary,
        }
    }
}

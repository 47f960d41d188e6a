//! Which encoding of an entry is kept in which of its slots ([`shared::Entry::wire`]): the one place that decides.
//!
//! Everybody who uses a slot must fill it with the same bytes; so each slot names its one encoder.

/// A slot of [`shared::Entry::wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum WireSlot {
    /// The JSON object up to its cursor, for subscribers whose cursor covers several streams
    /// ([`shared::wire::entry_json_prefix`]).
    JsonPrefix = 0,
    /// The whole NDJSON line of a tail of one stream.
    NdjsonLine = 1,
    /// The whole server-sent event of a tail of one stream.
    SseFrame = 2,
    /// The whole `event` frame of a WebSocket that speaks JSON.
    WsJson = 3,
    /// The whole `event` frame of a WebSocket that speaks MessagePack.
    WsMessagePack = 4,
    /// The Socket.IO event up to its offset, with where its binary parts are (`gateway::delivery`).
    SocketIo = 5,
}

impl WireSlot {
    /// The number of the slot.
    pub const fn index(self) -> usize {
        self as usize
    }
}

const _: () = assert!(WireSlot::SocketIo.index() < shared::WIRE_SLOTS);

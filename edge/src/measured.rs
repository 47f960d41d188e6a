//! Inner functions that the micro-benchmarks of `benches` measure one by one. Only with the feature `measuring`, and no
//! part of the interface.

use std::slice;

use bytes::Bytes;
use shared::Entry;

use crate::http::tail;
use crate::websocket::{Decoder, Incoming, Opcode, Outgoing, Piece};
use crate::ws::FrameFormat;
use crate::{gateway, http, socketio, ws};

/// Encodes an entry as a server-sent event.
pub fn sse_event(entry: &Entry) -> Bytes {
    tail::event_as_sse(entry)
}

/// Encodes an entry as a line of JSON.
pub fn ndjson_event(entry: &Entry) -> Bytes {
    tail::event_as_ndjson(entry)
}

/// Encodes an entry, unless that has been done, as the event that all Socket.IO clients get, up to their offsets. Returns its bytes.
pub fn socketio_event(entry: &Entry) -> usize {
    gateway::event_of_entry(entry).text.bytes().len()
}

/// Encodes an entry, unless that has been done, as the `event` frame of a WebSocket that speaks JSON.
pub fn ws_json_event(entry: &Entry) -> Bytes {
    ws::event_frame(FrameFormat::Json, entry)
}

/// Encodes an entry, unless that has been done, as the `event` frame of a WebSocket that speaks MessagePack.
pub fn ws_message_pack_event(entry: &Entry) -> Bytes {
    ws::event_frame(FrameFormat::MessagePack, entry)
}

/// Queues a text for a WebSocket so many times; returns how many bytes wait then.
pub fn queue_frames(text: &Bytes, times: usize) -> usize {
    let mut outgoing = Outgoing::default();
    for _ in 0..times {
        let piece = Piece::Shared(text);
        outgoing.push(Opcode::Text, slice::from_ref(&piece).iter().copied());
    }
    outgoing.bytes()
}

/// Decodes the frames of a client; returns the bytes of its messages. `None` if they break the protocol.
pub fn decode_frames(mut bytes: &[u8]) -> Option<usize> {
    let mut decoder = Decoder::new(usize::MAX);
    let mut decoded = 0;
    while let Some(incoming) = decoder.decode(&mut bytes).ok()? {
        if let Incoming::Text(payload) | Incoming::Binary(payload) = incoming {
            decoded += payload.len();
        }
    }
    Some(decoded)
}

/// Scans a Socket.IO packet; returns the bytes of its payload. `None` if it is none.
pub fn scan_packet(text: &Bytes) -> Option<usize> {
    Some(socketio::Packet::scan(text).ok()?.payload.len())
}

/// Reads a line of an NDJSON upload; returns the bytes of the data. `None` if it is no event.
pub fn read_line(line: &Bytes) -> Option<usize> {
    Some(http::parse_event(line, None).ok()?.event.data.raw().len())
}

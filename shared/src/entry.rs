//! Events (what is published) and entries (events with a place in a stream).

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::trace::TraceParent;
use crate::{Cursor, EntryId, StreamName};

/// The event name of an entry that was published without one.
pub const DEFAULT_EVENT: &str = "message";

/// UTF-8 text in shared bytes: cheap to clone, no copy when it comes out of a Redis reply.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(Bytes);

impl Text {
    /// Takes bytes that are valid UTF-8; others are repaired with U+FFFD.
    pub fn from_bytes_lossy(bytes: Bytes) -> Self {
        match String::from_utf8_lossy(&bytes) {
            std::borrow::Cow::Borrowed(_) => Self(bytes),
            std::borrow::Cow::Owned(repaired) => Self(Bytes::from(repaired)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Every constructor has checked; checking again is cheap and needs no unsafe code.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text as shared bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The data of an event, in the format in which it is stored.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// One JSON value: valid, on one line.
    Json(Bytes),
    /// One MessagePack value: valid. Used when the data holds binary.
    MessagePack(Bytes),
    /// Bytes that are not to be interpreted.
    Bytes(Bytes),
}

impl Payload {
    /// The bytes as they are stored; what a server-side filter matches.
    pub fn raw(&self) -> &Bytes {
        match self {
            Self::Json(raw) | Self::MessagePack(raw) | Self::Bytes(raw) => raw,
        }
    }

    /// Whether the data is an array, by its first byte: valid data that begins as one is one.
    pub fn is_array(&self) -> bool {
        match self {
            Self::Json(raw) => raw.trim_ascii_start().first() == Some(&b'['),
            // MessagePack specification, "Array format family".
            Self::MessagePack(raw) => matches!(raw.first(), Some(0x90..=0x9f | 0xdc | 0xdd)),
            Self::Bytes(_) => false,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Json(_) => "Json",
            Self::MessagePack(_) => "MessagePack",
            Self::Bytes(_) => "Bytes",
        };
        write!(f, "{kind}({:?})", String::from_utf8_lossy(self.raw()))
    }
}

/// What a publisher hands in, and what an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's name; `None` is [`DEFAULT_EVENT`].
    pub name: Option<Text>,
    /// The data.
    pub data: Payload,
    /// Whether the data is the array of the arguments of a publish that had none or several of them, and not one
    /// argument that happens to be an array. Without an array it says nothing and is not stored.
    pub spread: bool,
    /// Who published it, as far as the edge knows.
    pub user: Option<Text>,
    /// The session it came from.
    pub session: Option<Text>,
    /// W3C `traceparent` of the publish.
    pub trace: Option<Text>,
}

impl Event {
    /// An event that holds only data.
    pub fn new(data: Payload) -> Self {
        Self {
            name: None,
            data,
            spread: false,
            user: None,
            session: None,
            trace: None,
        }
    }

    /// Whether its arguments are the items of its data.
    pub fn is_spread(&self) -> bool {
        self.spread && self.data.is_array()
    }

    /// The name, with the default filled in.
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or(DEFAULT_EVENT, Text::as_str)
    }

    /// The place of its publish in a trace; `None` too if what is stored is no `traceparent`.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.trace.as_ref()?.as_str().parse().ok()
    }

    /// Bytes of all its parts: what limits and buffers count.
    pub fn size_bytes(&self) -> usize {
        let text = |t: &Option<Text>| t.as_ref().map_or(0, |t| t.as_bytes().len());
        self.data.raw().len() + text(&self.name) + text(&self.user) + text(&self.session) + text(&self.trace)
    }
}

/// How many encodings an entry keeps; who uses which is decided in one place, above this crate.
pub const WIRE_SLOTS: usize = 6;

/// An event in its place: shared by everyone it is delivered to, with its encodings made once.
#[derive(Debug)]
pub struct Entry {
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its own position: its ID, and its ordinal if that is known.
    pub cursor: Cursor,
    /// What was published.
    pub event: Event,
    wire: [OnceLock<Bytes>; WIRE_SLOTS],
}

impl Entry {
    /// An entry without encodings yet.
    pub fn new(stream: StreamName, cursor: Cursor, event: Event) -> Self {
        Self {
            stream,
            cursor,
            event,
            wire: Default::default(),
        }
    }

    /// The entry's ID.
    pub fn id(&self) -> EntryId {
        self.cursor.id
    }

    /// The encoding in `slot`, made by `encode` on first use and shared from then on.
    ///
    /// Every caller of one slot must pass the same encoder. Panics if `slot` is not below [`WIRE_SLOTS`].
    pub fn wire(&self, slot: usize, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.wire[slot].get_or_init(|| encode(self))
    }

    /// Bytes to set aside for an encoding of this entry, so that it is made without growing in nearly all cases.
    pub(crate) fn encoded_bytes(&self) -> usize {
        /// Keys, punctuation, ID, time and cursor.
        const FRAME_BYTES: usize = 192;
        self.event.size_bytes() + self.stream.as_str().len() + FRAME_BYTES
    }

    /// Bytes this entry is counted with where memory is bounded: its parts, once more for an encoding, and the
    /// entry itself.
    pub fn cost_bytes(&self) -> usize {
        2 * self.event.size_bytes() + size_of::<Self>() + 64
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.stream == other.stream && self.cursor == other.cursor && self.event == other.event
    }
}

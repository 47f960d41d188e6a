//! Ephemeral events: delivered to the subscribers of a stream that are there and writable at this moment, on every
//! edge, and never stored. They have no place in the stream, so nobody misses one, and nobody gets one later.

use std::sync::OnceLock;

use bytes::Bytes;
use shared::limits::EPHEMERAL_BYTES_MAX;
use shared::{Event, StreamName};

use crate::Unavailable;

/// An ephemeral event: shared by everyone it is delivered to, with its encoding made once.
#[derive(Debug)]
pub struct EphemeralEvent {
    /// The stream whose subscribers get it.
    pub stream: StreamName,
    /// What was sent.
    pub event: Event,
    wire: OnceLock<Bytes>,
}

impl EphemeralEvent {
    /// An event without an encoding yet.
    pub fn new(stream: StreamName, event: Event) -> Self {
        Self {
            stream,
            event,
            wire: OnceLock::new(),
        }
    }

    /// The encoding, made by `encode` on first use and shared from then on. Every caller must pass the same encoder.
    pub fn wire(&self, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.wire.get_or_init(|| encode(self))
    }
}

/// Why an ephemeral event was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EphemeralError {
    /// There is no connection to the other edges at the moment, or more is sent than it takes.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The event's parts together exceed the limit.
    #[error("the ephemeral event has {size_bytes} bytes, the limit is {EPHEMERAL_BYTES_MAX}")]
    TooLarge {
        /// What it has.
        size_bytes: usize,
    },
}

/// Refuses an event that is too large.
pub(crate) fn admit(event: &Event) -> Result<(), EphemeralError> {
    let size_bytes = event.size_bytes();
    if size_bytes > EPHEMERAL_BYTES_MAX {
        return Err(EphemeralError::TooLarge { size_bytes });
    }
    Ok(())
}

//! A packet whose attachments are still on their way.

use bytes::Bytes;
use shared::wire::PlainEvent;

use super::application::AckId;
use super::namespace::Namespace;
use super::violation::Violation;

/// What an event or an acknowledgement of the client says, complete or not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) namespace: Namespace,
    pub(super) ack: Option<AckId>,
    pub(super) array: Bytes,
    /// The name of an event; an acknowledgement has none.
    pub(super) event: Option<String>,
    pub(super) plain: Option<PlainEvent>,
    pub(super) attachments: Vec<Bytes>,
}

/// Gathers the attachments of one packet.
#[derive(Debug)]
pub(super) struct Assembly {
    arrived: Arrived,
    awaited: usize,
    bytes_left: usize,
}

impl Assembly {
    /// Waits for so many attachments, at least one, which may have so many bytes together.
    pub(super) fn new(arrived: Arrived, awaited: usize, bytes_left: usize) -> Self {
        Self {
            arrived,
            awaited,
            bytes_left,
        }
    }

    /// Takes the next attachment; `true` if it was the last one.
    pub(super) fn take(&mut self, attachment: Bytes) -> Result<bool, Violation> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(attachment.len())
            .ok_or(Violation::TooLarge)?;
        self.arrived.attachments.push(attachment);
        Ok(self.arrived.attachments.len() >= self.awaited)
    }

    /// The packet.
    pub(super) fn into_arrived(self) -> Arrived {
        self.arrived
    }
}

//! What has moved on a connection: signs of life that are told apart from bytes that merely went into the kernel.

/// What has moved so far, and what the socket is waiting for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Bytes read from the peer.
    pub(crate) read_bytes: u64,
    /// How often the peer made room after a write had been blocked.
    pub(crate) writes_resumed: u64,
    /// Bytes that left the queue of what is to be sent.
    pub(crate) sent_bytes: u64,
    /// Bytes that still wait in it.
    pub(crate) unsent_bytes: u64,
    /// Whether the socket is being read.
    pub(crate) reading: bool,
}

impl Traffic {
    /// Whether something waits to be written.
    pub(crate) fn unsent(self) -> bool {
        self.unsent_bytes > 0
    }

    /// The place behind everything that was ever queued: it is sent once `sent_bytes` is above it, if anything was
    /// queued there.
    pub(crate) fn queue_end(self) -> u64 {
        self.sent_bytes + self.unsent_bytes
    }
}

//! What has moved on a connection: signs of life that are told apart from bytes that merely went into the kernel.

/// What has moved so far, and what the socket is waiting for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Bytes read from the peer.
    pub(crate) read_bytes: u64,
    /// How often the peer made room after a write had been blocked.
    pub(crate) writes_resumed: u64,
    /// Whether something waits to be written.
    pub(crate) unsent: bool,
    /// Whether the socket is being read.
    pub(crate) reading: bool,
}

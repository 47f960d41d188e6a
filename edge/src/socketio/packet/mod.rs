//! The packets of Socket.IO v5, without I/O: [`Head`] writes them, [`Packet::scan`] reads them.

mod encode;
#[cfg(test)]
mod official;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use encode::Head;
pub(crate) use scan::{Packet, RESERVED_EVENTS};

/// What a packet says. Events and acknowledgements with binary have a type of their own on the wire, and here a
/// number of attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client asks for a namespace; the server lets it in.
    Connect,
    /// One side leaves the namespace.
    Disconnect,
    /// An event.
    Event,
    /// The acknowledgement of an event.
    Ack,
    /// The server does not let the client into the namespace.
    ConnectError,
}

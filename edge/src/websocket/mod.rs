//! WebSocket (RFC 6455), server side, without extensions. It knows nothing of what the messages say.
//!
//! * [`handshake`]: from the headers of a request to the answer.
//! * [`frame`]: the header of a frame, masks, close codes; [`decoder`]: from bytes to messages; [`outgoing`]: from
//!   messages to bytes. None of them does I/O.
//! * [`socket`]: a WebSocket over TCP. While it is idle it holds no buffer: it reads into memory that all sockets of
//!   a thread share ([`scratch`]), and keeps only what is not complete yet.
//! * [`traffic`]: what has moved on a socket, so that somebody above can tell a slow peer from a dead one.

mod decoder;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
pub(crate) mod handshake;
mod outgoing;
pub(crate) mod scratch;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
mod traffic;

#[cfg(feature = "measuring")]
pub(crate) use decoder::Decoder;
pub(crate) use decoder::Incoming;
#[cfg(test)]
pub(crate) use frame::may_be_sent;
pub(crate) use frame::{Breach, Opcode};
pub(crate) use outgoing::Outgoing;
pub use outgoing::Piece;
pub(crate) use socket::{Received, Socket};
pub(crate) use traffic::Traffic;

//! Socket.IO v5 on top of Engine.IO: namespaces, events, acknowledgements, binary. It knows nothing of streams:
//! whoever runs on top implements [`Application`].

mod application;
mod assembly;
mod connection;
mod emitter;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod json;
mod namespace;
mod packet;
mod violation;

pub use crate::engineio::Piece;
pub use application::{AckId, Answer, Application, Connect, Gone, Incoming, Limits, Socket};
pub use connection::{Connection, Server};
pub use emitter::Emitter;
pub use json::{Elements, elements};
pub use namespace::Namespace;
#[cfg(feature = "measuring")]
pub(crate) use packet::Packet;
pub(crate) use packet::RESERVED_EVENTS;

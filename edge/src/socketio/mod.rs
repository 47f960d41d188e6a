//! Socket.IO v5 on top of Engine.IO: namespaces, events, acknowledgements, binary. It knows nothing of streams:
//! whoever runs on top implements [`Application`].

mod application;
mod emitter;
mod namespace;
mod packet;

pub use application::{AckId, Answer, Application, Connect, Gone, Incoming, Limits, Socket};
pub use emitter::Emitter;
pub use namespace::Namespace;

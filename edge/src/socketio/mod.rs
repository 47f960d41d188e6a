//! Socket.IO v5 on top of Engine.IO: namespaces, events, acknowledgements, binary. It knows nothing of streams:
//! whoever runs on top implements [`Application`].

mod application;

pub use application::{AckId, Application, Connect, Emitter, Gone, Incoming, Namespace, Socket};

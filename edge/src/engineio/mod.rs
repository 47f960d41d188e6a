//! Engine.IO v4: one session of messages over long-polling, over WebSocket, or over one and then the other.
//!
//! It knows nothing of what the messages say: whoever runs on top implements [`Protocol`].

mod outbox;
mod protocol;

pub use outbox::Outbox;
pub use protocol::{Ended, Message, Opened, Protocol, Service};

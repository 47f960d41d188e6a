//! Engine.IO v4: one session of messages over long-polling, over WebSocket, or over one and then the other.
//!
//! It knows nothing of what the messages say: whoever runs on top implements [`Service`] and [`Protocol`].
//!
//! Without I/O, so that tests can drive them with every input:
//! * [`packet`], [`payload`]: what stands on the wire; [`outbox`]: what waits to be sent.
//! * [`heartbeat`]: tells when a client is gone; [`core`]: the state of a session. It decides.
//!
//! With I/O:
//! * [`session`]: the one task of a session. It moves messages between its connections, the core and the protocol.
//! * [`registry`]: which sessions there are; [`mailbox`]: how a session is told what concerns it.
//! * [`router`]: the requests, [`answer`] and [`refusal`] what they are answered, [`cors`] who may read that.
//! * [`elsewhere`]: what is done with requests for sessions of other edges.

mod answer;
mod core;
mod cors;
mod elsewhere;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod heartbeat;
mod mailbox;
mod outbox;
mod packet;
mod payload;
mod protocol;
mod refusal;
mod registry;
mod router;
mod session;
mod settings;
mod sid;

pub use elsewhere::{Brought, Elsewhere};
pub use outbox::{Outbox, Piece};
pub use protocol::{Ended, Message, Opened, Protocol, Service};
pub use router::{Surroundings, router};
pub use settings::{Settings, Transports};

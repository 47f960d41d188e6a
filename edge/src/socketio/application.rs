//! What runs on top of Socket.IO.

use std::borrow::Cow;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use shared::limits::{SIO_CONNECT_TIMEOUT, SIO_EVENT_BYTES_MAX, SIO_NAMESPACES_MAX};
use shared::wire::PlainEvent;

use super::emitter::Emitter;
use super::json::elements;
use super::namespace::Namespace;
use crate::engineio::Opened;

/// The number under which an acknowledgement is awaited.
pub type AckId = u64;

/// The server's side of all sockets.
pub trait Application: Send + Sync + 'static {
    /// One client in one namespace.
    type Socket: Socket;
    /// What is remembered of the client's first request, shared by its namespaces, for as long as the connection lasts.
    type Handshake: Send + Sync + 'static;

    /// Whether a client may open a connection. The error is what it is told.
    fn admit(&self, opened: &Opened<'_>) -> Result<(), Cow<'static, str>> {
        let _ = opened;
        Ok(())
    }

    /// A connection opens.
    fn handshake(&self, opened: &Opened<'_>) -> Self::Handshake;

    /// What bounds each connection.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// A client asks for a namespace. `None`: there is no such namespace. The socket then calls
    /// [`Emitter::accept`] or [`Emitter::refuse`], at once in its first `poll` or later; until then it gets no events.
    fn connect(&self, connect: Connect<'_, Self::Handshake>) -> Option<Self::Socket>;
}

/// What bounds a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take until it has connected to its first namespace.
    pub connect_timeout: Duration,
    /// Namespaces that a client may be connected to at the same time.
    pub namespaces_max: usize,
    /// Bytes of one event or acknowledgement with all its attachments. What comes in one message is bounded by
    /// Engine.IO.
    pub event_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: SIO_CONNECT_TIMEOUT,
            namespaces_max: SIO_NAMESPACES_MAX,
            event_bytes_max: SIO_EVENT_BYTES_MAX,
        }
    }
}

/// A client asks for a namespace.
#[derive(Debug)]
pub struct Connect<'a, H> {
    /// Which, for example `/` or `/custom`.
    pub namespace: &'a Namespace,
    /// The client's `auth`: a JSON object, `None` if it sent none.
    pub auth: Option<Bytes>,
    /// What [`Application::handshake`] returned.
    pub handshake: &'a H,
}

/// An event of the client. No name is a reserved one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The whole argument list as it was sent: a JSON array of the event's name and its arguments. Its grammar is
    /// checked (RFC 8259), its nesting bounded; numbers may be beyond what a parser can hold, and escaped surrogates
    /// may be lone. Binary stands in it as `{"_placeholder":true,"num":n}`, each number within `attachments`.
    pub array: Bytes,
    /// The event's name, unescaped.
    pub name: String,
    /// Where everything is in `array`, if that was seen when it was checked.
    pub plain: Option<PlainEvent>,
    /// The binary parts, in the order of their numbers.
    pub attachments: Vec<Bytes>,
    /// Set if the client waits for an acknowledgement.
    pub ack: Option<AckId>,
}

impl Incoming {
    /// The arguments behind the name, each as its JSON text.
    pub fn arguments(&self) -> impl Iterator<Item = Bytes> {
        elements(&self.array).skip(1)
    }
}

/// The client's answer to an event that was emitted with [`Emitter::emit_with_ack`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which event is answered, as the client says: it may answer again, very late, or what was never asked.
    pub id: AckId,
    /// A JSON array of the arguments, checked as in [`Incoming`].
    pub array: Bytes,
    /// The binary parts, in the order of their numbers.
    pub attachments: Vec<Bytes>,
}

/// Why a socket has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The client left the namespace for good: its `disconnect()`.
    Client,
    /// The server made it leave ([`Emitter::disconnect`]) or did not let it in ([`Emitter::refuse`]).
    Server,
    /// The connection is gone, whatever the reason; the client may come back.
    Connection,
}

/// One client in one namespace. Nothing here may block.
pub trait Socket: Send + 'static {
    /// Whether the next event may be taken. As long as a socket wants none, the connection is not read, and no other
    /// of its namespaces gets anything either. Not asked before [`Emitter::accept`].
    fn wants_event(&self) -> bool;

    /// An event of the client. `poll` is called next.
    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>);

    /// The client acknowledges an event. A socket that emits without asking for that hears nothing here.
    fn answer(&mut self, _answer: Answer, _out: &mut Emitter<'_>) {}

    /// Goes on with whatever the socket waits for; see [`crate::engineio::Protocol::poll`] for the rules. `writable`:
    /// nothing waits to be sent on the connection, be it from another namespace.
    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()>;

    /// The edge stops: finishes what is under way within a short time, then calls [`Emitter::close`]. The connection
    /// ends when all its sockets have done so.
    fn drain(&mut self, out: &mut Emitter<'_>);

    /// The socket has gone; nothing can be said any more. Called once, last, also for a socket that was never let in.
    fn gone(&mut self, reason: Gone);
}

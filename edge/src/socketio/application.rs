//! What runs on top of Socket.IO.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::engineio::Opened;

/// The number under which an acknowledgement is awaited.
pub type AckId = u64;

/// The server's side of all sockets.
pub trait Application: Send + Sync + 'static {
    /// One client in one namespace.
    type Socket: Socket;
    /// What is remembered of the client's first request, shared by its namespaces.
    type Handshake: Send + Sync + 'static;

    /// A connection opens.
    fn handshake(&self, opened: &Opened<'_>) -> Self::Handshake;

    /// How long a client may take until it has connected to its first namespace.
    fn connect_timeout(&self) -> Duration;

    /// A client asks for a namespace. `None`: there is no such namespace. The socket then calls
    /// [`Emitter::accept`] or [`Emitter::refuse`], at once in its first `poll` or later; until then it gets no events.
    fn connect(&self, connect: Connect<'_, Self::Handshake>) -> Option<Self::Socket>;
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

/// The name of a namespace: begins with `/`, holds no comma and no question mark.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(pub(super) std::sync::Arc<str>);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An event of the client. No name is a reserved one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The whole argument list as it was sent: a JSON array of the event's name and its arguments. Binary stands in it
    /// as `{"_placeholder":true,"num":n}`, each number within `attachments`.
    pub array: Bytes,
    /// The event's name, unescaped.
    pub name: String,
    /// The binary parts, in the order of their numbers.
    pub attachments: Vec<Bytes>,
    /// Set if the client waits for an acknowledgement.
    pub ack: Option<AckId>,
}

/// Why a socket has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The client left the namespace for good: its `disconnect()`.
    Client,
    /// The server made it leave: [`Emitter::disconnect`].
    Server,
    /// The connection is gone, whatever the reason; the client may come back.
    Connection,
}

/// One client in one namespace.
pub trait Socket: Send + 'static {
    /// Whether the next event may be taken. As long as a socket wants none, the connection is not read.
    fn wants_event(&self) -> bool;

    /// An event of the client.
    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>);

    /// Goes on with whatever the socket waits for; see [`crate::engineio::Protocol::poll`] for the rules.
    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()>;

    /// The edge stops: finishes what is under way within a short time, then calls [`Emitter::close`].
    fn drain(&mut self, out: &mut Emitter<'_>);

    /// The socket has gone; nothing can be said any more.
    fn gone(&mut self, reason: Gone);
}

/// Says things to one client in one namespace.
#[derive(Debug)]
pub struct Emitter<'a> {
    #[allow(dead_code)]
    out: &'a mut crate::engineio::Outbox,
}

impl Emitter<'_> {
    /// Lets the client in, as `sid`; with a `pid` if it may recover later.
    pub fn accept(&mut self, _sid: &str, _pid: Option<&str>) {}

    /// Refuses the client, which will not try again by itself: `message` and `data` (JSON) reach its `connect_error`.
    pub fn refuse(&mut self, _message: &str, _data: Option<&[u8]>) {}

    /// Emits an event. `parts` together are the JSON array of its name and arguments, with placeholders for
    /// `attachments`.
    pub fn emit(&mut self, _parts: &[&[u8]], _attachments: &[Bytes]) {}

    /// Acknowledges an event. `parts` together are the JSON array of the arguments.
    pub fn ack(&mut self, _id: AckId, _parts: &[&[u8]], _attachments: &[Bytes]) {}

    /// Makes the client leave the namespace; it will not come back by itself.
    pub fn disconnect(&mut self) {}

    /// Ends the whole connection, so that the client comes back by itself.
    pub fn close(&mut self) {}
}

//! A Socket.IO client that does exactly what `socket.io-client` 4.8 does: the same code against every server, for tests
//! and for measurements.
//!
//! One namespace over one connection: Engine.IO v4 over polling, over WebSocket, or over polling and then WebSocket;
//! Socket.IO v5 with `auth`, events, acknowledgements and attachments; reconnection with back-off; connection state
//! recovery as the official client has it, oddities included ([`session`]). What the client itself does not know of is
//! what events mean.
//!
//! A [`Client`] does everything inside [`Client::next`]: there are no tasks behind it, and nothing is sent or received
//! while nobody waits for its next event.

pub(crate) mod backoff;
mod engine;
mod packet;
mod session;
mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use engine::Message;
pub use socket::Client;

/// The way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transports {
    /// HTTP long-polling all the time.
    Polling,
    /// WebSocket from the beginning.
    WebSocket,
    /// Polling, then WebSocket if that works: what the official client does unless told otherwise.
    Upgrade,
}

/// How a client connects. Names and defaults are those of the official client.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the server is.
    pub server: SocketAddr,
    /// The client's own address, if it is not to be the system's choice.
    pub local: Option<IpAddr>,
    /// The path of Engine.IO.
    pub path: String,
    /// The namespace.
    pub namespace: String,
    /// Sent with each CONNECT.
    pub auth: Option<Map<String, Value>>,
    /// The way to the server.
    pub transports: Transports,
    /// Whether polling keeps its connections, as browsers do, or opens one for each request, as it does in Node.js.
    pub keep_alive: bool,
    /// The socket's receive buffer, if it is not to be the system's.
    pub receive_bytes: Option<u32>,
    /// First wait before it comes back.
    pub reconnection_delay: Duration,
    /// Longest wait.
    pub reconnection_delay_max: Duration,
    /// By which part a wait may be longer or shorter.
    pub randomization: f64,
    /// How long it may take to open a connection.
    pub timeout: Duration,
    /// Whether it looks at the JSON of events as a whole, as the official client must. Costs time.
    pub checks_json: bool,
    /// Decides over the waits.
    pub seed: u64,
}

impl Options {
    /// The defaults of the official client.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            local: None,
            path: "/socket.io/".to_owned(),
            namespace: "/".to_owned(),
            auth: None,
            transports: Transports::Upgrade,
            keep_alive: false,
            receive_bytes: None,
            reconnection_delay: Duration::from_secs(1),
            reconnection_delay_max: Duration::from_secs(5),
            randomization: 0.5,
            timeout: Duration::from_secs(20),
            checks_json: true,
            seed: 0,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The connection was closed or broken: how.
    Transport(String),
    /// The server has not pinged in time.
    PingTimeout,
    /// The server sent something that cannot be understood: what.
    Parse(String),
    /// The server made the client leave. It does not come back by itself.
    Server,
    /// The client left.
    Client,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The server let the client in.
    Connected {
        /// The socket's ID.
        id: String,
        /// Whether it goes on with the session it had.
        recovered: bool,
    },
    /// The connection ended. Unless the reason is [`Reason::Server`] or [`Reason::Client`], the client will be back.
    Disconnected {
        /// Why.
        reason: Reason,
    },
    /// No connection could be opened. The client tries again.
    ConnectError {
        /// Why.
        error: String,
    },
    /// The server refused the client, which does not try again.
    Refused {
        /// What it said.
        message: String,
        /// And besides.
        data: Option<Value>,
    },
    /// An event of the server.
    Received(Received),
    /// The server acknowledged an event.
    Acknowledged {
        /// What [`Client::emit_with_ack`] returned.
        id: u64,
        /// The arguments.
        arguments: Received,
    },
}

/// Name and arguments of an event, or the arguments of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The JSON array as it was sent, with placeholders for the attachments.
    pub array: Bytes,
    /// Its binary parts.
    pub attachments: Vec<Bytes>,
    /// Set if the server waits for an acknowledgement.
    pub ack: Option<u64>,
}

impl Received {
    fn of(packet: packet::Packet) -> Self {
        Self {
            array: packet.json,
            attachments: packet.attachments,
            ack: packet.id,
        }
    }

    /// The array, or as much of it as `T` takes.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.array)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

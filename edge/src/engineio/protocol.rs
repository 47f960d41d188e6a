//! What runs on top of an Engine.IO session.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::http::HeaderMap;
use bytes::Bytes;

use super::Outbox;

/// A message, as one side handed it to its Engine.IO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client said goodbye.
    Client,
    /// The connection was lost, or the client was silent or took nothing for too long.
    Lost,
    /// The client broke a rule of the protocol.
    Broken,
    /// The protocol on top asked for it.
    Protocol,
    /// The edge stops.
    Draining,
}

/// What is known of a client when its session opens.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The query string of the first request.
    pub query: &'a str,
    /// Its headers. What is kept of them must be copied: a header holds on to the buffer of its whole request.
    pub headers: &'a HeaderMap,
    /// Where it came from.
    pub peer: Option<SocketAddr>,
}

/// Makes the protocol of each new session.
pub trait Service: Send + Sync + 'static {
    /// What runs on top of a session.
    type Protocol: Protocol;

    /// Whether a client may open a session. The error is what it is told.
    fn admit(&self, opened: &Opened<'_>) -> Result<(), Cow<'static, str>> {
        let _ = opened;
        Ok(())
    }

    /// A session opens.
    fn open(&self, opened: &Opened<'_>) -> Self::Protocol;
}

/// The state that runs on top of one session. One task owns both: nothing here may block, and nothing is called at
/// the same time.
pub trait Protocol: Send + 'static {
    /// Whether the next message may be taken. As long as it may not, the client is not read.
    fn wants_message(&self) -> bool;

    /// A message of the client.
    fn message(&mut self, message: Message, out: &mut Outbox);

    /// Goes on with whatever the protocol itself waits for (its log, its clocks), putting what it has to say into `out`.
    ///
    /// `writable`: everything that was put there earlier has been handed on, so more may be fetched for the client. The
    /// protocol bounds what it puts in while that is not so.
    ///
    /// `Ready`: something has changed, call again. `Pending`: it will wake the task.
    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Outbox) -> Poll<()>;

    /// The edge stops: comes to an end soon, then calls [`Outbox::close`].
    fn drain(&mut self, out: &mut Outbox);

    /// The session has ended; nothing can be said any more.
    fn ended(&mut self, reason: Ended);
}

//! The connections of a session.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::engineio::answer::{GetAnswer, Transfer};
use crate::engineio::mailbox::{Connection, PostAnswer};
use crate::engineio::packet::{NoPacket, Packet};
use crate::engineio::payload::Payload;
use crate::websocket::{Incoming, Outgoing};

/// How a client is reached.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all sessions are WebSockets, and a box for each would only cost more"
)]
pub(super) enum Link {
    /// By answers to its requests.
    Polling(Box<Polling>),
    /// By its WebSocket.
    WebSocket(Connection),
}

/// What is open with a client that polls.
#[derive(Default)]
pub(super) struct Polling {
    /// The GET that waits.
    pub(super) get: Option<oneshot::Sender<GetAnswer>>,
    /// The WebSocket that is tried.
    pub(super) probe: Option<Box<Probe>>,
    /// How often something was posted.
    pub(super) posts: u64,
    /// How much was taken of what the client was sent.
    pub(super) transfer: Transfer,
}

/// A WebSocket that is tried.
pub(super) struct Probe {
    pub(super) connection: Connection,
    pub(super) outgoing: Outgoing,
}

/// A payload that was posted.
pub(super) struct Post {
    payload: Payload,
    answer: Option<oneshot::Sender<PostAnswer>>,
    /// What was posted behind it, if it was answered before it was taken.
    behind: Option<Box<Post>>,
}

impl Post {
    /// Begins to take a payload; one that is none is answered at once.
    pub(super) fn begin(body: Bytes, answer: oneshot::Sender<PostAnswer>) -> Result<Self, NoPacket> {
        match Payload::new(body) {
            Ok(payload) => Ok(Self {
                payload,
                answer: Some(answer),
                behind: None,
            }),
            Err(error) => {
                // A client that does not wait for the answer is told by the end of its session.
                let _ = answer.send(PostAnswer::Broken);
                Err(error)
            }
        }
    }

    /// Whether every packet was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Takes the next packet.
    pub(super) fn next(&mut self) -> Option<Result<Packet, NoPacket>> {
        self.payload.next()
    }

    /// Puts another one behind it. Whoever posts must wait for the answer before: else it is given back.
    pub(super) fn put_behind(&mut self, post: Box<Self>) -> Result<(), Box<Self>> {
        if self.answer.is_some() || self.behind.is_some() {
            return Err(post);
        }
        self.behind = Some(post);
        Ok(())
    }

    /// Ends it, and goes on with what was posted behind it.
    pub(super) fn finish(mut self) -> Option<Box<Self>> {
        self.answer(PostAnswer::Taken);
        self.behind
    }

    /// Answers it, if that was not done.
    pub(super) fn answer(&mut self, answer: PostAnswer) {
        if let Some(waiting) = self.answer.take() {
            // A client that does not wait for the answer needs none.
            let _ = waiting.send(answer);
        }
    }
}

/// The packet of a WebSocket message.
pub(super) fn packet(incoming: Incoming) -> Result<Packet, NoPacket> {
    match incoming {
        Incoming::Text(text) => Packet::of_text(text),
        Incoming::Binary(bytes) => Ok(Packet::of_binary(bytes)),
        Incoming::Ping(_) | Incoming::Pong | Incoming::Close(_) => Err(NoPacket),
    }
}

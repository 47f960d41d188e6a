//! The one task of a session. It owns the connections, the core and the protocol on top, and moves messages between
//! them. What to do is decided by the core.
//!
//! Everything it holds is bounded: the client is not read while the protocol wants no message or too many answers
//! wait, and the protocol fetches more only when what it said before was taken.

mod link;
mod steps;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use shared::limits::{ENGINE_ROUNDS_MAX, OUTBOX_BYTES_MAX};
use tokio::time::Sleep;
use tracing::debug;

use super::core::{Core, Input, Output, Tick};
use super::mailbox::{Connection, PostAnswer, TransportKind};
use super::registry::Place;
use super::{Ended, Outbox, Protocol, Settings};
use crate::metrics;
use crate::websocket::{Incoming, Opcode, Piece, Received, Traffic};
use link::{Link, Post, Probe};

/// Code of the close frame where a session ends as it should (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
/// Code of the close frame where the edge stops: others serve the same sessions (IANA registry of close codes).
const RESTART: u16 = 1012;

/// One session.
pub(crate) struct Session<P> {
    settings: Arc<Settings>,
    /// Its place among the sessions of this edge, with its mailbox.
    place: Place,
    protocol: P,
    core: Core,
    outputs: Vec<Output>,
    outbox: Outbox,
    link: Link,
    /// What was posted and is not taken yet.
    post: Option<Box<Post>>,
    ended: Option<Ended>,
    /// The code to close a WebSocket with; `None`: just drop it.
    close_code: Option<u16>,
}

impl<P: Protocol> Session<P> {
    /// A session whose client polls.
    pub(crate) fn polling(settings: Arc<Settings>, place: Place, protocol: P) -> Box<Self> {
        metrics::engine_opened("polling");
        Self::new(settings, place, protocol, Link::Polling(Box::default()))
    }

    /// A session that begins on a WebSocket, with its first packet.
    pub(crate) fn websocket(
        settings: Arc<Settings>,
        place: Place,
        protocol: P,
        connection: Connection,
        open: &[u8],
    ) -> Box<Self> {
        metrics::engine_opened("websocket");
        let mut session = Self::new(settings, place, protocol, Link::WebSocket(connection));
        session.outbox.packet(open);
        session
    }

    fn new(settings: Arc<Settings>, place: Place, protocol: P, link: Link) -> Box<Self> {
        let polls = matches!(link, Link::Polling(_));
        let core = Core::new(polls, &settings, Instant::now());
        Box::new(Self {
            settings,
            place,
            protocol,
            core,
            outputs: Vec::new(),
            outbox: Outbox::default(),
            link,
            post: None,
            ended: None,
            close_code: Some(NORMAL),
        })
    }

    /// Serves the client until one side ends the session.
    pub(crate) async fn run(mut self: Box<Self>) {
        {
            let mut timer = std::pin::pin!(tokio::time::sleep_until(Instant::now().into()));
            let mut armed = false;
            std::future::poll_fn(|cx| self.poll(cx, timer.as_mut(), &mut armed)).await;
        }
        // On the heap, because no session needs the room for it as long as it lives.
        Box::pin(self.say_goodbye()).await;
    }

    async fn say_goodbye(self: Box<Self>) {
        let Self {
            settings,
            place,
            mut outbox,
            link,
            close_code,
            ..
        } = *self;
        drop(place);
        let Link::WebSocket(connection) = link else {
            return;
        };
        match close_code {
            None => connection.socket.abort(),
            Some(code) => {
                let frames = std::mem::take(outbox.frames());
                connection
                    .socket
                    .close(frames, code, "", settings.close_timeout)
                    .await;
            }
        }
    }

    /// `armed`: the timer was polled, and nothing but the clock can make it go off.
    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, armed: &mut bool) -> Poll<()> {
        let now = Instant::now();
        for _ in 0..ENGINE_ROUNDS_MAX {
            let again = self.round(cx, now);
            if self.core.is_finished(now) {
                return Poll::Ready(());
            }
            if again {
                continue;
            }
            if let Some(deadline) = self.core.deadline(&self.settings)
                && timer.deadline().into_std() != deadline
            {
                timer.as_mut().reset(deadline.into());
                *armed = false;
            }
            // The task is always the same one, so it need not be told to the timer again and again.
            if (*armed && !timer.is_elapsed()) || timer.as_mut().poll(cx).is_pending() {
                *armed = true;
                return Poll::Pending;
            }
        }
        // Others on this thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what can be done now. Returns whether that may have led to more.
    ///
    /// That the protocol said something and all of it was written leads to nothing: this is what happens nearly every
    /// time, so it takes one round.
    fn round(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let unsent = !self.outbox.is_empty();
        self.tick(now);
        let mut moved = self.read_letters(cx, now);
        moved |= self.watch_get(cx, now);
        moved |= self.receive(cx, now);
        let listening = self.wants_input();
        moved |= self.try_probe(cx, now);
        moved |= self.advance(cx, now);
        let close = self.outbox.is_closing();
        self.core.settle(
            !self.outbox.is_empty(),
            close,
            &self.settings,
            now,
            &mut self.outputs,
        );
        moved |= self.carry_out(now);
        if !self.core.is_open() {
            self.drop_post(PostAnswer::Taken);
        }
        if let Link::Polling(_) = &self.link {
            // What waits for the next GET may wait long.
            self.outbox.frames().settle_down();
        }
        // The clocks have to know of what is unsent, and the client to be read as soon as it may be.
        moved || unsent == self.outbox.is_empty() || (!listening && self.wants_input())
    }

    fn tick(&mut self, now: Instant) {
        let traffic = self.traffic();
        if self.core.tick(&self.settings, now, traffic, &mut self.outputs) == Tick::Stuck {
            // A close frame would wait behind everything else that is not taken.
            self.close_code = None;
        }
        self.carry_out(now);
    }

    /// What has moved on the transport of the session.
    fn traffic(&self) -> Traffic {
        match &self.link {
            Link::WebSocket(connection) => connection
                .socket
                .traffic(self.outbox.frames_ref(), self.wants_input()),
            Link::Polling(link) => Traffic {
                read_bytes: link.posts,
                writes_resumed: link.transfer.taken(),
                sent_bytes: self.outbox.frames_ref().sent_bytes(),
                unsent_bytes: self.outbox.bytes() as u64,
                reading: self.post.is_none() || self.wants_input(),
            },
        }
    }

    /// Whether the client is listened to.
    fn wants_input(&self) -> bool {
        self.core.is_open()
            && !self.outbox.is_closing()
            && self.outbox.bytes() < OUTBOX_BYTES_MAX
            && self.protocol.wants_message()
    }

    /// Lets the protocol go on until it has to wait, and writes what it says. Returns whether it could go on.
    fn advance(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.send(cx, now);
        for _ in 0..ENGINE_ROUNDS_MAX {
            if !self.core.is_open() || self.outbox.is_closing() {
                return false;
            }
            let writable = self.core.is_writable(!self.outbox.is_empty());
            let polled = self.protocol.poll(cx, writable, &mut self.outbox);
            self.send(cx, now);
            // If what it has said is not taken at once, it is told so.
            if polled.is_pending() && (!writable || self.outbox.is_empty()) {
                return false;
            }
        }
        true
    }

    /// Writes what waits, as far as it is taken, if there is a WebSocket.
    fn send(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.outbox.is_empty() || self.ended.is_some() {
            return;
        }
        if let Link::WebSocket(connection) = &mut self.link
            && let Poll::Ready(Err(_)) = connection.socket.poll_send(cx, self.outbox.frames())
        {
            self.lost(now);
        }
    }

    /// Takes what the client has sent, as much as may be taken.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for count in 0..ENGINE_ROUNDS_MAX {
            if !self.wants_input() {
                return count > 0;
            }
            // What was posted before the client had its WebSocket comes before what comes on that.
            if self.post.is_some() {
                self.take_posted(now);
                continue;
            }
            let received = match &mut self.link {
                Link::WebSocket(connection) => connection.socket.poll_receive(cx),
                Link::Polling(_) => return count > 0,
            };
            let Poll::Ready(received) = received else {
                return count > 0;
            };
            self.received(received, now);
        }
        true
    }

    fn received(&mut self, received: Received, now: Instant) {
        let input = match received {
            Received::Incoming(Incoming::Ping(payload)) => {
                let pong = std::iter::once(Piece::Copied(&payload));
                return self.outbox.frames().push(Opcode::Pong, pong);
            }
            Received::Incoming(Incoming::Pong) => return,
            Received::Incoming(Incoming::Close(code)) => {
                debug!(?code, "the client closed its WebSocket");
                Input::SocketClosed
            }
            Received::Incoming(incoming) => Input::Packet(link::packet(incoming)),
            Received::Broken(breach) => {
                self.close_code = Some(breach.close_code());
                Input::SocketBroken
            }
            Received::Lost(error) => {
                debug!(?error, "the WebSocket is gone");
                return self.lost(now);
            }
        };
        self.handle(input, now);
    }

    /// The WebSocket of the session is gone.
    fn lost(&mut self, now: Instant) {
        self.close_code = None;
        self.handle(Input::SocketLost, now);
    }

    fn handle(&mut self, input: Input, now: Instant) {
        self.core.handle(input, &self.settings, now, &mut self.outputs);
        self.carry_out(now);
    }

    /// The session has a WebSocket now, the one that was tried.
    fn adopt(&mut self, now: Instant) {
        let Link::Polling(link) = &mut self.link else {
            return;
        };
        let Some(probe) = link.probe.take() else {
            return;
        };
        let Probe { connection, outgoing } = *probe;
        // `3probe` was sent long before the client could answer; if not, the connection is out of order.
        debug_assert!(outgoing.is_empty());
        self.link = Link::WebSocket(connection);
        self.place.mailbox().set_on_websocket();
        self.core.adopted(now, self.traffic());
        metrics::engine_upgraded();
    }

    /// The session is over.
    fn end(&mut self, reason: Ended) {
        debug!(?reason, transport = ?self.transport(), "session ended");
        metrics::engine_closed(reason.name());
        if reason == Ended::Draining && self.close_code.is_some() {
            self.close_code = Some(RESTART);
        }
        self.ended = Some(reason);
        self.drop_post(match reason {
            Ended::Broken => PostAnswer::Broken,
            _ => PostAnswer::Taken,
        });
        self.protocol.ended(reason);
    }

    /// What was posted and is not taken yet will not be taken any more.
    fn drop_post(&mut self, answer: PostAnswer) {
        if let Some(mut post) = self.post.take() {
            post.answer(answer);
        }
    }

    fn transport(&self) -> TransportKind {
        match self.link {
            Link::Polling(_) => TransportKind::Polling,
            Link::WebSocket(_) => TransportKind::WebSocket,
        }
    }
}

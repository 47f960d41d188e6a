//! One client in one namespace: moves events between the client, its session and the log. What to do is decided by
//! the session; here it is done, and nothing else.
//!
//! Everything it holds is bounded: deliveries are fetched only when the last ones are written, publishes and pages
//! under way are counted by the session, and while they are at their bound the client is not read. What is rare is
//! boxed and given up when it is over, so that an idle socket is small.

mod scratch;
mod steps;
mod under_way;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use broker::Log;
use shared::limits::EPHEMERAL_PATIENCE;
use tokio::time::Sleep;
use tracing::debug;

use super::gauges::{Gauges, TRANSPORT};
use super::reader::Reader;
use super::session::{Ids, Led, Newcomer, Now, Order, Session};
use crate::app::AppState;
use crate::appends::Target;
use crate::rate::{Client, RateLimits};
use crate::socketio::{self, Emitter, Gone, Incoming};
use crate::spans;

use scratch::Scratch;
use under_way::UnderWay;

/// One client in one namespace.
pub struct Socket {
    edge: Arc<Edge>,
    publisher: Option<Client>,
    /// `None`: the connection is to end at once.
    session: Option<Session>,
    /// What the session wants done and could not be told the client yet.
    orders: Vec<Order>,
    reader: Reader,
    /// Calls to the log that are not answered.
    under_way: Option<Box<UnderWay>>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The time of the events since the last poll: what came together came at one time.
    now: Option<Now>,
    /// Since when the client has not taken what it was sent.
    unwritable_since: Option<Instant>,
    gauges: Gauges,
}

/// What all sockets share.
pub(super) struct Edge {
    log: Arc<dyn Log>,
    rate: Arc<RateLimits>,
    tasks: tokio_util::task::TaskTracker,
    subscriptions_max: usize,
    delivery_bytes_max: usize,
    /// Events that were handed to sockets.
    delivered: metrics::Counter,
    /// Events of clients, by what they led to.
    routed: metrics::Counter,
    built_in: metrics::Counter,
    refused: metrics::Counter,
}

impl Edge {
    /// What sockets need of an edge.
    pub(super) fn new(state: &AppState, subscriptions_max: usize) -> Self {
        Self {
            log: Arc::clone(&state.log),
            rate: Arc::clone(&state.rate),
            tasks: state.tasks.clone(),
            subscriptions_max,
            delivery_bytes_max: state.config.tail.outbox_bytes_max,
            delivered: crate::metrics::deliveries(TRANSPORT),
            routed: crate::metrics::socket_events("route"),
            built_in: crate::metrics::socket_events("built_in"),
            refused: crate::metrics::socket_events("refused"),
        }
    }

    fn count(&self, led: Option<Led>) {
        let counter = match led {
            Some(Led::Route) => &self.routed,
            Some(Led::BuiltIn) => &self.built_in,
            Some(Led::Refused) => &self.refused,
            None => return,
        };
        counter.increment(1);
    }
}

impl Socket {
    /// A socket whose client waits to be let in.
    pub(super) fn new(newcomer: Newcomer<'_>, ids: Ids, publisher: Option<Client>, edge: &Arc<Edge>) -> Self {
        let mut socket = Self::closed(edge);
        let random = fastrand::Rng::new();
        let session = Session::enter(newcomer, ids, random, Now::get(), &mut socket.orders);
        socket.session = Some(session);
        socket.publisher = publisher;
        socket
    }

    /// A socket that ends its connection.
    pub(super) fn closed(edge: &Arc<Edge>) -> Self {
        Self {
            edge: Arc::clone(edge),
            publisher: None,
            session: None,
            orders: Vec::new(),
            reader: Reader::None,
            under_way: None,
            timer: None,
            now: None,
            unwritable_since: None,
            gauges: Gauges::default(),
        }
    }

    /// Where its publishes go.
    fn target(&self) -> Target<'_> {
        Target {
            log: &self.edge.log,
            publisher: self.publisher.map(|client| (&*self.edge.rate, client)),
        }
    }

    /// Waits for the time that the session has named.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.session.as_ref().and_then(Session::deadline);
        let Some(deadline) = deadline.map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return Poll::Pending;
        };
        let fresh = self.timer.is_none();
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        } else if !fresh && !timer.is_elapsed() {
            // It knows the task, which is always the same one.
            return Poll::Pending;
        }
        timer.as_mut().poll(cx)
    }

    /// Fetches what is due, if the client can take it; all of it goes out in one write.
    fn poll_deliveries(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()> {
        let Some(session) = &mut self.session else {
            return Poll::Pending;
        };
        if !writable {
            self.unwritable_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        }
        let stuck_since = self.unwritable_since.take();
        if !session.wants_deliveries() {
            return Poll::Pending;
        }
        if stuck_since.is_some_and(|since| since.elapsed() > EPHEMERAL_PATIENCE) {
            self.reader.skip_ephemeral();
        }
        let bytes_max = self.edge.delivery_bytes_max;
        scratch::with(|Scratch { deliveries, text }| {
            std::task::ready!(self.reader.poll_deliveries(cx, bytes_max, deliveries));
            let events = session.deliver(deliveries, text, |pieces, attachments| {
                out.emit_pieces(pieces, attachments);
            });
            Gauges::told(deliveries);
            spans::deliveries(TRANSPORT, deliveries);
            self.edge.delivered.increment(events);
            self.reader.poll_left(cx)
        })
    }
}

impl socketio::Socket for Socket {
    fn wants_event(&self) -> bool {
        let held_up = self.under_way.as_ref();
        let held_up = held_up.is_some_and(|calls| calls.publishes.is_held_up());
        !held_up && self.session.as_ref().is_some_and(Session::wants_event)
    }

    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>) {
        if let Some(session) = &mut self.session {
            let now = *self.now.get_or_insert_with(Now::get);
            let led = session.event(&event, now, &mut self.orders);
            self.edge.count(led);
            self.carry_out(out);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()> {
        if self.session.is_none() {
            out.close();
            return Poll::Pending;
        }
        self.now = None;
        self.carry_out(out);
        loop {
            let mut progress = self.poll_calls(cx);
            if self.poll_timer(cx).is_ready()
                && let Some(session) = &mut self.session
            {
                session.tick(Now::get(), &mut self.orders);
                progress = true;
            }
            self.carry_out(out);
            if !progress {
                break;
            }
        }
        self.poll_deliveries(cx, writable, out)
    }

    fn drain(&mut self, out: &mut Emitter<'_>) {
        if let Some(session) = &mut self.session {
            session.drain(Now::get(), &mut self.orders);
        }
        self.carry_out(out);
    }

    fn gone(&mut self, reason: Gone) {
        if let Some(mut calls) = self.under_way.take() {
            // What came before a goodbye is published, though nobody hears of the outcome.
            drop(calls.publishes.begin(self.target()));
        }
        self.reader = Reader::None;
        self.timer = None;
        let Some(session) = self.session.take() else {
            return;
        };
        debug!(sid = session.sid(), ?reason, "socket gone");
        // Whoever only lost the connection may come back.
        if reason != Gone::Connection
            && let (Some(pid), Some(generation)) = (session.pid(), session.generation())
        {
            let end = self.edge.log.sessions().end(pid, generation);
            self.edge.tasks.spawn(async move {
                if let Err(problem) = end.await {
                    debug!(%problem, "the record of a session that has ended stays until it expires");
                }
            });
        }
    }
}

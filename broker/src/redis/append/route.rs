//! The way of a lane to one node: a connection, and what was sent over it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use shared::limits::APPEND_BATCHES_IN_FLIGHT_MAX;
use tokio::time::Instant;

use super::super::fault::Fault;
use super::super::link::{Change, Link};
use super::super::topology::Node;
use super::super::wire::{Answer, Pipe};
use super::backlog::Batch;
use super::in_flight::{self, InFlight, Replies};
use crate::Appended;

/// A lane's way to one node.
pub(super) struct Route {
    pub(super) node: Arc<Node>,
    pub(super) link: Link,
    pub(super) in_flight: VecDeque<InFlight>,
    /// Whether the server knows the script, as far as this connection has shown.
    pub(super) script_known: bool,
    /// Of a lane that waits: what was sent behind the batches.
    pub(super) wait: Option<Wait>,
    /// Batches that were appended and wait to be safe.
    pub(super) held: Vec<Held>,
    /// Why the server cannot do what this lane asks for, and since when that is known.
    pub(super) unsupported: Option<(&'static str, Instant)>,
    /// Set when the server answered that it cannot serve: nothing more is sent, and the connection is opened anew
    /// when everything in flight is answered.
    pub(super) retiring: Option<&'static str>,
}

/// A question whether everything that was sent before it is safe. While it is not answered the connection does nothing else.
pub(super) struct Wait {
    pub(super) answer: Answer,
    pub(super) sent_at: Instant,
    /// Whether it is only tried out.
    pub(super) trial: bool,
}

/// A batch that was appended, and what each of its events is told once it is safe.
pub(super) struct Held {
    pub(super) batch: Batch,
    pub(super) results: Vec<Result<Appended, Fault>>,
}

/// What has happened on a route.
pub(super) enum News {
    /// The oldest batch in flight has its answer, or never gets one.
    Answer(Replies),
    /// It is known whether what was sent before is safe, or never will be.
    Waited(Replies),
    /// The connection came or went.
    Change(Change),
}

impl Route {
    pub(super) fn new(node: Arc<Node>, link: Link) -> Self {
        Self {
            node,
            link,
            in_flight: VecDeque::new(),
            script_known: false,
            wait: None,
            held: Vec::new(),
            unsupported: None,
            retiring: None,
        }
    }

    /// The connection, if another batch may go over it now.
    pub(super) fn may_send(&self) -> Option<Pipe> {
        let room = self.retiring.is_none()
            && self.wait.is_none()
            && self.in_flight.len() < APPEND_BATCHES_IN_FLIGHT_MAX;
        room.then(|| self.link.pipe().cloned()).flatten()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.wait.is_none()
    }

    /// A server that cannot serve is connected to anew as soon as everything is answered.
    pub(super) fn retire_if_done(&mut self) {
        if self.in_flight.is_empty()
            && self.wait.is_none()
            && let Some(why) = self.retiring.take()
        {
            self.link.down(why);
        }
    }
}

/// The first of several routes on which something has happened.
pub(super) fn poll_news(routes: &mut [Route], cx: &mut Context<'_>) -> Poll<(usize, News)> {
    // This is what sends and brings answers, so it is done for all of them first, whoever has answers already. Those that came
    // before a connection ended are looked at by who is told of its end.
    for (index, route) in routes.iter_mut().enumerate() {
        if let Poll::Ready(change) = route.link.poll_changed(cx) {
            return Poll::Ready((index, News::Change(change)));
        }
    }
    for (index, route) in routes.iter_mut().enumerate() {
        if let Some(answer) = in_flight::of_oldest(&mut route.in_flight) {
            return Poll::Ready((index, News::Answer(answer)));
        }
        // Answers come in the order in which questions were sent.
        if route.in_flight.is_empty()
            && let Some(wait) = &mut route.wait
            && let Some(answer) = in_flight::so_far(&mut wait.answer)
        {
            return Poll::Ready((index, News::Waited(answer)));
        }
    }
    Poll::Pending
}

//! The way of a lane to one node: a connection, and what was sent over it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use redis::Value;
use redis::aio::MultiplexedConnection;
use shared::limits::APPEND_BATCHES_IN_FLIGHT_MAX;

use super::super::fault::Fault;
use super::super::link::{Change, Link};
use super::super::topology::Node;
use super::in_flight::{self, InFlight};

/// A lane's way to one node.
pub(super) struct Route {
    pub(super) node: Arc<Node>,
    pub(super) link: Link,
    pub(super) in_flight: VecDeque<InFlight>,
    /// Whether the server knows the script, as far as this connection has shown.
    pub(super) script_known: bool,
    /// Set when the server answered that it cannot serve: nothing more is sent, and the connection is opened anew
    /// when everything in flight is answered.
    pub(super) retiring: Option<&'static str>,
}

/// What has happened on a route.
pub(super) enum News {
    /// The oldest batch in flight has its answer, or never gets one.
    Answer(Result<Vec<Value>, Fault>),
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
            retiring: None,
        }
    }

    /// The connection, if another batch may go over it now.
    pub(super) fn may_send(&self) -> Option<MultiplexedConnection> {
        let room = self.retiring.is_none() && self.in_flight.len() < APPEND_BATCHES_IN_FLIGHT_MAX;
        room.then(|| self.link.connection().cloned()).flatten()
    }

    /// A server that cannot serve is connected to anew as soon as everything is answered.
    pub(super) fn retire_if_done(&mut self) {
        if self.in_flight.is_empty()
            && let Some(why) = self.retiring.take()
        {
            self.link.down(why);
        }
    }
}

/// The first of several routes on which something has happened.
pub(super) fn poll_news(routes: &mut [Route], cx: &mut Context<'_>) -> Poll<(usize, News)> {
    for (index, route) in routes.iter_mut().enumerate() {
        if let Poll::Ready(answer) = in_flight::poll_oldest(&mut route.in_flight, cx) {
            return Poll::Ready((index, News::Answer(answer)));
        }
        if let Poll::Ready(change) = route.link.poll_changed(cx) {
            return Poll::Ready((index, News::Change(change)));
        }
    }
    Poll::Pending
}

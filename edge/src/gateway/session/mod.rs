//! The protocol of one socket, without the socket: what the client does, the answers of the log and the clock go in;
//! orders come out. It never waits and does no I/O.
//!
//! A session is *entering* until its record is stored and what it follows has begun; only then is the client let in.
//! Afterwards at most one [`Task`] is under way: streams that begin to be followed, one after the other, and the record
//! that is stored before the client is answered. Meanwhile no event is taken and nothing is delivered, so that what
//! the client is told, what is stored and what it gets stand in one order. Publishes and pages go beside it.
//!
//! It owns what the socket may have under way, and so says when the next event may be taken ([`Session::wants_event`])
//! and when to fetch deliveries ([`Session::wants_deliveries`]).

mod entering;
mod following;
mod names;
mod orders;
mod publishing;
mod recovery;
mod requests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Delivery, EphemeralEvent, Generation};
use bytes::Bytes;
use shared::{Entry, Event, SessionId};

use super::delivery::{self, Encoded, Notice};
use super::rules::Rules;
use super::settings::SessionLimits;
use super::subscriptions::Subscriptions;
use crate::socketio::{AckId, Namespace, Piece};
use crate::trace::RequestTrace;

use following::Following;
use recovery::Recovery;

pub(crate) use entering::Newcomer;
pub(crate) use orders::{Arrival, Order, Publishing, Reading, Wanted};
pub(crate) use requests::Led;

/// The time, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// What deadlines are measured with.
    pub(crate) instant: Instant,
    /// The time of day, in milliseconds since the Unix epoch.
    pub(crate) ms: u64,
}

/// The names under which a session is known, if it is a new one.
#[derive(Debug)]
pub(crate) struct Ids {
    /// What the client calls the socket's `id`.
    pub(crate) sid: Box<str>,
    /// What it recovers the session with.
    pub(crate) pid: SessionId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client is not let in yet.
    Entering,
    Open,
    /// The edge stops: answers are awaited until then, nothing new is begun.
    Draining(Instant),
    Closed,
}

/// What is under way, one thing at a time.
#[derive(Debug)]
enum Task {
    /// The record of an earlier session is fetched; the client's offset is for it.
    TakingOver { pid: SessionId, offset: Option<String> },
    /// Streams begin to be followed.
    Following(Following),
    /// The record is stored; then this is done.
    Storing(Stored),
}

/// What is done when the record is stored.
#[derive(Debug)]
enum Stored {
    /// The client is let in, with this to recover its session with.
    Enter(SessionId),
    /// What is followed now is acknowledged.
    Followed(Box<following::Answering>),
    /// Streams are left.
    Leave(requests::Leaving),
}

/// One socket's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    rules: Arc<Rules>,
    limits: Arc<SessionLimits>,
    trace: Arc<RequestTrace>,
    namespace: Namespace,
    /// The fields of the client's `auth` that routes use, in the order of [`Rules::auth`].
    auth: Box<[Option<Box<str>>]>,
    sid: Box<str>,
    /// What a new session will be called, until it is decided whether there is one.
    new: Option<Box<Ids>>,
    /// Set once the session has a record.
    recovery: Option<Box<Recovery>>,
    random: fastrand::Rng,
    phase: Phase,
    arrival: Arrival,
    subscriptions: Subscriptions,
    task: Option<Box<Task>>,
    publishes: usize,
    publish_bytes: usize,
    pages: usize,
}

impl Session {
    /// What the client calls the socket's `id`.
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// What the client recovers the session with, if it can.
    pub(crate) fn pid(&self) -> Option<&SessionId> {
        self.recovery.as_ref().map(|recovery| &recovery.pid)
    }

    /// The generation under which the session is served, if it has a record.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.recovery.as_ref().map(|recovery| recovery.generation)
    }

    /// The name of its namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_str()
    }

    /// The connection's place in a trace.
    pub(crate) fn trace(&self) -> &RequestTrace {
        &self.trace
    }

    /// How long a record lives that nobody touches.
    pub(crate) fn record_ttl(&self) -> Duration {
        self.limits.record_ttl()
    }

    /// What holds in its namespace.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether the next event may be taken.
    pub(crate) fn wants_event(&self) -> bool {
        self.phase == Phase::Open
            && self.task.is_none()
            && self.publishes < self.limits.publishes_max
            && self.publish_bytes < self.limits.publish_bytes_max
            && self.pages < self.limits.pages_max
    }

    /// Whether deliveries are to be fetched.
    pub(crate) fn wants_deliveries(&self) -> bool {
        self.phase == Phase::Open && self.task.is_none() && !self.subscriptions.is_empty()
    }

    /// How many streams are followed.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Something is to be delivered: `emit` gets the array of each event in pieces, and its attachments. Returns how
    /// many events there were. `end` is memory to use.
    pub(crate) fn deliver(
        &mut self,
        deliveries: &[Delivery],
        end: &mut Vec<u8>,
        mut emit: impl FnMut(&[Piece<'_>], &[Bytes]),
    ) -> u64 {
        let mut events = 0;
        for delivery in deliveries {
            let (stream, cursor, what) = match delivery {
                Delivery::Event(entry) => {
                    self.subscriptions.advance(&entry.stream, entry.cursor);
                    if let Some(Encoded { text, attachments }) = self.heard(entry) {
                        self.end_of_event(end);
                        emit(&[text, Piece::Copied(end)], &attachments);
                        events += 1;
                    }
                    continue;
                }
                Delivery::Ephemeral(event) => {
                    if let Some(Encoded { text, attachments }) = self.overheard(event) {
                        emit(&[text, Piece::Copied(b"]")], &attachments);
                        events += 1;
                    }
                    continue;
                }
                Delivery::Gap { stream, lost, cursor } => (stream, *cursor, Notice::Gap(*lost)),
                Delivery::Reset { stream, cursor } => (stream, *cursor, Notice::Reset),
                Delivery::Unverified { stream, cursor } => (stream, *cursor, Notice::Unverified),
                Delivery::CaughtUp { stream, cursor } => (stream, *cursor, Notice::CaughtUp),
                Delivery::Restored { stream, cursor } => (stream, *cursor, Notice::Restored),
                Delivery::Degraded { stream, since_ms } => {
                    let mut text = Vec::new();
                    delivery::degraded(stream, *since_ms, &mut text);
                    emit(&[Piece::Copied(&text), Piece::Copied(b"]")], &[]);
                    continue;
                }
                // A subscription here has no end, so it is never told of one.
                Delivery::Passed { stream, cursor } | Delivery::Ended { stream, cursor } => {
                    (stream, *cursor, Notice::Passed)
                }
            };
            self.subscriptions.advance(stream, cursor);
            let mut text = Vec::new();
            delivery::notice(what, stream, cursor, &mut text);
            self.end_of_event(end);
            emit(&[Piece::Copied(&text), Piece::Copied(end)], &[]);
        }
        events
    }

    /// What the client gets of an entry: nothing if it sent it itself and wants no echo.
    fn heard<'a>(&self, entry: &'a Entry) -> Option<Encoded<'a>> {
        (!self.is_own(&entry.event)).then(|| delivery::entry(entry))
    }

    fn overheard<'a>(&self, event: &'a EphemeralEvent) -> Option<Encoded<'a>> {
        if self.is_own(&event.event) {
            return None;
        }
        let packed = event.wire(|event| delivery::pack_ephemeral(&event.stream, &event.event));
        Some(delivery::unpack(packed, &event.event))
    }

    /// Only events without an echo name the session that they come from.
    fn is_own(&self, event: &Event) -> bool {
        event
            .session
            .as_ref()
            .is_some_and(|session| session.as_str() == &*self.sid)
    }

    /// What closes the array of an event that moves the client's position.
    fn end_of_event(&self, end: &mut Vec<u8>) {
        end.clear();
        if self.rules.recovery {
            end.extend_from_slice(b",\"");
            self.subscriptions.push_offset(&self.sid, end);
            end.push(b'"');
        }
        end.push(b']');
    }

    /// The edge stops.
    pub(crate) fn drain(&mut self, now: Now, out: &mut Vec<Order>) {
        match self.phase {
            // It comes back to another edge, with what it had.
            Phase::Entering => self.close(out),
            Phase::Open => {
                self.phase = Phase::Draining(now.instant + self.limits.drain_max);
                self.close_if_drained(out);
            }
            Phase::Draining(_) | Phase::Closed => {}
        }
    }

    /// The time has come that [`Session::deadline`] named.
    pub(crate) fn tick(&mut self, now: Now, out: &mut Vec<Order>) {
        match self.phase {
            Phase::Draining(end) if now.instant >= end => self.close(out),
            Phase::Open => self.keep_record(now, out),
            _ => {}
        }
    }

    /// When to call [`Session::tick`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining(end) => Some(end),
            Phase::Open => self.recovery.as_ref().map(|recovery| recovery.due),
            Phase::Entering | Phase::Closed => None,
        }
    }

    fn close(&mut self, out: &mut Vec<Order>) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.task = None;
            out.push(Order::Close);
        }
    }

    fn close_if_drained(&mut self, out: &mut Vec<Order>) {
        let idle = self.publishes == 0 && self.pages == 0 && self.task.is_none();
        if matches!(self.phase, Phase::Draining(_)) && idle {
            self.close(out);
        }
    }

    /// Answers an event, if an answer is wanted.
    fn answer(&self, ack: Option<AckId>, array: impl FnOnce() -> Vec<u8>, out: &mut Vec<Order>) {
        if let (Some(ack), true) = (ack, self.phase != Phase::Closed) {
            out.push(Order::Ack(ack, array()));
        }
    }
}

//! The protocol of one socket, without the socket: frames, answers of the log and the clock go in; frames and
//! orders for the log come out. It never waits and does no I/O.
//!
//! It owns what the socket may have under way, and so says when to read on ([`Session::wants_read`]) and when to
//! fetch deliveries ([`Session::wants_deliveries`]). Every request with a `ref` is answered exactly once for each
//! stream it names, unless the socket closes first.

mod requests;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use broker::{Appended, Delivery, Filter, From, Joined, NewEvent, Page, ReadError, ReadRequest};
use bytes::Bytes;
use shared::limits::WS_PAGE_BYTES_MAX;
use shared::{EntryId, StreamName};

use super::close::CloseCode;
pub(crate) use super::fields::Ref;
use super::format::Format;
use super::page;
use super::reply::{self, Problem, Reply};
use super::request::{self, Request, Subscribe};
use super::settings::SessionLimits;
use crate::appends::Publish;
use crate::error::ApiError;
use crate::page::bound;
use crate::trace::RequestTrace;

/// What the transport is to do, in this order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send this frame.
    Send(Bytes),
    /// Append the event, then call [`Session::appended`].
    Submit(Publishing, NewEvent),
    /// Read the page, then call [`Session::page_read`].
    Read(Reading, ReadRequest),
    /// Follow the stream, then call [`Session::joined`]. One at a time.
    Join(Joining),
    /// Stop following the stream.
    Leave(StreamName),
    /// Send what was sent so far, then close.
    Close(CloseCode),
}

/// A publish under way.
pub(crate) type Publishing = Publish<Option<Ref>>;

/// A page read under way.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Of which stream.
    pub(crate) stream: StreamName,
    backward: bool,
    reference: Option<Ref>,
}

/// A subscription that is being made.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    /// Which stream.
    pub(crate) stream: StreamName,
    /// From where.
    pub(crate) from: From,
    /// The last entry to deliver.
    pub(crate) until: Option<EntryId>,
    /// Which events.
    pub(crate) filter: Filter,
    reference: Option<Ref>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The edge stops: answers are awaited until then, nothing new is begun.
    Draining(Instant),
    Closed,
}

/// One socket's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    format: Format,
    limits: SessionLimits,
    trace: RequestTrace,
    random: fastrand::Rng,
    phase: Phase,
    subscriptions: HashSet<StreamName>,
    joining: VecDeque<Joining>,
    publishes: usize,
    publish_bytes: usize,
    pages: usize,
    refused_in_a_row: u32,
}

impl Session {
    /// A session that has just begun. Each publish is a child of the connection's `trace`; that is stored with the
    /// event if the client itself began the trace.
    pub(crate) fn new(
        format: Format,
        limits: SessionLimits,
        trace: RequestTrace,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            format,
            limits,
            trace,
            random,
            phase: Phase::Open,
            subscriptions: HashSet::new(),
            joining: VecDeque::new(),
            publishes: 0,
            publish_bytes: 0,
            pages: 0,
            refused_in_a_row: 0,
        }
    }

    /// Whether the next frame may be read.
    pub(crate) fn wants_read(&self) -> bool {
        self.phase == Phase::Open
            && self.joining.is_empty()
            && self.publishes < self.limits.publishes_max
            && self.publish_bytes < self.limits.publish_bytes_max
            && self.pages < self.limits.pages_max
    }

    /// Whether deliveries are to be fetched.
    pub(crate) fn wants_deliveries(&self) -> bool {
        self.phase == Phase::Open && self.joining.is_empty() && !self.subscriptions.is_empty()
    }

    /// How many streams are followed.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// A message of the client. `now_ms` tells the time of day.
    pub(crate) fn frame(&mut self, format: Format, frame: &[u8], now_ms: fn() -> u64, out: &mut Vec<Output>) {
        if self.phase != Phase::Open {
            return;
        }
        if format != self.format {
            return self.close(CloseCode::UnsupportedData, out);
        }
        match request::decode(format, frame, now_ms) {
            Ok((reference, request)) => {
                self.refused_in_a_row = 0;
                match self.check_names(&request) {
                    Ok(()) => self.begin(reference, request, out),
                    Err(error) => self.refuse(reference.as_ref(), None, &error, out),
                }
            }
            Err(refusal) => {
                self.refuse(refusal.reference.as_ref(), None, &refusal.error, out);
                self.refused_in_a_row += 1;
                if self.refused_in_a_row >= self.limits.refused_max {
                    self.close(CloseCode::Policy, out);
                }
            }
        }
    }

    /// A publish has its outcome.
    pub(crate) fn appended(
        &mut self,
        publishing: &Publishing,
        outcome: Result<Appended, ApiError>,
        out: &mut Vec<Output>,
    ) {
        self.publishes = self.publishes.saturating_sub(1);
        self.publish_bytes = self.publish_bytes.saturating_sub(publishing.bytes);
        let (reference, stream) = (publishing.reference.as_ref(), &publishing.stream);
        match outcome {
            Ok(Appended { cursor, duplicate }) => self.reply(
                &Reply::Published {
                    reference,
                    stream,
                    id: cursor.id,
                    cursor,
                    duplicate,
                },
                out,
            ),
            Err(error) => self.refuse(reference, Some(stream), &error, out),
        }
        self.close_if_drained(out);
    }

    /// A page was read.
    pub(crate) fn page_read(
        &mut self,
        reading: &Reading,
        outcome: Result<Page, ReadError>,
        out: &mut Vec<Output>,
    ) {
        self.pages = self.pages.saturating_sub(1);
        let (reference, stream) = (reading.reference.as_ref(), &reading.stream);
        match outcome {
            Ok(mut read) if self.phase != Phase::Closed => {
                bound(&mut read, WS_PAGE_BYTES_MAX, reading.backward);
                out.push(Output::Send(page::encode(self.format, reference, stream, &read)));
            }
            Ok(_) => {}
            Err(error) => self.refuse(reference, Some(stream), &error.into(), out),
        }
        self.close_if_drained(out);
    }

    /// The [`Joining`] that was handed out last has its outcome.
    pub(crate) fn joined(&mut self, outcome: Result<Joined, ReadError>, out: &mut Vec<Output>) {
        let Some(joining) = self.joining.pop_front() else {
            return;
        };
        let (reference, stream) = (joining.reference.as_ref(), &joining.stream);
        match outcome {
            Ok(joined) => {
                self.reply(
                    &Reply::Subscribed {
                        reference,
                        stream,
                        cursor: joined.resume_from(joining.from),
                        head: joined.head,
                        verdict: joined.verdict,
                    },
                    out,
                );
                self.subscriptions.insert(joining.stream);
            }
            Err(error) => {
                let away = error.is_retryable();
                let error = ApiError::from(error);
                self.refuse(reference, Some(stream), &error, out);
                // Each of the others would only wait for the log just as long.
                if away {
                    for other in std::mem::take(&mut self.joining) {
                        self.refuse(other.reference.as_ref(), Some(&other.stream), &error, out);
                    }
                }
            }
        }
        self.join_next(out);
    }

    /// Something is to be delivered: `send` gets each frame.
    pub(crate) fn deliver(&mut self, deliveries: &[Delivery], mut send: impl FnMut(Bytes)) {
        for delivery in deliveries {
            if let Delivery::Ended { stream, .. } = delivery {
                self.subscriptions.remove(stream);
            }
            reply::delivery(self.format, delivery).map(&mut send);
        }
    }

    /// The edge stops.
    pub(crate) fn drain(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining(now + self.limits.drain_max);
            self.joining.clear();
            self.close_if_drained(out);
        }
    }

    /// The time has come that [`Session::deadline`] named.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Draining(end) if now >= end) {
            self.close(CloseCode::ServiceRestart, out);
        }
    }

    /// When to call [`Session::tick`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining(end) => Some(end),
            Phase::Open | Phase::Closed => None,
        }
    }

    /// Ends the session.
    pub(crate) fn close(&mut self, code: CloseCode, out: &mut Vec<Output>) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            out.push(Output::Close(code));
        }
    }
}

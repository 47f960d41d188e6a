//! What a session wants done.

use broker::{From, Generation, NewEvent, ReadRequest};
use bytes::Bytes;
use shared::{Event, SessionId, StreamName};

use crate::appends::Publish;
use crate::gateway::record::FilterText;
use crate::socketio::AckId;

/// What the socket is to do, in this order.
#[derive(Debug)]
pub(crate) enum Order {
    /// Let the client in, under [`super::Session::sid`] and [`super::Session::pid`].
    Accept(Arrival),
    /// Do not let the client in; it is told why, with this JSON beside the message.
    Refuse(String, Vec<u8>),
    /// Take an earlier session over, then call [`super::Session::taken`].
    TakeOver(SessionId),
    /// Store the record of a new session, then call [`super::Session::created`].
    Create(SessionId, Bytes),
    /// Store the record, then call [`super::Session::saved`]. One at a time.
    Save(SessionId, Generation, Bytes),
    /// Keep the record alive, then call [`super::Session::touched`]. One at a time.
    Touch(SessionId),
    /// Follow the stream, then call [`super::Session::joined`]. One at a time.
    Join(Wanted),
    /// Stop following the stream.
    Leave(StreamName),
    /// Append the event, then call [`super::Session::appended`].
    Submit(Publishing, NewEvent),
    /// Send the event around the log, then call [`super::Session::sent`].
    Send(StreamName, Event, Option<AckId>),
    /// Read the page, then call [`super::Session::page_read`].
    Read(Reading, ReadRequest),
    /// Acknowledge an event with this array.
    Ack(AckId, Vec<u8>),
    /// End the connection, so that the client comes back by itself.
    Close,
}

/// How a client came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// With a session of its own for the first time.
    Fresh,
    /// With the session that it had.
    Recovered,
    /// With a new session, because that which it had is gone.
    Lost,
}

/// A stream to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which.
    pub(crate) stream: StreamName,
    /// From where.
    pub(crate) from: From,
    /// Which of its events.
    pub(crate) filter: FilterText,
}

/// A publish under way.
pub(crate) type Publishing = Publish<Option<AckId>>;

/// A page read under way.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Of which stream.
    pub(crate) stream: StreamName,
    pub(super) backward: bool,
    pub(super) ack: AckId,
}

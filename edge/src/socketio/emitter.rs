//! What a socket says to its client.

use bytes::Bytes;
use shared::limits::SIO_ATTACHMENTS_MAX;
use shared::wire::push_json_string;
use smallvec::SmallVec;

use super::application::AckId;
use super::namespace::Namespace;
use super::packet::{Head, Kind};
use crate::engineio::{Outbox, Piece};

/// How far a socket and its client have come with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The client waits to be let in.
    Connecting,
    /// The client is in the namespace.
    Connected,
    /// The client was told that it may not come in.
    Refused,
    /// The client was told that it has to leave.
    Left,
}

/// What is kept of a socket for its [`Emitter`].
#[derive(Debug)]
pub(super) struct Link {
    pub(super) namespace: Namespace,
    pub(super) standing: Standing,
    /// The socket is done: the connection may end.
    pub(super) closing: bool,
}

/// What a connection counts for the emitters of all its sockets.
#[derive(Debug)]
pub(super) struct Tally {
    /// Bytes that were said since everything had been handed on.
    pub(super) unsent: usize,
    /// The number of the next acknowledgement that is asked for.
    pub(super) next_ack: AckId,
}

impl Tally {
    /// Nothing said. Acknowledgements are counted from a random number, so that a client that comes back and then
    /// answers an event of its previous connection does not seem to answer another one.
    pub(super) fn new() -> Self {
        Self {
            unsent: 0,
            next_ack: AckId::from(fastrand::u32(..)),
        }
    }
}

/// Says things to one client in one namespace.
///
/// A client that has not been let in yet, or that has been told to leave, hears nothing.
#[derive(Debug)]
pub struct Emitter<'a> {
    pub(super) link: &'a mut Link,
    pub(super) out: &'a mut Outbox,
    pub(super) tally: &'a mut Tally,
}

impl Emitter<'_> {
    /// Lets the client in, as `sid`; with a `pid` if it may recover later.
    pub fn accept(&mut self, sid: &str, pid: Option<&str>) {
        if self.link.standing != Standing::Connecting {
            return;
        }
        let mut data = b"{\"sid\":".to_vec();
        push_json_string(&mut data, sid);
        if let Some(pid) = pid {
            data.extend_from_slice(b",\"pid\":");
            push_json_string(&mut data, pid);
        }
        data.push(b'}');
        self.say(Kind::Connect, None, &[Piece::Copied(&data)], &[]);
        self.link.standing = Standing::Connected;
    }

    /// Refuses the client, which will not try again by itself: `message` and `data` (JSON) reach its `connect_error`.
    pub fn refuse(&mut self, message: &str, data: Option<&[u8]>) {
        if self.link.standing != Standing::Connecting {
            return;
        }
        let mut error = b"{\"message\":".to_vec();
        push_json_string(&mut error, message);
        if let Some(data) = data {
            error.extend_from_slice(b",\"data\":");
            error.extend_from_slice(data);
        }
        error.push(b'}');
        self.say(Kind::ConnectError, None, &[Piece::Copied(&error)], &[]);
        self.link.standing = Standing::Refused;
    }

    /// Emits an event. `parts` together are the JSON array of its name and arguments, with placeholders
    /// (`{"_placeholder":true,"num":n}`) for `attachments`; nothing else in it may look like one if there are any.
    ///
    /// Returns whether it was said. Clients cut the connection on more than [`SIO_ATTACHMENTS_MAX`] attachments, so
    /// such an event is not.
    pub fn emit(&mut self, parts: &[&[u8]], attachments: &[Bytes]) -> bool {
        self.emit_pieces(&copied(parts), attachments)
    }

    /// Emits an event like [`Emitter::emit`]. Large pieces that many clients share are not copied for each of them.
    pub fn emit_pieces(&mut self, pieces: &[Piece<'_>], attachments: &[Bytes]) -> bool {
        self.speaks(attachments) && {
            self.say(Kind::Event, None, pieces, attachments);
            true
        }
    }

    /// Emits an event like [`Emitter::emit`] and asks for an acknowledgement, which comes to
    /// [`super::Socket::answer`] under the number that is returned, or never: it is for the socket to bound how many
    /// it waits for, and how long. No number is given twice on a connection.
    pub fn emit_with_ack(&mut self, parts: &[&[u8]], attachments: &[Bytes]) -> Option<AckId> {
        if !self.speaks(attachments) {
            return None;
        }
        let id = self.tally.next_ack;
        self.tally.next_ack += 1;
        self.say(Kind::Event, Some(id), &copied(parts), attachments);
        Some(id)
    }

    /// Acknowledges an event, once. `parts` together are the JSON array of the arguments; placeholders, attachments
    /// and what is returned are as in [`Emitter::emit`].
    pub fn ack(&mut self, id: AckId, parts: &[&[u8]], attachments: &[Bytes]) -> bool {
        self.speaks(attachments) && {
            self.say(Kind::Ack, Some(id), &copied(parts), attachments);
            true
        }
    }

    /// Makes the client leave the namespace; it will not come back by itself. Other namespaces stay.
    pub fn disconnect(&mut self) {
        if self.link.standing == Standing::Connected {
            self.say(Kind::Disconnect, None, &[], &[]);
            self.link.standing = Standing::Left;
        }
    }

    /// Ends the whole connection, all its namespaces, so that the client comes back by itself. What was said before
    /// is sent first. While the edge drains, this socket only says that it is done.
    pub fn close(&mut self) {
        self.link.closing = true;
    }

    fn speaks(&self, attachments: &[Bytes]) -> bool {
        self.link.standing == Standing::Connected
            && !self.link.closing
            && attachments.len() <= SIO_ATTACHMENTS_MAX
    }

    fn say(&mut self, kind: Kind, ack: Option<AckId>, payload: &[Piece<'_>], attachments: &[Bytes]) {
        let head = Head {
            kind,
            attachments: attachments.len(),
            namespace: self.link.namespace.as_str(),
            ack,
        };
        self.tally.unsent += head.write(payload, attachments, self.out);
    }
}

fn copied<'a>(parts: &[&'a [u8]]) -> SmallVec<[Piece<'a>; 8]> {
    parts.iter().map(|part| Piece::Copied(part)).collect()
}

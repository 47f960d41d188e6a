//! What a socket says to its client.

use bytes::Bytes;
use shared::limits::SIO_ATTACHMENTS_MAX;
use shared::wire::push_json_string;

use super::application::AckId;
use super::namespace::Namespace;
use super::packet::{Head, Kind};
use crate::engineio::Outbox;

/// How far a socket and its client have come with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The client waits to be let in.
    Connecting,
    /// The client is in the namespace.
    Connected,
    /// The client was told that it may not come in, or that it has to leave.
    Left,
}

/// What is kept of a socket for its [`Emitter`].
#[derive(Debug)]
pub(super) struct Link {
    pub(super) namespace: Namespace,
    pub(super) standing: Standing,
    /// The socket is done: the connection may end.
    pub(super) closing: bool,
    /// How many acknowledgements were asked for.
    pub(super) acks: u32,
}

/// Says things to one client in one namespace.
///
/// A client that has not been let in yet, or that has been told to leave, hears nothing.
#[derive(Debug)]
pub struct Emitter<'a> {
    pub(super) link: &'a mut Link,
    pub(super) out: &'a mut Outbox,
    /// Grows by the bytes that are said.
    pub(super) said: &'a mut usize,
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
        self.say(Kind::Connect, None, &[&data], &[]);
        self.link.standing = Standing::Connected;
    }

    /// Refuses the client, which will not try again by itself: `message` and `data` (JSON) reach its `connect_error`.
    pub fn refuse(&mut self, message: &str, data: Option<&[u8]>) {
        if self.link.standing != Standing::Connecting {
            return;
        }
        let mut error = b"{\"message\":".to_vec();
        push_json_string(&mut error, message);
        match data {
            Some(data) => self.say(
                Kind::ConnectError,
                None,
                &[&error, b",\"data\":", data, b"}"],
                &[],
            ),
            None => self.say(Kind::ConnectError, None, &[&error, b"}"], &[]),
        }
        self.link.standing = Standing::Left;
    }

    /// Emits an event. `parts` together are the JSON array of its name and arguments, with placeholders
    /// (`{"_placeholder":true,"num":n}`) for `attachments`; nothing else in it may look like one if there are any.
    ///
    /// Returns whether it was said. Clients cut the connection on more than [`SIO_ATTACHMENTS_MAX`] attachments, so
    /// such an event is not.
    pub fn emit(&mut self, parts: &[&[u8]], attachments: &[Bytes]) -> bool {
        self.speaks(attachments) && {
            self.say(Kind::Event, None, parts, attachments);
            true
        }
    }

    /// Emits an event like [`Emitter::emit`] and asks for an acknowledgement, which comes to
    /// [`super::Socket::answer`] under the number that is returned, or never: it is for the socket to bound how many
    /// it waits for, and how long.
    pub fn emit_with_ack(&mut self, parts: &[&[u8]], attachments: &[Bytes]) -> Option<AckId> {
        if !self.speaks(attachments) {
            return None;
        }
        let id = AckId::from(self.link.acks);
        self.link.acks = self.link.acks.wrapping_add(1);
        self.say(Kind::Event, Some(id), parts, attachments);
        Some(id)
    }

    /// Acknowledges an event, once. `parts` together are the JSON array of the arguments; placeholders, attachments
    /// and what is returned are as in [`Emitter::emit`].
    pub fn ack(&mut self, id: AckId, parts: &[&[u8]], attachments: &[Bytes]) -> bool {
        self.speaks(attachments) && {
            self.say(Kind::Ack, Some(id), parts, attachments);
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

    fn say(&mut self, kind: Kind, ack: Option<AckId>, payload: &[&[u8]], attachments: &[Bytes]) {
        let head = Head {
            kind,
            attachments: attachments.len(),
            namespace: self.link.namespace.as_str(),
            ack,
        };
        *self.said += head.write(payload, attachments, self.out);
    }
}

//! One connection: the sockets of one client, each in a namespace of its own, on one Engine.IO session.

mod incoming;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use shared::limits::{SIO_ATTACHMENT_TIMEOUT, SIO_UNSENT_BYTES_MAX};
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::application::{Application, Gone, Socket};
use super::assembly::Assembly;
use super::emitter::{Emitter, Link, Standing, Tally};
use super::namespace::Namespace;
use super::violation::Violation;
use crate::engineio::{Ended, Message, Opened, Outbox, Protocol, Service};
use crate::metrics;

/// Makes a [`Connection`] of each Engine.IO session.
#[derive(Debug)]
pub struct Server<A>(Arc<A>);

impl<A: Application> Server<A> {
    /// A server of this application.
    pub fn new(application: Arc<A>) -> Self {
        Self(application)
    }
}

impl<A: Application> Service for Server<A> {
    type Protocol = Connection<A>;

    fn admit(&self, opened: &Opened<'_>) -> Result<(), Cow<'static, str>> {
        self.0.admit(opened)
    }

    fn open(&self, opened: &Opened<'_>) -> Connection<A> {
        let handshake = self.0.handshake(opened);
        Connection::new(Arc::clone(&self.0), handshake)
    }
}

/// The sockets of one client.
///
/// Most of them idle in one namespace for hours, so what is rare is boxed, and nothing is kept for later use.
pub struct Connection<A: Application> {
    application: Arc<A>,
    handshake: A::Handshake,
    sockets: Vec<Slot<A::Socket>>,
    /// Namespaces that the server made the client leave. What the client sent before it heard of that is no fault.
    departed: Vec<Namespace>,
    assembly: Option<Box<Assembly>>,
    /// Until when the client has to be in a namespace, or its next attachment has to come.
    timer: Option<Pin<Box<Sleep>>>,
    tally: Tally,
    /// Which socket goes first when something may be fetched for the client.
    first: usize,
    /// The client has been in a namespace.
    greeted: bool,
    /// The next message was wanted when that was looked at last.
    reading: bool,
    draining: bool,
    closing: bool,
}

impl<A: Application> std::fmt::Debug for Connection<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let links = self.sockets.iter().map(|slot| &slot.link);
        f.debug_list().entries(links).finish()
    }
}

struct Slot<S> {
    link: Link,
    socket: S,
}

impl<S> Slot<S> {
    /// The socket, and what it says things with.
    fn parts<'a>(&'a mut self, tally: &'a mut Tally, out: &'a mut Outbox) -> (&'a mut S, Emitter<'a>) {
        let Self { link, socket } = self;
        (socket, Emitter { link, out, tally })
    }

    /// Whether the client is in the namespace, and the socket goes on.
    fn is_open(&self) -> bool {
        self.link.standing == Standing::Connected && !self.link.closing
    }
}

impl<A: Application> Connection<A> {
    pub(super) fn new(application: Arc<A>, handshake: A::Handshake) -> Self {
        let mut connection = Self {
            application,
            handshake,
            sockets: Vec::new(),
            departed: Vec::new(),
            assembly: None,
            timer: None,
            tally: Tally::new(),
            first: 0,
            greeted: false,
            reading: true,
            draining: false,
            closing: false,
        };
        connection.start_timer(connection.application.limits().connect_timeout);
        connection
    }

    fn start_timer(&mut self, after: Duration) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + after),
            None => self.timer = Some(Box::pin(tokio::time::sleep(after))),
        }
    }

    fn break_off(&mut self, violation: Violation, out: &mut Outbox) {
        debug!(%violation, "the client breaks the protocol");
        metrics::socketio_violation(violation.name());
        self.close(out);
    }

    fn close(&mut self, out: &mut Outbox) {
        self.closing = true;
        self.timer = None;
        self.assembly = None;
        out.close();
    }

    /// Waits for the client where it has to do something in time.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<(), Violation> {
        let reading = self.wants_message();
        let Some(timer) = &mut self.timer else {
            return Ok(());
        };
        while timer.as_mut().poll(cx).is_ready() {
            if self.assembly.is_none() {
                return Err(Violation::ConnectTimeout);
            }
            if reading {
                return Err(Violation::AttachmentTimeout);
            }
            // The attachment may be there already: it is not the client that is late.
            timer.as_mut().reset(Instant::now() + SIO_ATTACHMENT_TIMEOUT);
        }
        Ok(())
    }

    /// Lets every socket go on; `Ready` if one of them wants to be called again.
    fn poll_sockets(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Outbox) -> Poll<()> {
        let mut polled = Poll::Pending;
        let first = self.first.min(self.sockets.len());
        let (before, behind) = self.sockets.split_at_mut(first);
        for slot in behind.iter_mut().chain(before).filter(|slot| !slot.link.closing) {
            // One socket at a time fetches for the client, so that many namespaces hold no more than one does.
            let writable = writable && self.tally.unsent == 0;
            let (socket, mut emitter) = slot.parts(&mut self.tally, out);
            if socket.poll(cx, writable, &mut emitter).is_ready() {
                polled = Poll::Ready(());
            }
        }
        if writable {
            self.first = if self.first + 1 < self.sockets.len() {
                self.first + 1
            } else {
                0
            };
        }
        polled
    }

    /// Draws the conclusions from what the sockets have said.
    fn settle(&mut self, out: &mut Outbox) {
        if self.closing {
            return;
        }
        self.sockets.retain_mut(|slot| {
            self.greeted |= matches!(slot.link.standing, Standing::Connected | Standing::Left);
            if slot.link.standing == Standing::Left {
                self.departed.push(slot.link.namespace.clone());
            }
            let stays = matches!(slot.link.standing, Standing::Connecting | Standing::Connected);
            if !stays {
                slot.socket.gone(Gone::Server);
            }
            stays
        });
        self.sockets.shrink_to_fit();
        let namespaces_max = self.application.limits().namespaces_max;
        self.departed
            .drain(..self.departed.len().saturating_sub(namespaces_max));
        if self.greeted && self.assembly.is_none() {
            self.timer = None;
        }
        let mut done = self.sockets.iter().map(|slot| slot.link.closing);
        let over = match self.draining {
            true => done.all(|done| done),
            false => done.any(|done| done),
        };
        if over {
            self.close(out);
        }
    }
}

impl<A: Application> Protocol for Connection<A> {
    fn wants_message(&self) -> bool {
        let mut open = self.sockets.iter().filter(|slot| slot.is_open());
        !self.closing
            && self.tally.unsent < SIO_UNSENT_BYTES_MAX
            && open.all(|slot| slot.socket.wants_event())
    }

    fn message(&mut self, message: Message, out: &mut Outbox) {
        if self.closing {
            return;
        }
        let taken = match message {
            Message::Text(text) => self.text(&text, out),
            Message::Binary(bytes) => self.binary(bytes, out),
        };
        match taken {
            Ok(()) => self.settle(out),
            Err(violation) => self.break_off(violation, out),
        }
        self.reading = self.wants_message();
    }

    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Outbox) -> Poll<()> {
        if self.closing {
            return Poll::Pending;
        }
        if writable {
            self.tally.unsent = 0;
        }
        if let Err(violation) = self.poll_timer(cx) {
            self.break_off(violation, out);
            return Poll::Ready(());
        }
        let polled = self.poll_sockets(cx, writable, out);
        self.settle(out);
        let was_reading = self.reading;
        self.reading = self.wants_message();
        // The client is read again only if that is said.
        let reads_again = self.reading && !was_reading;
        // Once this is sent there is room for more, or it is another socket's turn.
        let made_wait = writable && self.tally.unsent > 0 && (self.sockets.len() > 1 || !self.reading);
        match self.closing || reads_again || made_wait {
            true => Poll::Ready(()),
            false => polled,
        }
    }

    fn drain(&mut self, out: &mut Outbox) {
        self.draining = true;
        for slot in &mut self.sockets {
            let (socket, mut emitter) = slot.parts(&mut self.tally, out);
            socket.drain(&mut emitter);
        }
        self.settle(out);
    }

    fn ended(&mut self, _reason: Ended) {
        self.closing = true;
        self.timer = None;
        self.assembly = None;
        for mut slot in self.sockets.drain(..) {
            slot.socket.gone(Gone::Connection);
        }
    }
}

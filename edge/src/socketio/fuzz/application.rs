//! An application that gives every event back, and does by name what else a socket can do.

use std::task::{Context, Poll};

use crate::engineio::Opened;
use crate::socketio::{Answer, Application, Connect, Emitter, Gone, Incoming, Socket};

#[derive(Debug)]
pub(super) struct Echo;

impl Application for Echo {
    type Socket = EchoSocket;
    type Handshake = ();

    fn handshake(&self, _opened: &Opened<'_>) {}

    fn connect(&self, connect: Connect<'_, ()>) -> Option<EchoSocket> {
        let polls = match connect.namespace.as_str() {
            "/unknown" => return None,
            "/later" => 3,
            _ => 1,
        };
        Some(EchoSocket {
            refuses: connect.namespace.as_str() == "/refused",
            polls_until_accepted: polls,
            full: false,
            gone: false,
        })
    }
}

#[derive(Debug)]
pub(super) struct EchoSocket {
    refuses: bool,
    polls_until_accepted: u8,
    full: bool,
    gone: bool,
}

impl EchoSocket {
    fn is_heard(&self) {
        assert!(!self.gone && self.polls_until_accepted == 0);
    }
}

impl Socket for EchoSocket {
    fn wants_event(&self) -> bool {
        self.is_heard();
        !self.full
    }

    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>) {
        self.is_heard();
        match event.name.as_str() {
            "full" => self.full = true,
            "leave" => out.disconnect(),
            "close" => out.close(),
            "ask" => {
                assert!(out.emit_with_ack(&[&event.array], &event.attachments).is_some());
            }
            _ => assert!(out.emit(&[&event.array], &event.attachments)),
        }
        if let Some(id) = event.ack {
            out.ack(id, &[&event.array], &event.attachments);
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Emitter<'_>) {
        self.is_heard();
        assert!(out.emit(&[b"[\"answer\",", &answer.array, b"]"], &answer.attachments));
    }

    fn poll(&mut self, _cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()> {
        assert!(!self.gone);
        if self.polls_until_accepted > 0 {
            self.polls_until_accepted -= 1;
            match (self.polls_until_accepted, self.refuses) {
                (0, true) => out.refuse("no", Some(b"[1]")),
                (0, false) => out.accept("s", Some("p")),
                _ => return Poll::Ready(()),
            }
        }
        if writable {
            self.full = false;
        }
        Poll::Pending
    }

    fn drain(&mut self, out: &mut Emitter<'_>) {
        assert!(!self.gone);
        out.close();
    }

    fn gone(&mut self, _reason: Gone) {
        assert!(!self.gone);
        self.gone = true;
    }
}

impl Drop for EchoSocket {
    fn drop(&mut self) {
        assert!(
            self.gone || std::thread::panicking(),
            "it was never told that it has gone"
        );
    }
}

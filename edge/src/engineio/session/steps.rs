//! What a session does about each thing that it is told, and about each order of its core.

use std::task::{Context, Poll};
use std::time::Instant;

use shared::limits::ENGINE_ROUNDS_MAX;
use tokio::sync::oneshot;

use super::link::{Link, Post, Probe, packet};
use super::{NORMAL, Session};
use crate::engineio::answer::GetAnswer;
use crate::engineio::core::{Answer, Input, Output};
use crate::engineio::mailbox::{Connection, Letter, PostAnswer};
use crate::engineio::packet::{CLOSE, NOOP, PING, PROBED};
use crate::engineio::{Ended, Protocol, payload};
use crate::websocket::{Incoming, Opcode, Outgoing, Piece, Received};

/// What has just come and belongs to nobody yet.
enum New {
    Get(oneshot::Sender<GetAnswer>),
    Socket(Box<Connection>),
}

impl<P: Protocol> Session<P> {
    /// Reads what the session was told.
    pub(super) fn read_letters(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let letters = self.place.mailbox().take(cx.waker());
        let moved = !letters.is_empty();
        for letter in letters {
            match letter {
                Letter::Get(answer) => self.came(Input::Get, New::Get(answer), now),
                Letter::Opened(connection) => self.came(Input::Opened, New::Socket(connection), now),
                Letter::Post(body, answer) => self.posted(Post::begin(body, answer), now),
                Letter::PostBroken => self.handle(Input::PostBroken, now),
                Letter::PostLost => self.handle(Input::PostLost, now),
                Letter::Drain => self.handle(Input::Drain, now),
            }
        }
        moved
    }

    fn posted(&mut self, post: Result<Post, crate::engineio::packet::NoPacket>, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if let Link::Polling(link) = &mut self.link {
            link.posts += 1;
        }
        let kept = post.map(Box::new).ok().and_then(|post| match &mut self.post {
            Some(first) => first.put_behind(post).ok(),
            none => {
                *none = Some(post);
                Some(())
            }
        });
        match kept {
            Some(()) => self.answer_early(),
            None => self.handle(Input::PostBroken, now),
        }
    }

    /// A client that changes to a WebSocket first waits for the answer to what it has posted, and does not take what
    /// is sent meanwhile. So it gets that answer, also if what it has posted cannot be taken yet.
    fn answer_early(&mut self) {
        if self.core.is_changing()
            && let Some(post) = &mut self.post
        {
            post.answer(PostAnswer::Taken);
        }
    }

    /// Hands something new to the core, which says whether it is kept.
    fn came(&mut self, input: Input, new: New, now: Instant) {
        self.core.handle(input, &self.settings, now, &mut self.outputs);
        let mut new = Some(new);
        self.carry_out_with(now, &mut new);
        match (new, &mut self.link) {
            (Some(New::Get(answer)), Link::Polling(link)) => link.get = Some(answer),
            (Some(New::Socket(connection)), Link::Polling(link)) => {
                link.probe = Some(Box::new(Probe {
                    connection: *connection,
                    outgoing: Outgoing::default(),
                }));
            }
            _ => {}
        }
    }

    /// Notices that the client gave up the GET that waits.
    pub(super) fn watch_get(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Link::Polling(link) = &mut self.link else {
            return false;
        };
        let Some(get) = &mut link.get else { return false };
        if get.poll_closed(cx).is_pending() {
            return false;
        }
        link.get = None;
        self.handle(Input::GetLost, now);
        true
    }

    /// Takes the next packet of what was posted.
    pub(super) fn take_posted(&mut self, now: Instant) {
        let Some(packet) = self.post.as_mut().and_then(|post| post.next()) else {
            return;
        };
        self.handle(Input::Packet(packet), now);
        // It is answered with its last packet, also if the answer to that must be fetched before another is taken.
        if self.post.as_ref().is_some_and(|post| post.is_empty()) {
            self.post = self.post.take().and_then(|post| post.finish());
            self.answer_early();
        }
    }

    /// Moves what there is to move on a WebSocket that is tried.
    pub(super) fn try_probe(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for count in 0..ENGINE_ROUNDS_MAX {
            let Link::Polling(link) = &mut self.link else {
                return count > 0;
            };
            let Some(probe) = &mut link.probe else {
                return count > 0;
            };
            if let Poll::Ready(Err(_)) = probe.connection.socket.poll_send(cx, &mut probe.outgoing) {
                self.handle(Input::ProbeLost, now);
                return true;
            }
            let Poll::Ready(received) = probe.connection.socket.poll_receive(cx) else {
                return count > 0;
            };
            let input = match received {
                Received::Incoming(Incoming::Ping(payload)) => {
                    let pong = std::iter::once(Piece::Copied(&payload));
                    probe.outgoing.push(Opcode::Pong, pong);
                    continue;
                }
                Received::Incoming(Incoming::Pong) => continue,
                Received::Incoming(Incoming::Close(_)) | Received::Broken(_) | Received::Lost(_) => {
                    Input::ProbeLost
                }
                Received::Incoming(incoming) => Input::ProbePacket(packet(incoming)),
            };
            self.handle(input, now);
        }
        true
    }

    /// Does what the core has ordered.
    pub(super) fn carry_out(&mut self, now: Instant) -> bool {
        self.carry_out_with(now, &mut None)
    }

    fn carry_out_with(&mut self, now: Instant, new: &mut Option<New>) -> bool {
        let mut moved = false;
        // What is done may lead to further orders.
        while !self.outputs.is_empty() {
            moved = true;
            for output in std::mem::take(&mut self.outputs) {
                self.carry_out_one(output, now, new);
            }
        }
        moved
    }

    fn carry_out_one(&mut self, output: Output, now: Instant, new: &mut Option<New>) {
        match output {
            Output::Message(message) => self.protocol.message(message, &mut self.outbox),
            Output::Ping => self.outbox.packet(PING),
            Output::Answer(answer) => {
                let get = match &mut self.link {
                    Link::Polling(link) => link.get.take(),
                    Link::WebSocket(_) => None,
                };
                if let Some(get) = get {
                    self.answer(get, answer, now);
                }
            }
            Output::AnswerNew(answer) => {
                if let Some(New::Get(get)) = new.take() {
                    self.answer(get, answer, now);
                }
            }
            Output::Probed => {
                if let Link::Polling(link) = &mut self.link
                    && let Some(probe) = &mut link.probe
                {
                    let probed = std::iter::once(Piece::Copied(PROBED));
                    probe.outgoing.push(Opcode::Text, probed);
                }
                self.answer_early();
            }
            Output::DropProbe => {
                if let Link::Polling(link) = &mut self.link
                    && let Some(probe) = link.probe.take()
                {
                    self.turn_away(probe.connection);
                }
            }
            Output::TurnAway => {
                if let Some(New::Socket(connection)) = new.take() {
                    self.turn_away(*connection);
                }
            }
            Output::Adopt => self.adopt(now),
            Output::Drain => self.protocol.drain(&mut self.outbox),
            Output::End(reason) => self.end(reason),
        }
    }

    /// Closes a WebSocket that this session does not want.
    fn turn_away(&self, connection: Connection) {
        let patience = self.settings.close_timeout;
        self.place.tasks().spawn(async move {
            let Connection { socket, peer } = connection;
            socket.close(Outgoing::default(), NORMAL, "", patience).await;
            drop(peer);
        });
    }

    fn answer(&mut self, get: oneshot::Sender<GetAnswer>, answer: Answer, now: Instant) {
        let body = match answer {
            Answer::Refused => {
                let _ = get.send(GetAnswer::Refused);
                return;
            }
            Answer::Noop => NOOP.to_vec(),
            Answer::Close => CLOSE.to_vec(),
            // The end comes in an answer of its own. The official Socket.IO client looks at all packets of an answer before it
            // hands on the first message, and what it has to hand on when it is closed already it keeps for its next
            // session, which gets the same messages again.
            Answer::Outbox => payload::take(self.outbox.frames(), self.settings.max_payload),
        };
        let Link::Polling(link) = &self.link else { return };
        let sent = get.send(GetAnswer::Payload(body.into(), link.transfer.clone()));
        if sent.is_err() {
            self.handle(Input::GetLost, now);
        }
    }
}

impl Ended {
    /// A short stable name for metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Lost => "lost",
            Self::Broken => "broken",
            Self::Protocol => "protocol",
            Self::Draining => "draining",
        }
    }
}

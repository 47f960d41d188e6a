//! The state of one session: what is decided, without doing it. Pure: inputs and time go in, orders come out.
//!
//! It does not hold the messages. Whoever drives it keeps the outbox and the connections, says what has happened, and
//! carries out the orders at once and in their order.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod driver;
mod polling;

use std::time::{Duration, Instant};

use super::heartbeat::{Check, Heartbeat};
use super::packet::{NoPacket, Packet};
use super::{Ended, Message, Settings};
use crate::websocket::Traffic;
use polling::Polling;

/// How long a request may be held that could have crossed with the end of polling: the change to WebSocket, or the
/// client's goodbye, travels on another connection.
pub(crate) const RACE: Duration = Duration::from_millis(75);

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Input {
    /// A GET came; it waits for an answer.
    Get,
    /// The GET that waited is gone.
    GetLost,
    /// Posts overlapped, or one was no payload.
    PostBroken,
    /// A post broke off.
    PostLost,
    /// A packet came on the transport of the session.
    Packet(Result<Packet, NoPacket>),
    /// Somebody opened a WebSocket for this session.
    Opened,
    /// A packet came on the WebSocket that is tried.
    ProbePacket(Result<Packet, NoPacket>),
    /// The WebSocket that is tried is gone.
    ProbeLost,
    /// The client closed the WebSocket of the session.
    SocketClosed,
    /// The client broke a rule on the WebSocket of the session.
    SocketBroken,
    /// The WebSocket of the session is gone.
    SocketLost,
    /// The edge stops.
    Drain,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Hand this to the protocol.
    Message(Message),
    /// Put a ping into the outbox.
    Ping,
    /// Answer the GET that waited.
    Answer(Answer),
    /// Answer the GET that has just come.
    AnswerNew(Answer),
    /// Tell the WebSocket that is tried that it works.
    Probed,
    /// Close the WebSocket that is tried.
    DropProbe,
    /// Close the WebSocket that was just opened.
    TurnAway,
    /// The WebSocket that was tried is the transport now.
    Adopt,
    /// Let the protocol come to an end.
    Drain,
    /// The session has ended.
    End(Ended),
}

/// How a GET is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With what is in the outbox.
    Outbox,
    /// With a packet that says nothing.
    Noop,
    /// With the end of the session.
    Close,
    /// It should not have been sent.
    Refused,
}

/// The state of one session.
#[derive(Debug)]
pub(crate) struct Core {
    transport: Transport,
    heartbeat: Heartbeat,
    /// Set when the session is to end: until when it waits for what is unsent.
    closing_until: Option<Instant>,
    draining: bool,
    /// Set when the edge stops: when the protocol is not waited for any more.
    drain_until: Option<Instant>,
}

#[derive(Debug)]
enum Transport {
    Polling(Polling),
    WebSocket,
    /// The session is over. The client ended it while it polled: until when its last GET may still come.
    Over(Option<Instant>),
}

impl Core {
    /// A session that polls, or one that began on a WebSocket.
    pub(crate) fn new(polling: bool, settings: &Settings, now: Instant) -> Self {
        Self {
            transport: match polling {
                true => Transport::Polling(Polling::default()),
                false => Transport::WebSocket,
            },
            heartbeat: Heartbeat::new(settings, now),
            closing_until: None,
            draining: false,
            drain_until: None,
        }
    }

    /// Whether nothing has to be done any more.
    pub(crate) fn is_finished(&self, now: Instant) -> bool {
        match self.transport {
            Transport::Over(until) => until.is_none_or(|until| now >= until),
            _ => false,
        }
    }

    /// Whether the session has not ended and is not about to.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.transport, Transport::Over(_)) && self.closing_until.is_none()
    }

    /// Whether the session has a WebSocket.
    pub(crate) fn on_websocket(&self) -> bool {
        matches!(self.transport, Transport::WebSocket)
    }

    /// Whether the client was told that its WebSocket works.
    pub(crate) fn is_changing(&self) -> bool {
        matches!(&self.transport, Transport::Polling(polling) if polling.is_probed())
    }

    /// Whether what is put into the outbox will be taken at once.
    pub(crate) fn is_writable(&self, unsent: bool) -> bool {
        let taker = match &self.transport {
            Transport::Polling(polling) => polling.get_waits(),
            Transport::WebSocket => true,
            Transport::Over(_) => false,
        };
        taker && !unsent && self.closing_until.is_none()
    }

    /// Something has happened.
    pub(crate) fn handle(&mut self, input: Input, settings: &Settings, now: Instant, out: &mut Vec<Output>) {
        match input {
            Input::Get => self.get(now, out),
            Input::GetLost => {
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.forget_get();
                    self.end(Ended::Lost, now, out);
                }
            }
            Input::Packet(packet) => self.packet(packet, settings, now, out),
            Input::Opened => match &mut self.transport {
                Transport::Polling(polling) if self.closing_until.is_none() => {
                    polling.opened(now + settings.upgrade_timeout, out);
                }
                _ => out.push(Output::TurnAway),
            },
            Input::ProbePacket(packet) => {
                if let Transport::Polling(polling) = &mut self.transport
                    && polling.probe_packet(packet, out)
                {
                    self.transport = Transport::WebSocket;
                }
            }
            Input::ProbeLost => {
                if let Transport::Polling(polling) = &mut self.transport {
                    polling.forget_probe(out);
                }
            }
            Input::PostBroken | Input::SocketBroken => self.end(Ended::Broken, now, out),
            Input::PostLost | Input::SocketLost => self.end(Ended::Lost, now, out),
            Input::SocketClosed => self.end(Ended::Client, now, out),
            Input::Drain => self.drain(now + settings.drain_timeout, out),
        }
    }

    /// The transport has just become a WebSocket, on which so much has moved.
    pub(crate) fn adopted(&mut self, now: Instant, traffic: Traffic) {
        self.heartbeat.moved(now, traffic);
    }

    /// Looks at the clocks, and at what has moved.
    pub(crate) fn tick(
        &mut self,
        settings: &Settings,
        now: Instant,
        traffic: Traffic,
        out: &mut Vec<Output>,
    ) -> Tick {
        if let Transport::Over(_) = self.transport {
            return Tick::Fine;
        }
        match self.heartbeat.check(settings, now, traffic, self.on_websocket()) {
            Check::Fine => {}
            Check::Ping => out.push(Output::Ping),
            Check::Silent => self.end(Ended::Lost, now, out),
            Check::Stuck => {
                self.end(Ended::Lost, now, out);
                return Tick::Stuck;
            }
        }
        if let Transport::Polling(polling) = &mut self.transport {
            polling.tick(now, out);
        }
        if self.closing_until.is_some_and(|until| now >= until) {
            self.end(self.closed(), now, out);
        }
        Tick::Fine
    }

    /// Settles what follows from the outbox: whether something is `unsent`, and whether the session is to end
    /// behind it.
    pub(crate) fn settle(
        &mut self,
        unsent: bool,
        close: bool,
        settings: &Settings,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if matches!(self.transport, Transport::Over(_)) {
            return;
        }
        let close = close || self.drain_until.is_some_and(|until| now >= until);
        if close && self.closing_until.is_none() {
            self.closing_until = Some(now + settings.close_timeout);
        }
        let closing = self.closing_until.is_some();
        match &mut self.transport {
            Transport::Polling(polling) if unsent => polling.answer(Answer::Outbox, out),
            // A GET that waits is answered with the end.
            Transport::Polling(polling) if closing && (polling.get_waits() || self.draining) => {
                self.end(self.closed(), now, out);
            }
            Transport::WebSocket if closing && !unsent => self.end(self.closed(), now, out),
            _ => {}
        }
    }

    /// When to look at the clocks again at the latest.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        let transport = match &self.transport {
            Transport::Over(until) => return *until,
            Transport::Polling(polling) => polling.deadline(),
            Transport::WebSocket => None,
        };
        let drain = self.drain_until.filter(|_| self.closing_until.is_none());
        let heartbeat = self.heartbeat.deadline(settings);
        let others = [transport, self.closing_until, drain];
        Some(others.into_iter().flatten().fold(heartbeat, Instant::min))
    }

    fn get(&mut self, now: Instant, out: &mut Vec<Output>) {
        match &mut self.transport {
            Transport::Polling(polling) => {
                if polling.get(now + RACE, out).is_err() {
                    self.end(Ended::Broken, now, out);
                }
            }
            Transport::WebSocket | Transport::Over(None) => out.push(Output::AnswerNew(Answer::Refused)),
            Transport::Over(until) => {
                *until = None;
                out.push(Output::AnswerNew(Answer::Noop));
            }
        }
    }

    fn packet(
        &mut self,
        packet: Result<Packet, NoPacket>,
        settings: &Settings,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if matches!(self.transport, Transport::Over(_)) {
            return;
        }
        match packet {
            Ok(Packet::Message(message)) => out.push(Output::Message(message)),
            Ok(Packet::Pong) => self.heartbeat.pong(settings, now),
            Ok(Packet::Close) => self.end(Ended::Client, now, out),
            Ok(Packet::Upgrade | Packet::Nothing) => {}
            // It is the server that pings.
            Ok(Packet::Ping { .. }) | Err(NoPacket) => self.end(Ended::Broken, now, out),
        }
    }

    fn drain(&mut self, until: Instant, out: &mut Vec<Output>) {
        if !self.draining {
            self.draining = true;
            self.drain_until = Some(until);
            if self.is_open() {
                out.push(Output::Drain);
            }
        }
    }

    /// Why a session ends that the server ends.
    fn closed(&self) -> Ended {
        match self.draining {
            true => Ended::Draining,
            false => Ended::Protocol,
        }
    }

    fn end(&mut self, reason: Ended, now: Instant, out: &mut Vec<Output>) {
        let mut until = None;
        match &mut self.transport {
            Transport::Over(_) => return,
            Transport::WebSocket => {}
            Transport::Polling(polling) => {
                let goodbye = reason == Ended::Client;
                // The GET that a client sends along with its goodbye may come behind it.
                until = (goodbye && !polling.get_waits()).then_some(now + RACE);
                polling.answer(if goodbye { Answer::Noop } else { Answer::Close }, out);
                polling.forget_probe(out);
            }
        }
        self.transport = Transport::Over(until);
        out.push(Output::End(reason));
    }
}

/// Whether a client was found to take nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// No.
    Fine,
    /// Yes: nothing that is written to it would arrive.
    Stuck,
}

#[cfg(test)]
mod tests;

//! A session that polls: at most one GET waits, and a WebSocket may be tried meanwhile.

use std::time::Instant;

use super::{Answer, Output};
use crate::engineio::packet::{NoPacket, Packet};

/// What is open between a client and its session.
#[derive(Debug, Default)]
pub(super) struct Polling {
    get: Option<Get>,
    probe: Option<Probe>,
}

/// A GET that waits.
#[derive(Debug)]
struct Get {
    /// When it is answered although there is nothing to say: it came while the client changes to a WebSocket.
    until: Option<Instant>,
}

/// A WebSocket that is tried.
#[derive(Debug)]
struct Probe {
    /// When it is given up.
    until: Instant,
    /// Whether the client was told that it works.
    works: bool,
}

/// A second GET came while one waits.
#[derive(Debug)]
pub(super) struct Overlap;

impl Polling {
    pub(super) fn get_waits(&self) -> bool {
        self.get.is_some()
    }

    pub(super) fn is_probed(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.works)
    }

    /// A GET came. If the client may have changed to the WebSocket it is held until `held_until` at the most.
    pub(super) fn get(&mut self, held_until: Instant, out: &mut Vec<Output>) -> Result<(), Overlap> {
        if self.get.is_some() {
            self.answer(Answer::Close, out);
            out.push(Output::AnswerNew(Answer::Refused));
            return Err(Overlap);
        }
        self.get = Some(Get {
            until: self.is_probed().then_some(held_until),
        });
        Ok(())
    }

    /// Answers the GET that waits, if one does.
    pub(super) fn answer(&mut self, answer: Answer, out: &mut Vec<Output>) {
        if self.get.take().is_some() {
            out.push(Output::Answer(answer));
        }
    }

    pub(super) fn forget_get(&mut self) {
        self.get = None;
    }

    /// A WebSocket was opened. One at a time is tried.
    pub(super) fn opened(&mut self, until: Instant, out: &mut Vec<Output>) {
        match self.probe {
            Some(_) => out.push(Output::TurnAway),
            None => self.probe = Some(Probe { until, works: false }),
        }
    }

    /// A packet came on the WebSocket that is tried. Returns whether that is the transport now.
    pub(super) fn probe_packet(&mut self, packet: Result<Packet, NoPacket>, out: &mut Vec<Output>) -> bool {
        let Some(probe) = &mut self.probe else {
            return false;
        };
        match packet {
            Ok(Packet::Ping { probe: true }) => {
                probe.works = true;
                out.push(Output::Probed);
                // So that the client can stop polling.
                self.answer(Answer::Noop, out);
                false
            }
            Ok(Packet::Upgrade) => {
                self.probe = None;
                self.answer(Answer::Refused, out);
                out.push(Output::Adopt);
                true
            }
            // Only the attempt has failed.
            _ => {
                self.forget_probe(out);
                false
            }
        }
    }

    /// Gives up the WebSocket that is tried.
    pub(super) fn forget_probe(&mut self, out: &mut Vec<Output>) {
        if self.probe.take().is_some() {
            out.push(Output::DropProbe);
        }
    }

    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.probe.as_ref().is_some_and(|probe| now >= probe.until) {
            self.forget_probe(out);
        }
        let held = self.get.as_ref().and_then(|get| get.until);
        if held.is_some_and(|until| now >= until) {
            self.answer(Answer::Noop, out);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let held = self.get.as_ref().and_then(|get| get.until);
        let probe = self.probe.as_ref().map(|probe| probe.until);
        [held, probe].into_iter().flatten().min()
    }
}

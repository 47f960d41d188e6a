//! Drives a core without any connections: for property tests and fuzzers.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Core, Input, Output, Tick};
use crate::engineio::packet::{NoPacket, Packet};
use crate::engineio::{Ended, Message, Settings};
use crate::websocket::Traffic;

pub(crate) fn settings() -> Settings {
    Settings {
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        upgrade_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(60),
        close_timeout: Duration::from_secs(3),
        drain_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

fn text() -> Message {
    Message::Text(Bytes::from_static(b"x"))
}

pub(crate) fn packet(packet: Packet) -> Input {
    Input::Packet(Ok(packet))
}

pub(crate) fn probe(packet: Packet) -> Input {
    Input::ProbePacket(Ok(packet))
}

pub(crate) const PROBE: Packet = Packet::Ping { probe: true };

/// What drives a core, without any connections: it keeps what a driver keeps, and checks each order.
pub(crate) struct Driver {
    pub(crate) core: Core,
    pub(crate) settings: Settings,
    pub(crate) now: Instant,
    pub(crate) get_waits: bool,
    pub(crate) probe: bool,
    pub(crate) unsent: bool,
    sent_bytes: u64,
    pub(crate) close: bool,
    pub(crate) reading: bool,
    pub(crate) read_bytes: u64,
    pub(crate) ended: Option<Ended>,
    pub(crate) messages: usize,
    /// The orders of the last step.
    last: Vec<Output>,
}

impl Driver {
    pub(crate) fn new(polling: bool) -> Self {
        let settings = settings();
        let now = Instant::now();
        Self {
            core: Core::new(polling, &settings, now),
            settings,
            now,
            get_waits: false,
            probe: false,
            unsent: false,
            sent_bytes: 0,
            close: false,
            reading: true,
            read_bytes: 0,
            ended: None,
            messages: 0,
            last: Vec::new(),
        }
    }

    pub(crate) fn input(&mut self, input: Input) -> &[Output] {
        let (new_get, new_socket) = (matches!(input, Input::Get), matches!(input, Input::Opened));
        // Whoever drives it knows first.
        self.get_waits &= !matches!(input, Input::GetLost);
        let mut outputs = Vec::new();
        self.core.handle(input, &self.settings, self.now, &mut outputs);
        let kept = self.carry_out(&outputs, new_get, new_socket);
        if new_get && kept {
            assert!(!self.get_waits, "two GETs wait");
            self.get_waits = true;
        }
        if new_socket && kept {
            assert!(!self.probe, "two WebSockets are tried");
            self.probe = true;
        }
        self.last = outputs;
        self.settle();
        &self.last
    }

    pub(crate) fn tick(&mut self) -> Tick {
        let traffic = self.traffic();
        let mut outputs = Vec::new();
        let tick = self.core.tick(&self.settings, self.now, traffic, &mut outputs);
        self.carry_out(&outputs, false, false);
        self.last = outputs;
        self.settle();
        tick
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            read_bytes: self.read_bytes,
            writes_resumed: 0,
            sent_bytes: self.sent_bytes,
            unsent_bytes: u64::from(self.unsent),
            reading: self.reading,
        }
    }

    /// All that waited has been sent: what was there and what was put behind it.
    pub(crate) fn sent(&mut self) {
        self.unsent = false;
        self.sent_bytes += 2;
    }

    pub(crate) fn settle(&mut self) {
        let mut outputs = Vec::new();
        self.core
            .settle(self.unsent, self.close, &self.settings, self.now, &mut outputs);
        self.carry_out(&outputs, false, false);
        self.last.extend(outputs);
    }

    pub(crate) fn after(&mut self, pause: Duration) -> &[Output] {
        self.now += pause;
        self.tick();
        &self.last
    }

    /// Returns whether something new is kept.
    pub(crate) fn carry_out(&mut self, outputs: &[Output], new_get: bool, new_socket: bool) -> bool {
        let mut kept = new_get || new_socket;
        for output in outputs {
            match output {
                Output::Message(_) => {
                    assert_eq!(self.ended, None, "a message behind the end");
                    self.messages += 1;
                }
                Output::Ping => self.unsent = true,
                Output::Answer(answer) => {
                    assert!(std::mem::take(&mut self.get_waits), "no GET waits");
                    if *answer == Answer::Outbox {
                        assert!(self.unsent, "nothing to answer with");
                        self.sent();
                    }
                }
                Output::AnswerNew(_) => assert!(new_get && std::mem::take(&mut kept), "no new GET"),
                Output::TurnAway => assert!(new_socket && std::mem::take(&mut kept), "no new WebSocket"),
                Output::Probed => assert!(self.probe),
                Output::DropProbe => assert!(std::mem::take(&mut self.probe), "none is tried"),
                Output::Adopt => {
                    assert!(std::mem::take(&mut self.probe), "none is tried");
                    self.core.adopted(self.now, self.traffic());
                }
                Output::Drain => assert_eq!(self.ended, None),
                Output::End(reason) => {
                    assert_eq!(self.ended.replace(*reason), None, "it ends twice");
                    assert!(!self.get_waits && !self.probe, "something is left open");
                }
            }
        }
        kept
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Input(u8),
    Say,
    Write,
    Close,
    Read(bool),
    Pass(u64),
    Deadline,
}

/// What happens; `None` where it could not happen now.
pub(crate) fn input(driver: &Driver, number: u8) -> Option<Input> {
    let on_websocket = driver.core.on_websocket();
    Some(match number {
        0..=2 => Input::Get,
        3 if driver.get_waits => Input::GetLost,
        4 => Input::PostBroken,
        5 => Input::PostLost,
        6..=8 => packet(Packet::Message(text())),
        9 => packet(Packet::Pong),
        10 => packet(Packet::Close),
        11 => packet(Packet::Nothing),
        12 => Input::Packet(Err(NoPacket)),
        13..=14 => Input::Opened,
        15..=16 if driver.probe => probe(PROBE),
        17 if driver.probe => probe(Packet::Upgrade),
        18 if driver.probe => Input::ProbeLost,
        19 if on_websocket => Input::SocketClosed,
        20 if on_websocket => Input::SocketLost,
        21 => Input::Drain,
        _ => return None,
    })
}

pub(crate) fn take(driver: &mut Driver, step: Step) {
    match step {
        Step::Input(number) => {
            if let Some(input) = input(driver, number) {
                driver.read_bytes += u64::from(matches!(input, Input::Packet(_)));
                driver.input(input);
            }
        }
        // The protocol says more only if it may, and answers at any time while the session is open.
        Step::Say if driver.core.is_open() => {
            driver.unsent = true;
            driver.settle();
        }
        Step::Write if driver.core.on_websocket() => {
            driver.sent();
            driver.settle();
        }
        Step::Close if driver.core.is_open() => {
            driver.close = true;
            driver.settle();
        }
        Step::Read(reading) => driver.reading = reading,
        Step::Pass(ms) => {
            driver.after(Duration::from_millis(ms));
        }
        Step::Deadline => {
            if let Some(deadline) = driver.core.deadline(&driver.settings) {
                driver.now = driver.now.max(deadline);
                driver.tick();
            }
        }
        Step::Say | Step::Write | Step::Close => {}
    }
}

/// Falls silent from here on: looking again at the deadline always leads further, and the session ends in bounded time.
pub(crate) fn fall_silent(driver: &mut Driver) {
    driver.reading = true;
    let latest = driver.now + Duration::from_secs(60 + 25 + 20 + 1);
    while !driver.core.is_finished(driver.now) {
        let deadline = driver.core.deadline(&driver.settings);
        driver.now = driver.now.max(deadline.expect("nothing would ever end it"));
        driver.tick();
        let next = driver.core.deadline(&driver.settings);
        let further = next.is_none_or(|next| next > driver.now);
        assert!(further || driver.core.is_finished(driver.now), "it would spin");
        assert!(driver.now <= latest, "it stays for too long");
    }
    assert!(driver.ended.is_some());
}

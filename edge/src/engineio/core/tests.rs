#![allow(clippy::unwrap_used)]

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn settings() -> Settings {
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

fn text(text: &'static str) -> Message {
    Message::Text(Bytes::from_static(text.as_bytes()))
}

/// What drives a core, without any connections: it keeps what a driver keeps, and checks each order.
struct Driver {
    core: Core,
    settings: Settings,
    now: Instant,
    get_waits: bool,
    probe: bool,
    unsent: bool,
    close: bool,
    reading: bool,
    read_bytes: u64,
    ended: Option<Ended>,
    messages: usize,
    /// The orders of the last step.
    last: Vec<Output>,
}

impl Driver {
    fn new(polling: bool) -> Self {
        let settings = settings();
        let now = Instant::now();
        Self {
            core: Core::new(polling, &settings, now),
            settings,
            now,
            get_waits: false,
            probe: false,
            unsent: false,
            close: false,
            reading: true,
            read_bytes: 0,
            ended: None,
            messages: 0,
            last: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) -> &[Output] {
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

    fn tick(&mut self) -> Tick {
        let traffic = self.traffic();
        let mut outputs = Vec::new();
        let tick = self.core.tick(&self.settings, self.now, traffic, &mut outputs);
        self.carry_out(&outputs, false, false);
        self.last = outputs;
        self.settle();
        tick
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            read_bytes: self.read_bytes,
            writes_resumed: 0,
            unsent: self.unsent,
            reading: self.reading,
        }
    }

    fn settle(&mut self) {
        let mut outputs = Vec::new();
        self.core
            .settle(self.unsent, self.close, &self.settings, self.now, &mut outputs);
        self.carry_out(&outputs, false, false);
        self.last.extend(outputs);
    }

    fn after(&mut self, pause: Duration) -> &[Output] {
        self.now += pause;
        self.tick();
        &self.last
    }

    /// Returns whether something new is kept.
    fn carry_out(&mut self, outputs: &[Output], new_get: bool, new_socket: bool) -> bool {
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
                        assert!(std::mem::take(&mut self.unsent), "nothing to answer with");
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

fn packet(packet: Packet) -> Input {
    Input::Packet(Ok(packet))
}

fn probe(packet: Packet) -> Input {
    Input::ProbePacket(Ok(packet))
}

const PROBE: Packet = Packet::Ping { probe: true };

#[test]
fn a_get_waits_until_there_is_something_to_say() {
    let mut driver = Driver::new(true);
    assert!(!driver.core.is_writable(false));
    assert_eq!(driver.input(Input::Get), []);
    assert!(driver.core.is_writable(false) && !driver.core.is_writable(true));
    driver.unsent = true;
    driver.settle();
    assert!(!driver.get_waits);
    assert!(!driver.core.is_writable(false));
    assert_eq!(
        driver.input(packet(Packet::Message(text("x")))),
        [Output::Message(text("x"))]
    );
}

#[test]
fn a_ping_ends_the_wait_of_a_get_and_its_answer_puts_off_the_next() {
    let mut driver = Driver::new(true);
    driver.input(Input::Get);
    assert_eq!(driver.after(Duration::from_secs(24)), []);
    assert_eq!(
        driver.after(Duration::from_secs(1)),
        [Output::Ping, Output::Answer(Answer::Outbox)]
    );
    driver.now += Duration::from_secs(19);
    assert_eq!(driver.input(packet(Packet::Pong)), []);
    assert_eq!(driver.after(Duration::from_secs(24)), []);
    assert_eq!(driver.after(Duration::from_secs(1)), [Output::Ping]);
    // Nobody fetches it, and nobody answers.
    assert_eq!(driver.after(Duration::from_secs(19)), []);
    assert_eq!(driver.after(Duration::from_secs(1)), [Output::End(Ended::Lost)]);
}

#[test]
fn a_second_get_ends_everything() {
    let mut driver = Driver::new(true);
    driver.input(Input::Get);
    assert_eq!(
        driver.input(Input::Get),
        [
            Output::Answer(Answer::Close),
            Output::AnswerNew(Answer::Refused),
            Output::End(Ended::Broken)
        ]
    );
    assert!(driver.core.is_finished(driver.now));
}

#[test]
fn the_change_to_a_websocket_step_by_step() {
    let mut driver = Driver::new(true);
    driver.input(Input::Get);
    assert_eq!(driver.input(Input::Opened), []);
    assert_eq!(driver.input(Input::Opened), [Output::TurnAway]);
    assert!(!driver.core.is_changing());
    assert_eq!(
        driver.input(probe(PROBE)),
        [Output::Probed, Output::Answer(Answer::Noop)]
    );
    assert!(driver.core.is_changing());
    // A GET that comes now may have crossed with the change: it is held a little.
    assert_eq!(driver.input(Input::Get), []);
    assert_eq!(driver.after(RACE - Duration::from_millis(1)), []);
    assert_eq!(
        driver.after(Duration::from_millis(1)),
        [Output::Answer(Answer::Noop)]
    );
    // This one has.
    driver.input(Input::Get);
    driver.now += RACE / 2;
    assert_eq!(
        driver.input(probe(Packet::Upgrade)),
        [Output::Answer(Answer::Refused), Output::Adopt]
    );
    assert!(driver.core.on_websocket() && driver.core.is_writable(false));
    assert_eq!(driver.input(Input::Get), [Output::AnswerNew(Answer::Refused)]);
    assert_eq!(driver.input(Input::Opened), [Output::TurnAway]);
    assert_eq!(
        driver.input(packet(Packet::Message(text("x")))),
        [Output::Message(text("x"))]
    );
}

#[test]
fn a_failed_attempt_is_only_that() {
    for breach in [
        probe(Packet::Pong),
        probe(Packet::Ping { probe: false }),
        probe(Packet::Message(text("x"))),
        Input::ProbePacket(Err(NoPacket)),
        Input::ProbeLost,
    ] {
        let mut driver = Driver::new(true);
        driver.input(Input::Opened);
        assert_eq!(driver.input(breach), [Output::DropProbe]);
        assert_eq!(driver.input(Input::Opened), []);
    }
    let mut driver = Driver::new(true);
    driver.input(Input::Opened);
    driver.input(probe(PROBE));
    assert_eq!(driver.after(Duration::from_secs(10)), [Output::DropProbe]);
    assert!(driver.core.is_open());
}

#[test]
fn the_goodbye_and_its_get_in_either_order() {
    let mut driver = Driver::new(true);
    driver.input(Input::Get);
    assert_eq!(
        driver.input(packet(Packet::Close)),
        [Output::Answer(Answer::Noop), Output::End(Ended::Client)]
    );
    assert!(driver.core.is_finished(driver.now));

    let mut driver = Driver::new(true);
    assert_eq!(driver.input(packet(Packet::Close)), [Output::End(Ended::Client)]);
    assert!(!driver.core.is_finished(driver.now));
    assert_eq!(driver.input(Input::Get), [Output::AnswerNew(Answer::Noop)]);
    assert!(driver.core.is_finished(driver.now));
    assert_eq!(driver.input(Input::Get), [Output::AnswerNew(Answer::Refused)]);

    let mut driver = Driver::new(true);
    driver.input(packet(Packet::Close));
    driver.now += RACE;
    assert!(driver.core.is_finished(driver.now));
}

#[test]
fn the_protocol_ends_a_session_behind_what_it_said() {
    let mut driver = Driver::new(true);
    (driver.unsent, driver.close) = (true, true);
    driver.settle();
    assert!(!driver.core.is_open());
    assert_eq!(driver.input(Input::Get), [Output::Answer(Answer::Outbox)]);
    assert_eq!(
        driver.input(Input::Get),
        [Output::Answer(Answer::Close), Output::End(Ended::Protocol)]
    );
    // On a WebSocket, when it is written.
    let mut driver = Driver::new(false);
    (driver.unsent, driver.close) = (true, true);
    driver.settle();
    assert_eq!(driver.ended, None);
    driver.unsent = false;
    driver.settle();
    assert_eq!(driver.ended, Some(Ended::Protocol));
    // A client that does not fetch it is not waited for.
    let mut driver = Driver::new(true);
    (driver.unsent, driver.close) = (true, true);
    driver.settle();
    driver.after(Duration::from_secs(3));
    assert_eq!(driver.ended, Some(Ended::Protocol));
}

#[test]
fn a_drain_gives_the_protocol_its_time() {
    for polling in [true, false] {
        let mut driver = Driver::new(polling);
        assert_eq!(driver.input(Input::Drain), [Output::Drain]);
        assert_eq!(driver.input(Input::Drain), []);
        driver.after(Duration::from_millis(4_999));
        assert!(driver.core.is_open());
        driver.after(Duration::from_millis(1));
        assert_eq!(driver.ended, Some(Ended::Draining));
    }
}

#[test]
fn a_websocket_that_takes_nothing_is_given_up() {
    let mut driver = Driver::new(false);
    driver.unsent = true;
    assert_eq!(driver.tick(), Tick::Fine);
    driver.now += Duration::from_secs(59);
    assert_eq!(driver.tick(), Tick::Fine);
    driver.now += Duration::from_secs(1);
    assert_eq!(driver.tick(), Tick::Stuck);
    assert_eq!(driver.ended, Some(Ended::Lost));
}

#[derive(Debug, Clone)]
enum Step {
    Input(u8),
    Say,
    Write,
    Close,
    Read(bool),
    Pass(u64),
    Deadline,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0u8..22).prop_map(Step::Input),
        3 => Just(Step::Say),
        3 => Just(Step::Write),
        1 => Just(Step::Close),
        1 => any::<bool>().prop_map(Step::Read),
        2 => (0u64..30_000).prop_map(Step::Pass),
        2 => Just(Step::Deadline),
    ]
}

/// What happens; `None` where it could not happen now.
fn input(driver: &Driver, number: u8) -> Option<Input> {
    let on_websocket = driver.core.on_websocket();
    Some(match number {
        0..=2 => Input::Get,
        3 if driver.get_waits => Input::GetLost,
        4 => Input::PostBroken,
        5 => Input::PostLost,
        6..=8 => packet(Packet::Message(text("x"))),
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

fn take(driver: &mut Driver, step: Step) {
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
            driver.unsent = false;
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

proptest! {
    /// Whatever happens: every GET is answered once, nothing stays open behind the end, and what is ordered can be done
    /// (the driver checks that). Looking again at the deadline always leads further, and a client that falls silent is
    /// given up in bounded time.
    #[test]
    fn whatever_happens_every_request_is_answered_and_every_session_ends(
        polling in any::<bool>(), steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut driver = Driver::new(polling);
        for step in steps {
            take(&mut driver, step);
            if driver.core.is_finished(driver.now) {
                prop_assert!(driver.ended.is_some());
                return Ok(());
            }
        }
        driver.reading = true;
        let fell_silent = driver.now;
        for _ in 0..100 {
            let Some(deadline) = driver.core.deadline(&driver.settings) else { break };
            driver.now = driver.now.max(deadline);
            driver.tick();
            if driver.core.is_finished(driver.now) {
                break;
            }
            let next = driver.core.deadline(&driver.settings).unwrap();
            prop_assert!(next > driver.now, "it would spin");
        }
        prop_assert!(driver.ended.is_some() && driver.core.is_finished(driver.now));
        prop_assert!(driver.now <= fell_silent + Duration::from_secs(60 + 25 + 20 + 1));
    }
}

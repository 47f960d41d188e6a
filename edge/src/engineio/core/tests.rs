#![allow(clippy::unwrap_used)]

use super::driver::{Driver, PROBE, Step, fall_silent, packet, probe, take};
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn text(text: &'static str) -> Message {
    Message::Text(Bytes::from_static(text.as_bytes()))
}

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
    driver.sent();
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

proptest! {
    /// Whatever happens: every GET is answered once, nothing stays open behind the end, and what is ordered can be done
    /// (the driver checks that). And whenever the client falls silent, that is the end.
    #[test]
    fn whatever_happens_every_request_is_answered_and_every_session_ends(
        polling in any::<bool>(), steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut driver = Driver::new(polling);
        for step in steps {
            take(&mut driver, step);
        }
        fall_silent(&mut driver);
    }
}

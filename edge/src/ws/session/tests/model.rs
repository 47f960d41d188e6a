//! The session against a model of its surroundings, and against hostile bytes.

use std::collections::HashMap;

use broker::{Direction, Unavailable};
use proptest::prelude::*;

use super::*;

/// What happens to the model's session.
#[derive(Debug, Clone)]
enum Step {
    Frame(Value),
    FinishPublish(prop::sample::Index, bool),
    FinishPage(prop::sample::Index, bool),
    FinishJoin(bool),
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e", "not a name"]);
    let names = prop::collection::vec(name.clone(), 0..4);
    let frame = prop_oneof![
        3 => (name.clone(), any::<String>()).prop_map(|(s, d)| json!({"type": "publish", "stream": s, "data": d})),
        2 => names.clone().prop_map(|s| json!({"type": "subscribe", "streams": s})),
        1 => names.prop_map(|s| json!({"type": "unsubscribe", "streams": s})),
        2 => (name, any::<bool>()).prop_map(|(s, r)| json!({"type": "page", "stream": s, "reverse": r})),
        1 => Just(json!({"type": "ping"})),
        1 => Just(json!({"type": "publish", "stream": "a", "data": 1, "form": "x"})),
    ];
    let step = prop_oneof![
        12 => frame.prop_map(Step::Frame),
        6 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(i, ok)| Step::FinishPublish(i, ok)),
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(i, ok)| Step::FinishPage(i, ok)),
        6 => any::<bool>().prop_map(Step::FinishJoin),
        1 => Just(Step::Drain),
    ];
    prop::collection::vec(step, 0..120)
}

/// The surroundings of a session: what is under way, and how many answers each request still expects.
struct Model {
    session: Session,
    publishes: Vec<Publishing>,
    pages: Vec<Reading>,
    joining: bool,
    expected: HashMap<u64, usize>,
    closed: bool,
}

impl Model {
    fn new(format: Format) -> Self {
        Self {
            session: session(format),
            publishes: Vec::new(),
            pages: Vec::new(),
            joining: false,
            expected: HashMap::new(),
            closed: false,
        }
    }

    fn step(&mut self, number: u64, step: Step) {
        let mut out = Vec::new();
        match step {
            Step::Frame(mut frame) if self.session.wants_read() => {
                frame["ref"] = json!(number);
                let streams = frame["streams"].as_array().map_or(1, Vec::len);
                let distinct = frame["streams"].as_array().is_none_or(|names| {
                    let valid = |name: &Value| name.as_str().is_some_and(|n| n.parse::<StreamName>().is_ok());
                    let unique = names
                        .iter()
                        .enumerate()
                        .all(|(i, name)| !names[..i].contains(name));
                    !names.is_empty() && unique && names.iter().all(valid)
                });
                // A frame that is refused as a whole has one answer.
                self.expected.insert(number, if distinct { streams } else { 1 });
                let (format, bytes) = encoded(self.session.format, &frame);
                self.session.frame(format, &bytes, || 0, &mut out);
                if said(&self.session, &out)
                    .iter()
                    .any(|a| a["error"]["code"] == "too_many_subscriptions")
                {
                    self.expected.insert(number, 1);
                }
            }
            Step::FinishPublish(index, ok) if !self.publishes.is_empty() => {
                let publishing = self.publishes.swap_remove(index.index(self.publishes.len()));
                let outcome = if ok {
                    appended(number)
                } else {
                    Err(broker::AppendError::Unconfirmed.into())
                };
                self.session.appended(&publishing, outcome, &mut out);
            }
            Step::FinishPage(index, ok) if !self.pages.is_empty() => {
                let reading = self.pages.swap_remove(index.index(self.pages.len()));
                let page = Page {
                    entries: Vec::new(),
                    cursor: Cursor::START,
                    head: Cursor::START,
                    tail_reached: true,
                    verdict: Verdict::Continuous,
                    degraded: false,
                };
                let outcome = if ok { Ok(page) } else { Err(ReadError::WrongType) };
                self.session.page_read(&reading, outcome, &mut out);
            }
            Step::FinishJoin(ok) if self.joining => {
                self.joining = false;
                let away = Err(ReadError::Unavailable(Unavailable("test".into())));
                let outcome = if ok { joined(Verdict::Continuous) } else { away };
                self.session.joined(outcome, &mut out);
            }
            Step::Drain => self.session.drain(Instant::now(), &mut out),
            _ => {}
        }
        self.observe(out);
    }

    fn observe(&mut self, out: Vec<Output>) {
        for output in out {
            assert!(!self.closed, "{output:?} behind a close");
            match output {
                Output::Send(frame) => {
                    let answer = decoded(self.session.format, &frame);
                    let number = answer["ref"].as_u64().unwrap();
                    let expected = self.expected.get_mut(&number).unwrap();
                    assert!(*expected > 0, "one answer too many: {answer}");
                    *expected -= 1;
                }
                Output::Submit(publishing, _) => self.publishes.push(publishing),
                Output::Read(reading, request) => {
                    assert_eq!(
                        reading.backward,
                        matches!(request.direction, Direction::Backward { .. })
                    );
                    self.pages.push(reading);
                }
                Output::Join(_) => assert!(!std::mem::replace(&mut self.joining, true)),
                Output::Leave(_) => {}
                Output::Close(_) => self.closed = true,
            }
        }
        assert!(self.publishes.len() <= LIMITS.publishes_max);
        assert!(self.pages.len() <= LIMITS.pages_max);
        assert!(self.session.subscriptions() <= LIMITS.subscriptions_max);
        assert!(!self.joining || !self.session.wants_read());
    }

    fn finish(&mut self) {
        let at = |i: u64| 1_000_000 + i;
        let mut number = 0;
        while !self.publishes.is_empty() || !self.pages.is_empty() || self.joining {
            number += 1;
            let first = any_index();
            self.step(at(number), Step::FinishPublish(first, true));
            self.step(at(number), Step::FinishPage(first, true));
            self.step(at(number), Step::FinishJoin(true));
        }
    }
}

fn any_index() -> prop::sample::Index {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    any::<prop::sample::Index>()
        .new_tree(&mut runner)
        .unwrap()
        .current()
}

proptest! {
    /// Every request is answered exactly once for each stream it names, the bounds hold, and nothing follows a
    /// close: whatever is asked, in whichever order the log answers.
    #[test]
    fn every_request_is_answered_exactly_once(steps in steps(), message_pack in any::<bool>()) {
        let format = if message_pack { Format::MessagePack } else { Format::Json };
        let mut model = Model::new(format);
        for (number, step) in steps.into_iter().enumerate() {
            model.step(number as u64, step);
        }
        model.finish();
        if model.closed {
            return Ok(());
        }
        let open: Vec<_> = model.expected.iter().filter(|(_, left)| **left > 0).collect();
        prop_assert!(open.is_empty() || model.session.phase != Phase::Open, "never answered: {open:?}");
        if model.session.phase == Phase::Open {
            prop_assert!(model.session.wants_read());
        }
    }

    /// Bytes that mean nothing are answered with one error, and the session stands.
    #[test]
    fn garbage_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..300), message_pack in any::<bool>()) {
        let format = if message_pack { Format::MessagePack } else { Format::Json };
        let mut session = session(format);
        let mut out = Vec::new();
        session.frame(format, &bytes, || 0, &mut out);
        prop_assert_eq!(out.len(), 1);
        prop_assert_eq!(&said(&session, &out)[0]["type"], "error");
    }

    /// A valid frame with a few bytes changed is carried out or refused, never more.
    #[test]
    fn damaged_frames_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        message_pack in any::<bool>(),
    ) {
        let format = if message_pack { Format::MessagePack } else { Format::Json };
        let frame = json!({"type": "subscribe", "ref": 1, "streams": {"a": "5-0.5", "b": "now"}, "event": ["x"], "match": "y+"});
        let (_, mut bytes) = encoded(format, &frame);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let mut session = session(format);
        let mut out = Vec::new();
        session.frame(format, &bytes, || 0, &mut out);
        prop_assert_eq!(out.len(), 1);
    }
}

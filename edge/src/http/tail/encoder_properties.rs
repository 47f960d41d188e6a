//! What is delivered, encoded and read back by an independent reader: the same things, in the same order, each with
//! the cursor that resumes right after it.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use broker::Delivery;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::{Cursor, Entry, EntryId, Event, MultiCursor, Payload, StreamName, Text, wire};

use super::chunks::Chunks;
use super::encoder::Encoder;
use super::format::Format;
use super::ndjson::Ndjson;
use super::sse::Sse;
use super::sse_parser::{Dispatched, Parser};

/// What a client is told: the kind (`message` for an event), the object, and the cursor to resume with.
type Told = (String, Value, String);

fn name(index: usize) -> StreamName {
    ["a", "log:api", "x/y"][index].parse().unwrap()
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let json = prop_oneof![
        any::<String>().prop_map(|text| Payload::Json(wire::json_string(&text))),
        any::<i64>().prop_map(|n| Payload::Json(Bytes::from(json!({"n": n, "l": ["\r\n"]}).to_string()))),
        (9_000..70_000usize).prop_map(|n| Payload::Json(wire::json_string(&"x".repeat(n)))),
    ];
    let bytes = proptest::collection::vec(any::<u8>(), 0..40).prop_map(|b| Payload::Bytes(b.into()));
    prop_oneof![8 => json, 1 => bytes, 1 => Just(Payload::MessagePack(Bytes::from_static(b"\xc4\x01\x0a")))]
}

#[derive(Debug, Clone)]
enum Step {
    Event(Payload, Option<String>, Option<String>),
    Gap(u64),
    Reset,
    Unverified,
    Degraded,
    Restored,
    Passed(u64),
    Heartbeat,
}

fn any_step() -> impl Strategy<Value = (usize, Step)> {
    let text = || proptest::option::of("(.|\r|\n){1,4}");
    let step = prop_oneof![
        6 => (any_payload(), text(), text()).prop_map(|(p, e, u)| Step::Event(p, e, u)),
        1 => (1..9u64).prop_map(Step::Gap),
        1 => Just(Step::Reset),
        1 => Just(Step::Unverified),
        1 => Just(Step::Degraded),
        1 => Just(Step::Restored),
        2 => (1..1_500u64).prop_map(Step::Passed),
        1 => Just(Step::Heartbeat),
    ];
    (0..3usize, step)
}

/// What a client is to be told, kept beside the encoder in the plainest way.
struct Model {
    positions: MultiCursor,
    told: Vec<Told>,
}

impl Model {
    fn new(streams: usize) -> Self {
        let positions = (0..streams).map(|i| (name(i), Cursor::START)).collect();
        Self {
            positions,
            told: Vec::new(),
        }
    }

    fn advance(&mut self, stream: &StreamName, by: u64) -> Cursor {
        let before = self.positions.get(stream).unwrap();
        let cursor = Cursor::new(EntryId::new(before.id.ms + by, 0), before.ordinal.unwrap().0 + by);
        self.positions.set(stream.clone(), cursor);
        cursor
    }

    fn token(&self) -> String {
        let first = self.positions.iter().next().unwrap().1;
        if self.positions.len() == 1 {
            first.to_string()
        } else {
            self.positions.to_string()
        }
    }

    fn tell(&mut self, kind: &str, mut object: Value) {
        let token = self.token();
        object["cursor"] = json!(token);
        self.told.push((kind.to_owned(), object, token));
    }

    /// The delivery that a step stands for; `None` is a heartbeat.
    fn take(&mut self, index: usize, step: Step) -> Option<Delivery> {
        let stream = name(index % self.positions.len());
        Some(match step {
            Step::Event(data, event, user) => {
                let event = Event {
                    name: event.as_deref().map(Text::from),
                    user: user.as_deref().map(Text::from),
                    ..Event::new(data)
                };
                let entry = Entry::new(stream.clone(), self.advance(&stream, 1), event);
                self.tell(
                    "message",
                    serde_json::from_slice(&wire::entry_json(&entry)).unwrap(),
                );
                Delivery::Event(Arc::new(entry))
            }
            Step::Gap(lost) => {
                let cursor = self.advance(&stream, lost);
                self.tell("gap", json!({"stream": stream, "lost": lost}));
                Delivery::Gap { stream, lost, cursor }
            }
            Step::Reset => {
                self.tell("reset", json!({"stream": stream}));
                Delivery::Reset {
                    cursor: self.advance(&stream, 0),
                    stream,
                }
            }
            Step::Unverified => {
                self.tell("unverified", json!({"stream": stream}));
                Delivery::Unverified {
                    cursor: self.advance(&stream, 0),
                    stream,
                }
            }
            Step::Degraded => {
                // It has no cursor, and leaves the client's as it is.
                let object = json!({"stream": stream, "since": "1970-01-01T00:00:00.007Z"});
                self.told.push(("degraded".to_owned(), object, String::new()));
                Delivery::Degraded { stream, since_ms: 7 }
            }
            Step::Restored => {
                self.tell("restored", json!({"stream": stream}));
                Delivery::Restored {
                    cursor: self.advance(&stream, 0),
                    stream,
                }
            }
            Step::Passed(by) => Delivery::Passed {
                cursor: self.advance(&stream, by),
                stream,
            },
            Step::Heartbeat => return None,
        })
    }

    fn encoder<F: Format>(&self) -> Encoder<F> {
        Encoder::new(
            self.positions.iter().map(|(n, c)| (n.clone(), c)).collect(),
            Vec::new(),
        )
    }
}

/// Runs the steps through an encoder; the last one is a heartbeat. `share`: whether others hold the entries too.
fn encode<F: Format>(streams: usize, steps: Vec<(usize, Step)>, share: bool) -> (Vec<Bytes>, Model) {
    let mut model = Model::new(streams);
    let (mut encoder, mut chunks, mut out) = (model.encoder::<F>(), Chunks::default(), Vec::new());
    encoder.open(1_500, &mut chunks);
    for (index, step) in steps {
        let delivery = model.take(index, step);
        let held = share.then(|| delivery.clone());
        match delivery {
            Some(delivery) => encoder.encode(delivery, &mut chunks),
            None => encoder.heartbeat(&mut chunks),
        }
        drop(held);
        if index == 0 {
            out.extend(chunks.pop());
        }
    }
    encoder.heartbeat(&mut chunks);
    out.extend(std::iter::from_fn(|| chunks.pop()));
    (out, model)
}

fn told_by_sse(parser: &Parser) -> Vec<Told> {
    let told = |e: &Dispatched| {
        let object: Value = serde_json::from_str(&e.data).unwrap();
        let cursor = match object.get("cursor") {
            Some(_) => e.last_event_id.clone(),
            None => String::new(),
        };
        (e.event.clone(), object, cursor)
    };
    parser.events.iter().map(told).collect()
}

/// What lines tell, and the cursor of the last of them.
fn told_by_lines(bytes: &[u8]) -> (Vec<Told>, Option<String>) {
    let (mut told, mut last) = (Vec::new(), None);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        assert_eq!(line.last(), Some(&b'\n'), "a line is complete");
        if line == b"\n" {
            continue;
        }
        let mut object: Value = serde_json::from_slice(line).unwrap();
        let control = object.as_object_mut().unwrap().remove("control");
        let cursor = object
            .get("cursor")
            .map(|cursor| cursor.as_str().unwrap().to_owned());
        assert_eq!(
            cursor.is_none(),
            control.as_ref().is_some_and(|of| of == "degraded")
        );
        last = cursor.clone().or(last);
        let cursor = cursor.unwrap_or_default();
        match control.as_ref().map(|c| c.as_str().unwrap()) {
            Some("cursor") => {}
            kind => told.push((kind.unwrap_or("message").to_owned(), object, cursor)),
        }
    }
    (told, last)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn server_sent_events_parse_back(
        streams in 1..4usize,
        steps in proptest::collection::vec(any_step(), 0..40),
        share in any::<bool>(),
        piece in 1..5_000usize,
    ) {
        let (chunks, model) = encode::<Sse>(streams, steps, share);
        let mut parser = Parser::default();
        for piece in chunks.concat().chunks(piece) {
            parser.push(piece);
        }
        prop_assert_eq!(told_by_sse(&parser), model.told.clone());
        // Whatever passed without an event: at the latest the heartbeat has told where to resume.
        prop_assert_eq!(&parser.last_event_id, &model.token());
        prop_assert_eq!(parser.retry_ms, Some(1_500));
    }

    #[test]
    fn lines_parse_back(
        streams in 1..4usize,
        steps in proptest::collection::vec(any_step(), 0..40),
        share in any::<bool>(),
    ) {
        let (chunks, model) = encode::<Ndjson>(streams, steps, share);
        let (told, last) = told_by_lines(&chunks.concat());
        prop_assert_eq!(told, model.told.clone());
        let moved = model.token() != Model::new(streams).token();
        let told = model.told.iter().any(|(kind, ..)| kind != "degraded");
        prop_assert_eq!(last, (moved || told).then(|| model.token()));
    }
}

//! The session against scripts; [`model`] has the rest.

#![allow(clippy::unwrap_used)]

mod model;

use std::time::Duration;

use broker::Unavailable;
use serde_json::{Value, json};
use shared::trace::TraceParent;
use shared::{Cursor, Verdict};

use super::*;

const LIMITS: SessionLimits = SessionLimits {
    name_bytes_max: 100,
    subscriptions_max: 4,
    publishes_max: 3,
    publish_bytes_max: 200,
    pages_max: 2,
    refused_max: 5,
    drain_max: Duration::from_secs(5),
};

fn session(format: Format) -> Session {
    let trace = RequestTrace {
        received: Some(TraceParent::new(7, 6)),
        own: TraceParent::new(7, 7),
    };
    Session::new(format, LIMITS, trace, fastrand::Rng::with_seed(1))
}

fn tell(session: &mut Session, frame: Value) -> Vec<Output> {
    let mut out = Vec::new();
    let (format, bytes) = encoded(session.format, &frame);
    session.frame(format, &bytes, || 0, &mut out);
    out
}

fn encoded(format: Format, frame: &Value) -> (Format, Vec<u8>) {
    match format {
        Format::Json => (format, frame.to_string().into_bytes()),
        Format::MessagePack => (format, rmp_serde::to_vec_named(frame).unwrap()),
    }
}

fn decoded(format: Format, frame: &[u8]) -> Value {
    match format {
        Format::Json => serde_json::from_slice(frame).unwrap(),
        Format::MessagePack => rmp_serde::from_slice(frame).unwrap(),
    }
}

/// The frames among the outputs.
fn said(session: &Session, outputs: &[Output]) -> Vec<Value> {
    let frame = |output: &Output| match output {
        Output::Send(frame) => Some(decoded(session.format, frame)),
        _ => None,
    };
    outputs.iter().filter_map(frame).collect()
}

fn appended(n: u64) -> Result<Appended, ApiError> {
    Ok(Appended {
        cursor: Cursor::new(EntryId::new(n, 0), n),
        duplicate: false,
    })
}

fn joined(verdict: Verdict) -> Result<Joined, ReadError> {
    Ok(Joined {
        cursor: Cursor::new(EntryId::new(5, 0), 5),
        head: Cursor::new(EntryId::new(9, 0), 9),
        verdict,
    })
}

#[test]
fn a_publish_becomes_an_append_and_its_outcome_an_answer() {
    for format in Format::ALL {
        let mut session = session(format);
        let frame = json!({"type": "publish", "ref": "a", "stream": "doc:1", "event": "edit", "data": {"x": [1]}, "key": "k"});
        let mut out = tell(&mut session, frame);
        let Some(Output::Submit(publishing, new)) = out.pop() else {
            panic!("{out:?}");
        };
        assert!(out.is_empty());
        assert_eq!(publishing.stream.as_str(), "doc:1");
        assert_eq!(&new.event.data.raw()[..], br#"{"x":[1]}"#);
        assert_eq!(new.event.name(), "edit");
        assert_eq!(new.key.map(|key| key.as_str().to_owned()).as_deref(), Some("k"));
        // A child of the connection's trace.
        let trace: TraceParent = new.event.trace.unwrap().as_str().parse().unwrap();
        assert_eq!((trace.trace_id, trace), (7, publishing.trace));
        assert_ne!(trace.parent_id, 7);

        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let frame = json!({"type": "publish", "stream": "doc:1", "data": 1, "traceparent": sent});
        let Some(Output::Submit(own, new)) = tell(&mut session, frame).pop() else {
            panic!("the frame was refused")
        };
        let (sent, stored): (TraceParent, _) = (sent.parse().unwrap(), new.event.traceparent().unwrap());
        assert_eq!((stored, own.parent), (own.trace, sent.parent_id));
        assert_eq!((stored.trace_id, stored.flags), (sent.trace_id, 1));

        session.appended(&publishing, appended(3), &mut out);
        let answer =
            json!({"type": "published", "ref": "a", "stream": "doc:1", "id": "3-0", "cursor": "3-0.3"});
        assert_eq!(said(&session, &out), [answer]);
    }
}

#[test]
fn streams_are_joined_one_after_the_other_and_meanwhile_nothing_is_read() {
    let mut session = session(Format::Json);
    let frame = json!({"type": "subscribe", "ref": 1, "streams": {"a": "5-0.3", "b": "start"}});
    let mut out = tell(&mut session, frame);
    assert!(!session.wants_read() && !session.wants_deliveries());
    let [Output::Join(first)] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(
        (first.stream.as_str(), first.from),
        ("a", From::Cursor(Cursor::new(EntryId::new(5, 0), 3)))
    );
    out.clear();

    session.joined(joined(Verdict::Gap { lost: 2 }), &mut out);
    let answer = json!({"type": "subscribed", "ref": 1, "stream": "a", "cursor": "5-0.3", "head": "9-0.9",
        "verdict": {"kind": "gap", "lost": 2}});
    assert_eq!(said(&session, &out), [answer]);
    let Some(Output::Join(second)) = out.pop() else {
        panic!("{out:?}");
    };
    assert_eq!((second.stream.as_str(), second.from), ("b", From::Start));
    out.clear();

    session.joined(Err(ReadError::WrongType), &mut out);
    let answer = &said(&session, &out)[0];
    assert_eq!(
        (&answer["type"], &answer["ref"], &answer["stream"]),
        (&json!("error"), &json!(1), &json!("b"))
    );
    assert_eq!(answer["error"]["code"], "wrong_type");
    assert!(session.wants_read() && session.wants_deliveries());
    assert_eq!(session.subscriptions(), 1);
}

#[test]
fn when_the_log_is_away_all_streams_of_a_frame_hear_it_at_once() {
    let mut session = session(Format::Json);
    tell(
        &mut session,
        json!({"type": "subscribe", "ref": 1, "streams": ["a", "b", "c"]}),
    );
    let mut out = Vec::new();
    session.joined(Err(ReadError::Unavailable(Unavailable("test".into()))), &mut out);
    let streams: Vec<Value> = said(&session, &out)
        .iter()
        .map(|answer| answer["stream"].clone())
        .collect();
    assert_eq!(streams, ["a", "b", "c"]);
    assert_eq!(out.len(), 3);
    assert!(session.wants_read());
}

#[test]
fn no_more_streams_than_allowed_and_none_of_a_frame_that_asks_for_more() {
    let mut session = session(Format::Json);
    tell(
        &mut session,
        json!({"type": "subscribe", "streams": ["a", "b", "c"]}),
    );
    let mut out = Vec::new();
    (0..3).for_each(|_| session.joined(joined(Verdict::Continuous), &mut out));
    let out = tell(
        &mut session,
        json!({"type": "subscribe", "ref": 2, "streams": ["d", "e"]}),
    );
    assert_eq!(said(&session, &out)[0]["error"]["code"], "too_many_subscriptions");
    assert_eq!(out.len(), 1);
    // What is followed already counts once.
    let out = tell(
        &mut session,
        json!({"type": "subscribe", "streams": ["a", "b", "c", "d"]}),
    );
    assert!(matches!(out.as_slice(), [Output::Join(_)]));
}

#[test]
fn unsubscribe_answers_and_leaves_and_a_stream_that_ends_is_left() {
    let mut session = session(Format::Json);
    tell(&mut session, json!({"type": "subscribe", "streams": ["a", "b"]}));
    let mut out = Vec::new();
    (0..2).for_each(|_| session.joined(joined(Verdict::Continuous), &mut out));
    let out = tell(
        &mut session,
        json!({"type": "unsubscribe", "ref": 9, "streams": ["a", "x"]}),
    );
    let answers = said(&session, &out);
    assert_eq!(
        answers[0],
        json!({"type": "unsubscribed", "ref": 9, "stream": "a"})
    );
    assert_eq!(answers[1]["error"]["code"], "not_subscribed");
    assert!(matches!(&out[1], Output::Leave(stream) if stream.as_str() == "a"));

    let ended = Delivery::Ended {
        stream: "b".parse().unwrap(),
        cursor: Cursor::START,
    };
    session.deliver(&[ended], |_| {});
    assert_eq!(session.subscriptions(), 0);
    assert!(!session.wants_deliveries());
}

#[test]
fn reading_stops_at_each_bound_and_goes_on_below_it() {
    let publish = |data: &str| json!({"type": "publish", "stream": "s", "data": data});
    let mut session = session(Format::Json);
    let mut under_way = Vec::new();
    for _ in 0..LIMITS.publishes_max {
        assert!(session.wants_read());
        under_way.extend(tell(&mut session, publish("x")));
    }
    assert!(!session.wants_read());
    for output in under_way.drain(..) {
        let Output::Submit(publishing, _) = output else {
            panic!();
        };
        session.appended(&publishing, appended(1), &mut Vec::new());
        assert!(session.wants_read());
    }
    tell(&mut session, publish(&"x".repeat(LIMITS.publish_bytes_max)));
    assert!(!session.wants_read());
}

#[test]
fn bad_frames_are_answered_until_there_are_too_many_in_a_row() {
    let mut session = session(Format::Json);
    let bad = json!({"type": "publish", "ref": 4, "stream": "s"});
    for _ in 1..LIMITS.refused_max {
        let out = tell(&mut session, bad.clone());
        assert_eq!(said(&session, &out)[0]["ref"], 4);
        assert_eq!(out.len(), 1);
    }
    tell(&mut session, json!({"type": "ping"}));
    for _ in 1..LIMITS.refused_max {
        tell(&mut session, bad.clone());
    }
    let out = tell(&mut session, bad);
    assert!(matches!(
        out.as_slice(),
        [Output::Send(_), Output::Close(CloseCode::Policy)]
    ));
    assert!(tell(&mut session, json!({"type": "ping"})).is_empty());
}

#[test]
fn the_other_kind_of_frame_ends_the_session() {
    let mut out = Vec::new();
    session(Format::Json).frame(Format::MessagePack, b"\x80", || 0, &mut out);
    assert!(matches!(
        out.as_slice(),
        [Output::Close(CloseCode::UnsupportedData)]
    ));
}

#[test]
fn a_drain_waits_for_acknowledgements_but_not_for_ever() {
    let start = Instant::now();
    let mut session = session(Format::Json);
    let publish = json!({"type": "publish", "stream": "s", "data": 1});
    let mut out = tell(&mut session, publish.clone());
    let Some(Output::Submit(publishing, _)) = out.pop() else {
        panic!();
    };
    session.drain(start, &mut out);
    assert!(out.is_empty() && !session.wants_read() && !session.wants_deliveries());
    assert!(tell(&mut session, publish.clone()).is_empty());
    session.appended(&publishing, appended(1), &mut out);
    assert!(matches!(
        out.as_slice(),
        [Output::Send(_), Output::Close(CloseCode::ServiceRestart)]
    ));

    let mut session = self::session(Format::Json);
    tell(&mut session, publish);
    let mut out = Vec::new();
    session.drain(start, &mut out);
    let end = session.deadline().unwrap();
    assert_eq!(end, start + LIMITS.drain_max);
    session.tick(start, &mut out);
    assert!(out.is_empty());
    session.tick(end, &mut out);
    assert!(matches!(
        out.as_slice(),
        [Output::Close(CloseCode::ServiceRestart)]
    ));
}

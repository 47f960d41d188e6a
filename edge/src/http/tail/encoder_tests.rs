//! The bytes themselves, by example: what the reference for users shows.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use broker::Delivery;
use bytes::Bytes;
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName};

use super::chunks::Chunks;
use super::encoder::Encoder;
use super::format::Format;
use super::ndjson::Ndjson;
use super::sse::Sse;

fn name(index: usize) -> StreamName {
    ["a", "log:api"][index].parse().unwrap()
}

fn entry(stream: usize, ordinal: u64) -> Delivery {
    let cursor = Cursor::new(EntryId::new(1_700_000_000_000 + ordinal, 0), ordinal);
    let event = Event::new(Payload::Json(Bytes::from_static(br#"{"n":1}"#)));
    Delivery::Event(Arc::new(Entry::new(name(stream), cursor, event)))
}

fn text(mut chunks: Chunks) -> String {
    let bytes: Vec<Bytes> = std::iter::from_fn(|| chunks.pop()).collect();
    String::from_utf8(bytes.concat()).unwrap()
}

fn cursor(n: u64) -> Cursor {
    Cursor::new(EntryId::new(1_700_000_000_000 + n, 0), n)
}

fn one_stream<F: Format>() -> Encoder<F> {
    Encoder::new(vec![(name(0), cursor(1))], Vec::new())
}

/// The examples of the reference, in their order.
fn documented(index: usize) -> &'static str {
    let page = include_str!("../../../docs/tails.md");
    let example = page.split("```text\n").nth(index + 1).unwrap();
    example.split("```").next().unwrap()
}

fn outage<F: Format>(encoder: &mut Encoder<F>, stream: StreamName, cursor: Cursor, out: &mut Chunks) {
    let degraded = Delivery::Degraded {
        stream: stream.clone(),
        since_ms: 1_700_000_006_000,
    };
    encoder.encode(degraded, out);
    encoder.encode(Delivery::Restored { stream, cursor }, out);
}

#[test]
fn the_documented_frames() {
    let (mut encoder, mut out) = (one_stream::<Sse>(), Chunks::default());
    let stream = || name(0);
    encoder.open(1_000, &mut out);
    encoder.encode(entry(0, 2), &mut out);
    encoder.encode(
        Delivery::Gap {
            stream: stream(),
            lost: 2,
            cursor: cursor(4),
        },
        &mut out,
    );
    encoder.encode(
        Delivery::CaughtUp {
            stream: stream(),
            cursor: cursor(4),
        },
        &mut out,
    );
    encoder.heartbeat(&mut out);
    encoder.encode(
        Delivery::Passed {
            stream: stream(),
            cursor: cursor(5),
        },
        &mut out,
    );
    encoder.heartbeat(&mut out);
    outage(&mut encoder, stream(), cursor(5), &mut out);
    encoder.farewell(2_000, &mut out);
    assert_eq!(text(out), documented(0));
}

#[test]
fn the_documented_lines() {
    let starts = vec![(name(1), cursor(0)), (name(0), cursor(0))];
    let (mut encoder, mut out) = (Encoder::<Ndjson>::new(starts, Vec::new()), Chunks::default());
    encoder.open(1_000, &mut out);
    encoder.encode(
        Delivery::CaughtUp {
            stream: name(0),
            cursor: cursor(0),
        },
        &mut out,
    );
    encoder.encode(
        Delivery::CaughtUp {
            stream: name(1),
            cursor: cursor(0),
        },
        &mut out,
    );
    encoder.encode(entry(1, 1), &mut out);
    encoder.heartbeat(&mut out);
    encoder.encode(
        Delivery::Passed {
            stream: name(0),
            cursor: cursor(3),
        },
        &mut out,
    );
    encoder.heartbeat(&mut out);
    encoder.encode(
        Delivery::Gap {
            stream: name(0),
            lost: 2,
            cursor: cursor(5),
        },
        &mut out,
    );
    outage(&mut encoder, name(1), cursor(1), &mut out);
    encoder.farewell(2_000, &mut out);
    assert_eq!(text(out), documented(1));
}

#[test]
fn a_merged_tail_ends_when_all_its_streams_have() {
    let starts = vec![(name(0), cursor(0)), (name(1), cursor(0))];
    let (mut encoder, mut out) = (Encoder::<Ndjson>::new(starts, Vec::new()), Chunks::default());
    encoder.encode(
        Delivery::CaughtUp {
            stream: name(0),
            cursor: cursor(0),
        },
        &mut out,
    );
    encoder.encode(
        Delivery::Ended {
            stream: name(0),
            cursor: cursor(0),
        },
        &mut out,
    );
    assert!(!encoder.has_ended() && out.len_bytes() == 0);
    encoder.encode(
        Delivery::Ended {
            stream: name(1),
            cursor: cursor(1),
        },
        &mut out,
    );
    assert!(encoder.has_ended());
    let ended = r#"{"control":"ended","cursor":"a~1700000000000-0.0,log:api~1700000000001-0.1"}"#;
    assert_eq!(text(out), format!("{ended}\n"));
}

#[test]
fn a_position_with_a_verdict_to_come_stays() {
    let starts = vec![(name(0), cursor(1)), (name(1), cursor(1))];
    let (mut encoder, mut out) = (Encoder::<Sse>::new(starts, vec![name(1)]), Chunks::default());
    encoder.open(1_000, &mut out);
    encoder.encode(
        Delivery::Passed {
            stream: name(0),
            cursor: cursor(2),
        },
        &mut out,
    );
    encoder.pass(&name(1), cursor(9));
    encoder.heartbeat(&mut out);
    outage(&mut encoder, name(1), cursor(9), &mut out);
    encoder.encode(
        Delivery::Gap {
            stream: name(1),
            lost: 8,
            cursor: cursor(9),
        },
        &mut out,
    );
    let told = text(out).replace("17000000000", "");
    assert_eq!(
        told,
        concat!(
            "retry: 1000\nid: a~01-0.1,log:api~01-0.1\n\n",
            "id: a~02-0.2,log:api~01-0.1\n\n",
            "event: degraded\ndata: {\"stream\":\"log:api\",\"since\":\"2023-11-14T22:13:26.000Z\"}\n\n",
            "event: restored\nid: a~02-0.2,log:api~01-0.1\n",
            "data: {\"stream\":\"log:api\",\"cursor\":\"a~02-0.2,log:api~01-0.1\"}\n\n",
            "event: gap\nid: a~02-0.2,log:api~09-0.9\n",
            "data: {\"stream\":\"log:api\",\"lost\":8,\"cursor\":\"a~02-0.2,log:api~09-0.9\"}\n\n",
        )
    );
}

#[test]
fn a_tail_that_ends_before_it_has_caught_up_says_only_that() {
    let (mut encoder, mut out) = (one_stream::<Ndjson>(), Chunks::default());
    encoder.encode(
        Delivery::Ended {
            stream: name(0),
            cursor: cursor(1),
        },
        &mut out,
    );
    assert_eq!(
        text(out),
        "{\"control\":\"ended\",\"stream\":\"a\",\"cursor\":\"1700000000001-0.1\"}\n"
    );
}

#[test]
fn an_encoding_is_made_once_for_everybody() {
    let delivery = entry(0, 2);
    let chunk = |delivery: &Delivery| {
        let (mut encoder, mut out) = (one_stream::<Sse>(), Chunks::default());
        encoder.encode(delivery.clone(), &mut out);
        out.pop().unwrap()
    };
    assert_eq!(chunk(&delivery).as_ptr(), chunk(&delivery).as_ptr());
}

#[test]
fn a_long_filtered_stretch_is_told_between_heartbeats() {
    let (mut encoder, mut out) = (one_stream::<Ndjson>(), Chunks::default());
    encoder.encode(
        Delivery::Passed {
            stream: name(0),
            cursor: cursor(1_000),
        },
        &mut out,
    );
    assert_eq!(out.len_bytes(), 0);
    encoder.encode(
        Delivery::Passed {
            stream: name(0),
            cursor: cursor(1_001),
        },
        &mut out,
    );
    assert_eq!(
        text(out),
        "{\"control\":\"cursor\",\"cursor\":\"1700000001001-0.1001\"}\n"
    );
}

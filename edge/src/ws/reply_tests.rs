//! Replies and events in both encodings: the same keys and values.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use broker::Page;
use serde_json::{Value, json};
use shared::limits::WS_PAGE_BYTES_MAX;
use shared::{Event, Payload, Text};

use super::*;
use crate::error::Code;
use crate::page::bound;
use crate::ws::page;

fn decoded(format: Format, frame: &[u8]) -> Value {
    match format {
        Format::Json => serde_json::from_slice(frame).unwrap(),
        Format::MessagePack => rmp_serde::from_slice(frame).unwrap(),
    }
}

fn entry(n: u64, data: Payload) -> Arc<Entry> {
    let mut event = Event::new(data);
    event.user = n.is_multiple_of(2).then(|| Text::from("ann"));
    let cursor = Cursor::new(EntryId::new(1_700_000_000_000, n), n);
    Arc::new(Entry::new("doc:1".parse().unwrap(), cursor, event))
}

#[test]
fn replies_say_the_same_in_both_encodings() {
    let stream: StreamName = "doc:1".parse().unwrap();
    let reference = Ref::Text("r".into());
    let cursor = Cursor::new(EntryId::new(5, 1), 9);
    let error = ApiError::new(Code::WrongType, "no");
    let cases = [
        (
            Reply::Subscribed {
                reference: Some(&reference),
                stream: &stream,
                cursor,
                head: Cursor::bare(EntryId::new(6, 0)),
                verdict: Verdict::Gap { lost: 3 },
            },
            json!({"type": "subscribed", "ref": "r", "stream": "doc:1", "cursor": "5-1.9", "head": "6-0",
                "verdict": {"kind": "gap", "lost": 3}}),
        ),
        (Reply::Pong { reference: None }, json!({"type": "pong"})),
        (
            Reply::Published {
                reference: None,
                stream: &stream,
                id: cursor.id,
                cursor,
                duplicate: true,
            },
            json!({"type": "published", "stream": "doc:1", "id": "5-1", "cursor": "5-1.9", "duplicate": true}),
        ),
        (
            Reply::Error {
                reference: Some(&Ref::Signed(-1)),
                stream: None,
                error: Problem::from(&error),
            },
            json!({"type": "error", "ref": -1, "error": {"code": "wrong_type", "message": "no"}}),
        ),
        (
            Reply::Degraded {
                stream: &stream,
                since: 1_767_225_600_000,
            },
            json!({"type": "degraded", "stream": "doc:1", "since": "2026-01-01T00:00:00.000Z"}),
        ),
        (
            Reply::Restored {
                stream: &stream,
                cursor,
            },
            json!({"type": "restored", "stream": "doc:1", "cursor": "5-1.9"}),
        ),
        (
            Reply::CaughtUp {
                stream: &stream,
                cursor,
            },
            json!({"type": "caught_up", "stream": "doc:1", "cursor": "5-1.9"}),
        ),
    ];
    for (reply, expected) in cases {
        for format in Format::ALL {
            assert_eq!(decoded(format, &reply.encode(format)), expected, "{format:?}");
        }
    }
}

#[test]
fn an_event_is_its_http_form_with_a_type_and_is_encoded_once() {
    for n in [1, 2] {
        let entry = entry(n, Payload::Json(r#"{"x":[1,null]}"#.into()));
        let mut expected: Value = serde_json::from_slice(&wire::entry_json(&entry)).unwrap();
        expected["type"] = json!("event");
        for format in Format::ALL {
            let alone = delivery(format, &Delivery::Event(entry.clone())).unwrap();
            assert_eq!(decoded(format, &alone), expected);
            let only = Delivery::Event(Arc::new(Entry::new(
                entry.stream.clone(),
                entry.cursor,
                entry.event.clone(),
            )));
            assert_eq!(delivery(format, &only).unwrap(), alone);
            let first = event(format, &entry);
            assert_eq!(decoded(format, &first), expected);
            assert_eq!(event(format, &entry).as_ptr(), first.as_ptr());
        }
    }
}

#[test]
fn binary_stays_binary_in_message_pack() {
    let entry = entry(1, Payload::Bytes(vec![0, 255].into()));
    let value = wire::decode_value(&event(Format::MessagePack, &entry)).unwrap();
    let data = value
        .as_map()
        .unwrap()
        .iter()
        .find(|(key, _)| key.as_str() == Some("data"))
        .unwrap();
    assert_eq!(data.1, rmpv::Value::Binary(vec![0, 255]));
    let value = decoded(Format::Json, &event(Format::Json, &entry));
    assert_eq!(value["data"], json!({"$base64": "AP8="}));
}

fn full_page(entries: Vec<Arc<Entry>>) -> Page {
    let head = entries.last().map_or(Cursor::START, |entry| entry.cursor);
    Page {
        entries,
        cursor: head,
        head,
        tail_reached: true,
        verdict: Verdict::Gap { lost: 4 },
        degraded: false,
    }
}

#[test]
fn a_page_says_the_same_in_both_encodings() {
    let stream: StreamName = "doc:1".parse().unwrap();
    for count in [0, 1, 40] {
        let entries: Vec<_> = (1..=count).map(|n| entry(n, Payload::Json("1".into()))).collect();
        let read = full_page(entries.clone());
        let events: Vec<Value> = entries
            .iter()
            .map(|entry| serde_json::from_slice(&wire::entry_json(entry)).unwrap())
            .collect();
        let expected = json!({"type": "page", "ref": 5, "stream": "doc:1", "events": events,
            "cursor": read.cursor.to_string(), "head": read.head.to_string(), "tail_reached": true,
            "verdict": {"kind": "gap", "lost": 4}});
        for format in Format::ALL {
            let frame = page::encode(format, Some(&Ref::Unsigned(5)), &stream, &read);
            assert_eq!(decoded(format, &frame), expected);
        }
    }
}

#[test]
fn a_page_that_is_too_large_ends_early_and_its_cursor_leads_to_the_rest() {
    let large = |n| {
        entry(
            n,
            Payload::Json(format!("\"{}\"", "x".repeat(WS_PAGE_BYTES_MAX / 5 * 2)).into()),
        )
    };
    let entries: Vec<_> = (1..=4).map(large).collect();

    let mut forward = full_page(entries.clone());
    bound(&mut forward, WS_PAGE_BYTES_MAX, false);
    assert_eq!(
        (forward.entries.len(), forward.cursor, forward.tail_reached),
        (2, entries[1].cursor, false)
    );
    assert_eq!(forward.verdict, Verdict::Gap { lost: 4 });

    let mut backward = full_page(entries.iter().rev().cloned().collect());
    bound(&mut backward, WS_PAGE_BYTES_MAX, true);
    assert_eq!((backward.entries.len(), backward.cursor), (2, entries[2].cursor));
    assert_eq!(backward.verdict, Verdict::Continuous);

    let mut small = full_page(entries[..2].to_vec());
    bound(&mut small, WS_PAGE_BYTES_MAX, false);
    assert!(small.entries.len() == 2 && small.tail_reached);

    let huge = entry(
        1,
        Payload::Json(format!("\"{}\"", "x".repeat(2 * WS_PAGE_BYTES_MAX)).into()),
    );
    let mut one = full_page(vec![huge.clone(), huge]);
    bound(&mut one, WS_PAGE_BYTES_MAX, false);
    assert_eq!(one.entries.len(), 1);
}

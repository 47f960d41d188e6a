//! Entries that others write with a plain `XADD`.

use broker::From;
use bytes::Bytes;
use shared::{EntryId, Event, Ordinal, Payload, fields};

use crate::tail::Tail;
use crate::{Fixture, Settings, name, page, publish, values};

fn field(name: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))
}

fn json(text: &str) -> Payload {
    Payload::Json(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) async fn any_fields_are_an_event<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("raw"));
    let cases = [
        (vec![field(b"d", b"{\"a\":1}")], json("{\"a\":1}")),
        (vec![field(b"d", b"{\"a\":\n1}")], json("{\"a\": 1}")),
        (vec![field(b"d", b"{\"a\":")], json("\"{\\\"a\\\":\"")),
        (vec![field(b"d", b"plain text")], json("\"plain text\"")),
        (vec![field(b"d", b"")], json("\"\"")),
        (
            vec![field(b"d", b"\xff\x00")],
            Payload::Bytes(Bytes::from_static(b"\xff\x00")),
        ),
        (
            vec![field(b"temp", b"21.5"), field(b"unit", b"C")],
            json(r#"{"temp":"21.5","unit":"C"}"#),
        ),
        (
            vec![field(b"x", b"1"), field(b"x", b"2")],
            json(r#"{"x":["1","2"]}"#),
        ),
        (
            vec![field(b"\xfe", b"\xff")],
            json("{\"\u{fffd}\":{\"$base64\":\"/w==\"}}"),
        ),
        (
            vec![field(b"f", b"b"), field(b"d", b"1")],
            Payload::Bytes(Bytes::from_static(b"1")),
        ),
        (
            vec![field(b"f", b"m"), field(b"d", b"\x01")],
            Payload::MessagePack(Bytes::from_static(b"\x01")),
        ),
        (
            vec![field(b"f", b"m"), field(b"d", b"\xc1")],
            Payload::Bytes(Bytes::from_static(b"\xc1")),
        ),
    ];
    for (fields, expected) in &cases {
        let id = fixture.append_raw(&stream, None, fields).await;
        let last = page(&log, &stream, From::Last(1)).await;
        assert_eq!(last.entries[0].id(), id);
        assert_eq!(last.entries[0].event, fields::decode(fields));
        assert_eq!(last.entries[0].event.data, *expected, "{fields:?}");
    }
    let full = [
        field(b"e", b"edit"),
        field(b"u", b"u1"),
        field(b"s", b"s1"),
        field(b"t", b"t1"),
        field(b"a", b"1"),
        field(b"d", b"[1,2]"),
    ];
    fixture.append_raw(&stream, None, &full).await;
    let last = page(&log, &stream, From::Last(1)).await;
    let expected = Event {
        name: Some("edit".into()),
        data: json("[1,2]"),
        spread: true,
        user: Some("u1".into()),
        session: Some("s1".into()),
        trace: Some("t1".into()),
    };
    assert_eq!(last.entries[0].event, expected);
    assert_eq!(last.head.ordinal, Some(Ordinal(cases.len() as u64 + 1)));
}

pub(crate) async fn ids_of_others<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("raw"));
    for id in [EntryId::new(0, 1), EntryId::new(7, 3), EntryId::new(7, u64::MAX)] {
        assert_eq!(
            fixture.append_raw(&stream, Some(id), &[field(b"d", b"1")]).await,
            id
        );
    }
    let now = publish(&log, &stream, [2]).await[0];
    assert!(now.id.ms > 1_600_000_000_000, "by the clock again");
    // A clock far ahead: what is added later stands behind it all the same.
    let ahead = EntryId::new(now.id.ms + 1_000_000_000, 5);
    fixture
        .append_raw(&stream, Some(ahead), &[field(b"d", b"3")])
        .await;
    assert_eq!(publish(&log, &stream, [4]).await[0].id, ahead.successor());
    let read = page(&log, &stream, From::Start).await;
    assert_eq!(values(&read.entries), [1, 1, 1, 2, 3, 4]);
    assert_eq!(
        values(&page(&log, &stream, From::Since(EntryId::new(7, 4))).await.entries),
        [1, 2, 3, 4]
    );
}

pub(crate) async fn raw_and_own_entries_count_together<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("raw"));
    for n in 1..=10u64 {
        if n % 2 == 0 {
            fixture
                .append_raw(&stream, None, &[field(b"d", n.to_string().as_bytes())])
                .await;
        } else {
            let cursor = publish(&log, &stream, [n]).await[0];
            assert_eq!(
                cursor.ordinal,
                Some(Ordinal(n)),
                "the count includes what others added"
            );
        }
    }
    assert_eq!(
        values(&page(&log, &stream, From::Start).await.entries),
        (1..=10).collect::<Vec<_>>()
    );
}

pub(crate) async fn raw_entries_are_delivered_live<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let (log, stream) = (fixture.log(), name("raw"));
    let mut tail = Tail::new(&log);
    tail.follow(&stream, From::Now).await;
    tail.caught_up(&stream).await;
    for n in 1..=20u64 {
        let data = n.to_string();
        fixture
            .append_raw(
                &stream,
                None,
                &[field(b"e", b"raw"), field(b"d", data.as_bytes())],
            )
            .await;
        // One by one: each rings anew.
        tail.value(&stream, n).await;
    }
    fixture
        .append_raw(&stream, None, &[field(b"level", b"info")])
        .await;
    let entry = tail.entry(&stream).await;
    assert_eq!(entry.event.data, json(r#"{"level":"info"}"#));
    assert_eq!(entry.cursor.ordinal, Some(Ordinal(21)));
}

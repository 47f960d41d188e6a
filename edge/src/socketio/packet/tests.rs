#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use shared::limits::SIO_DEPTH_MAX;

use super::scan::RESERVED_EVENTS;
use super::{Head, Kind, Packet};
use crate::socketio::violation::Violation;

fn encode(packet: &Packet<'_>) -> Bytes {
    let head = Head {
        kind: packet.kind,
        attachments: packet.attachments,
        namespace: packet.namespace,
        ack: packet.ack,
    };
    head.text(&packet.payload)
}

/// A packet's kind, attachments, namespace, number, payload and event.
type Parts = (Kind, usize, String, Option<u64>, String, Option<String>);

fn scan(text: &str) -> Result<Parts, Violation> {
    let text = Bytes::from(text.to_owned());
    let packet = Packet::scan(&text)?;
    let payload = String::from_utf8(packet.payload.to_vec()).unwrap();
    Ok((
        packet.kind,
        packet.attachments,
        packet.namespace.to_owned(),
        packet.ack,
        payload,
        packet.event,
    ))
}

#[track_caller]
fn taken(
    text: &str,
    kind: Kind,
    attachments: usize,
    namespace: &str,
    ack: Option<u64>,
    payload: &str,
    event: Option<&str>,
) {
    let expected = (
        kind,
        attachments,
        namespace.to_owned(),
        ack,
        payload.to_owned(),
        event.map(str::to_owned),
    );
    assert_eq!(scan(text), Ok(expected), "{text}");
}

#[test]
fn packets_of_every_type_are_read() {
    taken("0", Kind::Connect, 0, "/", None, "", None);
    taken(
        r#"0{"token":"123"}"#,
        Kind::Connect,
        0,
        "/",
        None,
        r#"{"token":"123"}"#,
        None,
    );
    taken("0/custom", Kind::Connect, 0, "/custom", None, "", None);
    taken("0/custom,", Kind::Connect, 0, "/custom", None, "", None);
    taken(
        r#"0/custom,{"a":1}"#,
        Kind::Connect,
        0,
        "/custom",
        None,
        r#"{"a":1}"#,
        None,
    );
    taken("0/a?b=c", Kind::Connect, 0, "/a?b=c", None, "", None);
    taken("0/,", Kind::Connect, 0, "/", None, "", None);
    taken("1", Kind::Disconnect, 0, "/", None, "", None);
    taken("1/custom,", Kind::Disconnect, 0, "/custom", None, "", None);
    taken(r#"2["a",1] "#, Kind::Event, 0, "/", None, r#"["a",1]"#, Some("a"));
    taken(
        r#"2/b,012["a"]"#,
        Kind::Event,
        0,
        "/b",
        Some(12),
        r#"["a"]"#,
        Some("a"),
    );
    taken("30[]", Kind::Ack, 0, "/", Some(0), "[]", None);
    taken(
        "3/b,18446744073709551615[1]",
        Kind::Ack,
        0,
        "/b",
        Some(u64::MAX),
        "[1]",
        None,
    );
    taken(
        r#"4/x,{"message":"no"}"#,
        Kind::ConnectError,
        0,
        "/x",
        None,
        r#"{"message":"no"}"#,
        None,
    );
    taken(r#"4"no""#, Kind::ConnectError, 0, "/", None, r#""no""#, None);
    let two = r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    taken(&format!("52-{two}"), Kind::Event, 2, "/", None, two, Some("a"));
    taken(&format!("62-/b,7{two}"), Kind::Ack, 2, "/b", Some(7), two, None);
    taken(r#"510-["a"]"#, Kind::Event, 10, "/", None, r#"["a"]"#, Some("a"));
}

#[test]
fn names_of_events_are_unescaped_and_numbers_are_names() {
    for (raw, name) in [
        (r#""\u0061\n""#, "a\n"),
        (r#""""#, ""),
        (r#""\ud800""#, "\u{fffd}"),
        ("1", "1"),
        ("-0", "0"),
        ("1e3", "1000"),
        ("2.50", "2.50"),
        ("1e999", "1e999"),
        ("9007199254740993", "9007199254740993"),
    ] {
        let (.., event) = scan(&format!("2[{raw},0]")).unwrap();
        assert_eq!(event.as_deref(), Some(name), "{raw}");
    }
}

#[test]
fn reserved_names_are_refused_however_they_are_written() {
    for name in RESERVED_EVENTS {
        assert_eq!(scan(&format!("2[\"{name}\"]")), Err(Violation::ReservedEvent));
        let escaped: String = name.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        assert_eq!(
            scan(&format!("2/a,1[\"{escaped}\"]")),
            Err(Violation::ReservedEvent)
        );
        assert!(
            scan(&format!("31[\"{name}\"]")).is_ok(),
            "an acknowledgement has no name"
        );
    }
}

#[test]
fn what_breaks_the_protocol_is_told_apart() {
    let deep = format!(
        "2[\"a\",{}{}]",
        "[".repeat(SIO_DEPTH_MAX),
        "]".repeat(SIO_DEPTH_MAX)
    );
    for (text, violation) in [
        ("", Violation::Type),
        ("abc", Violation::Type),
        ("7", Violation::Type),
        ("ä", Violation::Type),
        (r#"5["a"]"#, Violation::Attachments),
        (r#"5-["a"]"#, Violation::Attachments),
        (r#"50-["a"]"#, Violation::Attachments),
        (r#"5a-["a"]"#, Violation::Attachments),
        ("51", Violation::Attachments),
        (r#"5-1-["a"]"#, Violation::Attachments),
        (r#"511-["a"]"#, Violation::TooManyAttachments),
        (r#"599999999999999999999-["a"]"#, Violation::TooManyAttachments),
        ("01", Violation::AckId),
        ("11", Violation::AckId),
        ("3[]", Violation::AckId),
        ("318446744073709551616[]", Violation::AckId),
        (r#"2abc["a"]"#, Violation::Payload),
        ("2", Violation::Payload),
        ("21", Violation::Payload),
        ("2{}", Violation::Payload),
        ("2[]", Violation::Payload),
        ("2[null]", Violation::Payload),
        ("2[true]", Violation::Payload),
        ("2[{}]", Violation::Payload),
        (r#"2[["a"]]"#, Violation::Payload),
        (r#"2["a"]x"#, Violation::Payload),
        (r#"2 ["a"]"#, Violation::Payload),
        (r#"2/b["a"]"#, Violation::Payload),
        ("31{}", Violation::Payload),
        ("31", Violation::Payload),
        ("0[]", Violation::Payload),
        ("0null", Violation::Payload),
        (r#"0"a""#, Violation::Payload),
        ("1{}", Violation::Payload),
        ("4", Violation::Payload),
        ("4[]", Violation::Payload),
        (r#"4"a","b""#, Violation::Payload),
        (deep.as_str(), Violation::TooDeep),
        (
            r#"51-["a",{"_placeholder":true,"num":1}]"#,
            Violation::Placeholder,
        ),
    ] {
        assert_eq!(scan(text), Err(violation), "{text}");
    }
    let text = Bytes::from_static(b"0/\xff,");
    assert_eq!(Packet::scan(&text), Err(Violation::Namespace));
}

/// Any packet that one side may send, as its parts.
fn packets() -> impl Strategy<Value = (Kind, usize, String, Option<u64>, String)> {
    let namespace = prop_oneof![Just("/".to_owned()), "/[^,]{0,20}"];
    let argument = prop_oneof![
        any::<f64>().prop_map(|number| serde_json::json!(number).to_string()),
        ".*".prop_map(|text| serde_json::json!(text).to_string()),
        Just(r#"{"a":[null,true,{}]}"#.to_owned()),
    ];
    let arguments = prop::collection::vec(argument, 0..4);
    let placed = |attachments: usize, mut parts: Vec<String>| {
        parts.extend((0..attachments).map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}")));
        format!("[{}]", parts.join(","))
    };
    let name = ".*".prop_filter("reserved", |name| !RESERVED_EVENTS.contains(&name.as_str()));
    let event = (0..11_usize, any::<Option<u64>>(), name, arguments.clone()).prop_map(
        move |(attachments, ack, name, mut parts)| {
            parts.insert(0, serde_json::json!(name).to_string());
            (Kind::Event, attachments, ack, placed(attachments, parts))
        },
    );
    let ack = (0..11_usize, any::<u64>(), arguments).prop_map(move |(attachments, id, parts)| {
        (Kind::Ack, attachments, Some(id), placed(attachments, parts))
    });
    let rest = prop::sample::select(vec![
        (Kind::Connect, 0, None, String::new()),
        (Kind::Connect, 0, None, r#"{"sid":"a","pid":"b"}"#.to_owned()),
        (Kind::Disconnect, 0, None, String::new()),
        (Kind::ConnectError, 0, None, r#"{"message":"m"}"#.to_owned()),
        (Kind::ConnectError, 0, None, r#""m\"""#.to_owned()),
    ]);
    (namespace, prop_oneof![4 => event, 2 => ack, 1 => rest]).prop_map(
        |(namespace, (kind, attachments, ack, payload))| (kind, attachments, namespace, ack, payload),
    )
}

#[test]
fn an_ordinary_event_is_understood_at_a_glance() {
    let plain = |text: &'static str| Packet::scan(&Bytes::from_static(text.as_bytes())).unwrap().plain;
    assert!(plain(r#"2/a,1["publish",{"stream":"a","data":{"b":[1]}}]"#).is_some());
    assert!(plain(r#"2["publish" , {} ]"#).is_some());
    for other in [
        r#"2["a"]"#,
        r#"2["a",1]"#,
        r#"2["a",{},{}]"#,
        r#"2["\u0061",{}]"#,
        r#"31[{}]"#,
    ] {
        assert_eq!(plain(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was_meant((kind, attachments, namespace, ack, payload) in packets()) {
        let head = Head { kind, attachments, namespace: &namespace, ack };
        let text = head.text(payload.as_bytes());
        let packet = Packet::scan(&text).unwrap();
        prop_assert_eq!(
            (packet.kind, packet.attachments, packet.namespace, packet.ack, packet.payload.as_ref()),
            (kind, attachments, namespace.as_str(), ack, payload.as_bytes())
        );
        prop_assert_eq!(packet.event.is_some(), kind == Kind::Event);
    }

    #[test]
    fn every_packet_that_is_taken_says_the_same_when_written_again(
        (kind, attachments, namespace, ack, payload) in packets(), at: prop::sample::Index,
        change in prop::option::of(prop::sample::select(
            vec!["0", "5", "/", ",", "-", " ", "[", "]", "\"", "\\", "?", "é"]
        )),
    ) {
        let head = Head { kind, attachments, namespace: &namespace, ack };
        let mut text = String::from_utf8(head.text(payload.as_bytes()).to_vec()).unwrap();
        // A small change to a good packet may well leave a good one.
        let (at, character) = text.char_indices().nth(at.index(text.chars().count())).unwrap();
        if let Some(change) = change {
            text.replace_range(at..at + character.len_utf8(), change);
        }
        let text = Bytes::from(text);
        if let Ok(packet) = Packet::scan(&text) {
            let again = encode(&packet);
            let read_again = Packet::scan(&again);
            prop_assert_eq!(read_again, Ok(packet));
        }
    }

    /// White space at the end has it looked through the long way.
    #[test]
    fn what_is_understood_at_a_glance_is_what_is_found_by_looking(
        name in "[a-c\\\\]{1,2}|connect", object in r#"\{("[a-b]{1,2}": ?([0-9]{1,2}|"[a-z\\]{0,3}"|\[true\]|\{\}),? ?){0,3}\}"#,
        at: prop::sample::Index, change in prop::option::of(prop::sample::select(vec!["[", "]", "{", "}", ",", "\"", "\\", " "])),
    ) {
        let mut text = format!("27[\"{name}\",{object}]");
        let (at, character) = text.char_indices().nth(at.index(text.chars().count())).unwrap();
        if let Some(change) = change {
            text.replace_range(at..at + character.len_utf8(), change);
        }
        let (text, longer) = (Bytes::from(text.clone()), Bytes::from(text + " "));
        let (glanced, looked) = (Packet::scan(&text), Packet::scan(&longer));
        match (glanced, looked) {
            (Ok(glanced), Ok(looked)) => {
                prop_assert_eq!(looked.plain, None);
                prop_assert_eq!(glanced.payload, looked.payload);
                prop_assert_eq!(glanced.event, looked.event);
            }
            (glanced, looked) => prop_assert_eq!(glanced.err(), looked.err()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), digit in b'0'..b'8') {
        let mut bytes = bytes;
        let _ = Packet::scan(&Bytes::from(bytes.clone()));
        bytes.insert(0, digit);
        let _ = Packet::scan(&Bytes::from(bytes));
    }
}

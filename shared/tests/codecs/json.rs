//! Entries and data as JSON.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use shared::limits::DATA_DEPTH_MAX;
use shared::{Cursor, Entry, EntryId, Event, Payload, Text, Verdict, fields, wire};

use crate::strategies::{any_fields, entry, hostile, json, name, text};

fn parsed(raw: &[u8]) -> Json {
    serde_json::from_slice(raw).unwrap()
}

fn payload(text: &str) -> Result<Payload, String> {
    wire::payload_of_json(Bytes::from(text.to_owned())).map_err(|error| error.to_string())
}

#[test]
fn an_entry_is_written_as_documented() {
    let mut event = Event::new(payload("{\"n\": 1}").unwrap());
    event.name = Some(Text::from("edit"));
    event.user = Some(Text::from("ann"));
    event.session = Some(Text::from("not told"));
    event.trace = Some(Text::from(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ));
    let cursor = Cursor::new(EntryId::new(1_767_323_045_678, 1), 42);
    let entry = Entry::new("doc:1".parse().unwrap(), cursor, event);
    let expected = concat!(
        r#"{"id":"1767323045678-1","stream":"doc:1","event":"edit","data":{"n": 1},"#,
        r#""time":"2026-01-02T03:04:05.678Z","user":"ann","#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""cursor":"1767323045678-1.42"}"#
    );
    assert_eq!(wire::entry_json(&entry), expected);
}

#[test]
fn verdicts_are_written_as_documented() {
    for (verdict, expected) in [
        (Verdict::Continuous, json!({"kind": "continuous"})),
        (Verdict::Gap { lost: 3 }, json!({"kind": "gap", "lost": 3})),
        (Verdict::Reset, json!({"kind": "reset"})),
        (Verdict::Unverified, json!({"kind": "unverified"})),
    ] {
        assert_eq!(serde_json::to_value(verdict).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Verdict>(expected).unwrap(), verdict);
    }
}

#[test]
fn an_id_that_is_no_time_has_none() {
    let event = Event::new(payload("1").unwrap());
    let entry = Entry::new("a".parse().unwrap(), Cursor::bare(EntryId::MAX), event);
    assert_eq!(parsed(&wire::entry_json(&entry))["time"], Json::Null);
}

#[test]
fn publishers_are_told_what_is_wrong_with_their_json() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(payload(&nested(DATA_DEPTH_MAX)).is_ok());
    let too_deep = payload(&nested(DATA_DEPTH_MAX + 1)).unwrap_err();
    assert!(
        too_deep.starts_with("nested more than 100 levels deep"),
        "{too_deep}"
    );
    assert!(payload(&"{\"a\":".repeat(100_000)).is_err());
    for bad in [
        "",
        " ",
        "1 2",
        "{",
        "{\"a\":1,}",
        "nul",
        "'a'",
        "1e999",
        "\u{feff}1",
        "\"\n\"",
        "\"\\ud800\\u\"",
        "NaN",
    ] {
        assert!(payload(bad).is_err(), "{bad:?}");
    }
    assert!(wire::payload_of_json(Bytes::from_static(b"\"\xff\"")).is_err());
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    for (given, kept) in [
        (r#""\ud83d""#, r#""\ufffd""#),
        (r#""\uDD80 \ud83e""#, r#""\ufffd \ufffd""#),
        (r#""\ud83e\udd80\ud83e""#, r#""\ud83e\udd80\ufffd""#),
        (r#""\ud83e\ud83e\udd80""#, r#""\ufffd\ud83e\udd80""#),
        (r#""\\ud83d \ud83d""#, r#""\\ud83d \ufffd""#),
        (r#"{"\udd80":"\\\udd80"}"#, r#"{"\ufffd":"\\\ufffd"}"#),
    ] {
        assert_eq!(payload(given), Ok(Payload::Json(Bytes::from(kept))), "{given}");
    }
}

#[test]
fn data_is_not_copied_where_it_can_be_shared() {
    let raw = Bytes::from_static(b"{\"a\":[1,2]}");
    let Payload::Json(kept) = wire::payload_of_json(raw.clone()).unwrap() else {
        panic!("JSON stays JSON")
    };
    assert_eq!(kept.as_ptr(), raw.as_ptr());
    assert_eq!(wire::json_of_payload(&Payload::Json(kept)).as_ptr(), raw.as_ptr());
    let event = fields::decode(&[(Bytes::from_static(b"d"), raw.clone())]);
    assert_eq!(event.data.raw().as_ptr(), raw.as_ptr());
}

fn assert_is_an_entry(line: &[u8], entry: &Entry) -> Result<(), TestCaseError> {
    prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let json = parsed(line);
    let mut keys = vec!["id", "stream", "event", "data", "time", "cursor"];
    if entry.event.user.is_some() {
        keys.insert(5, "user");
    }
    let trace = entry.event.traceparent().map(|trace| trace.to_string());
    if trace.is_some() {
        keys.insert(keys.len() - 1, "traceparent");
    }
    prop_assert!(json.as_object().unwrap().keys().eq(keys));
    prop_assert_eq!(&json["id"], &entry.id().to_string());
    prop_assert_eq!(&json["stream"], entry.stream.as_str());
    prop_assert_eq!(&json["event"], entry.event.name());
    prop_assert_eq!(&json["cursor"], &entry.cursor.to_string());
    prop_assert_eq!(json["user"].as_str(), entry.event.user.as_ref().map(Text::as_str));
    prop_assert_eq!(json["traceparent"].as_str(), trace.as_deref());
    prop_assert_eq!(&json["data"], &parsed(&wire::json_of_payload(&entry.event.data)));
    Ok(())
}

proptest! {
    #[test]
    fn an_entry_is_one_line_with_its_keys(entry in entry()) {
        assert_is_an_entry(&wire::entry_json(&entry), &entry)?;
    }

    #[test]
    fn an_entry_of_anybody_is_one_line_with_its_keys(name in name(), pairs in any_fields()) {
        let entry = Entry::new(name, Cursor::START, fields::decode(&pairs));
        assert_is_an_entry(&wire::entry_json(&entry), &entry)?;
    }

    #[test]
    fn the_prefix_and_a_cursor_make_the_entry(entry in entry()) {
        let mut out = b"before".to_vec();
        wire::entry_json_prefix(&mut out, &entry);
        out.extend_from_slice(format!("{}\"}}", entry.cursor).as_bytes());
        prop_assert_eq!(&out[6..], &wire::entry_json(&entry)[..]);
    }

    #[test]
    fn json_data_is_what_was_put_in(value in json(), pretty in any::<bool>()) {
        let raw = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        let payload = wire::payload_of_json(Bytes::from(raw.unwrap())).unwrap();
        prop_assert_eq!(parsed(&wire::json_of_payload(&payload)), value);
    }

    #[test]
    fn what_counts_as_json_is_what_parses(raw in hostile()) {
        let Ok(payload) = wire::payload_of_json(raw.clone()) else {
            prop_assert!(serde_json::from_slice::<Json>(&raw).is_err());
            return Ok(());
        };
        let kept = parsed(&wire::json_of_payload(&payload));
        // What does not parse as it came had half a surrogate pair in it.
        let given = serde_json::from_slice::<Json>(&raw);
        prop_assert!(given.is_ok_and(|given| given == kept) || raw.windows(2).any(|pair| pair == br"\u"));
    }

    #[test]
    fn binary_is_told_as_base64(data in crate::strategies::bytes(40)) {
        use base64::Engine as _;
        let json = parsed(&wire::json_of_payload(&Payload::Bytes(data.clone())));
        let text = base64::engine::general_purpose::STANDARD.encode(&data);
        prop_assert_eq!(json, json!({wire::BASE64_KEY: text}));
    }

    #[test]
    fn any_text_is_a_json_string(text in text()) {
        let string = wire::json_string(&text);
        prop_assert!(!string.contains(&b'\n') && !string.contains(&b'\r'));
        prop_assert_eq!(parsed(&string), text);
    }

    #[test]
    fn text_of_any_bytes_is_text(raw in crate::strategies::bytes(20)) {
        let text = Text::from_bytes_lossy(raw.clone());
        prop_assert_eq!(text.as_str(), String::from_utf8_lossy(&raw));
        prop_assert_eq!(text.as_bytes(), text.as_str().as_bytes());
    }
}

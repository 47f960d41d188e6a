//! What arguments become: values of templates, and data.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn arguments<'a>(array: &str, attachments: &'a [Bytes]) -> Arguments<'a> {
    let binary = Binary {
        attachments,
        bytes_max: 100,
    };
    Arguments::new(&Bytes::copy_from_slice(array.as_bytes()), None, binary)
}

fn path(text: &str) -> Vec<Box<str>> {
    text.split('.')
        .filter(|name| !name.is_empty())
        .map(Box::from)
        .collect()
}

#[test]
fn values_are_texts_and_whole_numbers_and_nothing_else() {
    let array =
        r#"["e", "a\u00e9", 42, -7, {"id":"x","in":{"n":5},"id":"y"}, "", 1.5, 1e3, null, true, ["a"], {}]"#;
    let arguments = arguments(array, &[]);
    let value = |index: usize, at: &str| arguments.value(index, &path(at));
    for (index, at, found) in [
        (0, "", "aé"),
        (1, "", "42"),
        (2, "", "-7"),
        (3, "id", "y"),
        (3, "in.n", "5"),
    ] {
        assert_eq!(value(index, at).as_deref(), Some(found), "{index} {at}");
    }
    for (index, at) in [
        (3, ""),
        (3, "in"),
        (3, "in.x"),
        (3, "id.x"),
        (0, "x"),
        (9, "0"),
        (99, ""),
    ] {
        assert_eq!(value(index, at), None, "{index} {at}");
    }
    assert!((4..=10).all(|index| value(index, "").is_none()));
}

#[test]
fn auth_is_looked_at_once() {
    let place = |text: &str| text.parse::<Place>().unwrap();
    let places = [place("auth.a"), place("auth.b.c"), place("auth.d")];
    let auth = br#"{"a":"x","b":{"c":7},"d":[]}"#;
    let values = auth_values(Some(auth), &places);
    let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
    assert_eq!(values, [Some("x"), Some("7"), None]);
    assert!(auth_values(None, &places).iter().all(Option::is_none));
    assert!(auth_values(Some(b"[1]"), &places).iter().all(Option::is_none));
}

#[test]
fn arguments_that_are_left_are_stored_as_they_were_sent() {
    let arguments = arguments(r#"["edit", "42",  {"b":1.0, "a":1e2} , null]"#, &[]);
    let text = |taken: &[usize]| {
        let (payload, spread) = arguments.payload(taken).unwrap();
        (String::from_utf8(payload.raw().to_vec()).unwrap(), spread)
    };
    assert_eq!(text(&[0, 2]), (r#"{"b":1.0, "a":1e2}"#.into(), false));
    assert_eq!(text(&[0]), (r#"[{"b":1.0, "a":1e2},null]"#.into(), true));
    assert_eq!(text(&[0, 1, 2]), ("[]".into(), true));
    assert_eq!(text(&[1, 2]), ("\"42\"".into(), false));
    assert!(arguments.only().is_err());
}

#[test]
fn data_that_no_parser_could_read_is_refused() {
    let arguments = arguments(r#"["e",1e999]"#, &[]);
    let error = arguments.payload(&[]).unwrap_err();
    assert_eq!(error.code(), Code::InvalidEvent);
    let deep = format!("[\"e\",{}{}]", "[".repeat(101), "]".repeat(101));
    let arguments = self::arguments(&deep, &[]);
    assert!(arguments.payload(&[]).unwrap_err().message().contains("nested"));
}

#[test]
fn binary_is_stored_as_binary() {
    let attachments = [Bytes::from_static(b"\x00\xff"), Bytes::from_static(b"b")];
    let place = |n: usize| format!(r#"{{"_placeholder":true,"num":{n}}}"#);
    let array = format!(r#"["e",{},{{"x":[{}],"n":-1}},"plain"]"#, place(0), place(1));
    let arguments = arguments(&array, &attachments);
    assert_eq!(
        arguments.payload(&[1, 2]).unwrap(),
        (Payload::Bytes(attachments[0].clone()), false)
    );
    // Without binary it is JSON as ever.
    assert_eq!(
        arguments.payload(&[0, 1]).unwrap(),
        (Payload::Json(Bytes::from_static(b"\"plain\"")), false)
    );
    let (payload, spread) = arguments.payload(&[]).unwrap();
    let Payload::MessagePack(raw) = payload else {
        panic!();
    };
    let expected = Value::Array(vec![
        Value::Binary(vec![0, 0xff]),
        Value::Map(vec![
            (Value::from("x"), Value::Array(vec![Value::Binary(b"b".to_vec())])),
            (Value::from("n"), Value::from(-1)),
        ]),
        Value::from("plain"),
    ]);
    assert_eq!((wire::decode_value(&raw), spread), (Some(expected), true));
}

#[test]
fn what_only_looks_like_binary_stays_what_it_is() {
    let arguments = arguments(r#"["e",{"_placeholder":true,"num":0}]"#, &[]);
    let (payload, _) = arguments.payload(&[]).unwrap();
    assert_eq!(&payload.raw()[..], br#"{"_placeholder":true,"num":0}"#);
}

#[test]
fn an_attachment_that_stands_often_counts_as_often() {
    let attachments = [Bytes::from(vec![0; 30])];
    let places = [r#"{"_placeholder":true,"num":0}"#; 4].join(",");
    let array = format!("[\"e\",[{places}]]");
    let arguments = arguments(&array, &attachments);
    assert_eq!(arguments.payload(&[]).unwrap_err().code(), Code::TooLarge);
    let missing = self::arguments(r#"["e",{"_placeholder":true,"num":1}]"#, &attachments);
    assert_eq!(missing.payload(&[]).unwrap_err().code(), Code::InvalidEvent);
}

proptest! {
    #[test]
    fn no_text_makes_it_fall_over(text in "\\[\"e\",[\\[\\]{}\":,0-9a_e.]{0,30}\\]", at in "[a._]{0,5}") {
        let binary = Binary { attachments: &[Bytes::from_static(b"x")], bytes_max: 100 };
        let arguments = Arguments::new(&Bytes::from(text), None, binary);
        arguments.value(0, &path(&at));
        let _ = arguments.payload(&[1]);
    }
}

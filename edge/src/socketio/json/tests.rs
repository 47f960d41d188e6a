#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use shared::limits::SIO_DEPTH_MAX;

use super::{Fault, elements, scan, unquote};

fn array(text: &str) -> Result<super::Scanned, Fault> {
    scan(text.as_bytes(), b'[', None)
}

fn with_attachments(text: &str, attachments: usize) -> Result<super::Scanned, Fault> {
    scan(text.as_bytes(), b'[', Some(attachments))
}

/// JSON of every shape, as a value.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".*", inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serializers_write_is_taken_and_its_elements_are_found(
        values in prop::collection::vec(json(), 0..6), pretty: bool,
    ) {
        let value = Value::from(values.clone());
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let text = write(&value).unwrap();
        let scanned = scan(text.as_bytes(), b'[', None).unwrap();
        prop_assert_eq!(scanned.len, text.len());
        let found = elements(&Bytes::from(text.clone())).map(|raw| serde_json::from_slice(&raw).unwrap());
        let found: Vec<Value> = found.collect();
        let first = scanned.first.map(|range| serde_json::from_str::<Value>(&text[range]).unwrap());
        prop_assert_eq!(first.as_ref(), values.first());
        prop_assert_eq!(found, values);
    }

    #[test]
    fn text_is_judged_as_another_parser_judges_it(
        mut bytes in json().prop_map(|value| serde_json::to_vec(&vec![value]).unwrap()),
        at: prop::sample::Index,
        by in prop::sample::select(b"\"\\[]{},:01-.eE+tfn u \n\x01\xff".as_slice()),
        cut: bool,
    ) {
        // A small change to good JSON comes much closer to the border than random bytes.
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at); } else { bytes[at] = by; }
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(()) };
        let ours = scan(text.as_bytes(), b'[', None).is_ok();
        // It stops at no surrogate, no number, no depth that it merely skips.
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() && text.starts_with('[');
        prop_assert_eq!(ours, theirs, "{}", text);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200), attachments in prop::option::of(0..11_usize),
    ) {
        let _ = scan(&bytes, b'[', attachments);
        let _ = scan(&bytes, b'{', attachments);
        let _ = unquote(&bytes);
        let found = elements(&Bytes::from(bytes.clone())).count();
        prop_assert!(found <= bytes.len());
    }

    #[test]
    fn strings_say_what_another_parser_reads(text: String) {
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(unquote(quoted.as_bytes()), text);
    }
}

#[test]
fn the_grammar_is_that_of_rfc_8259() {
    for text in [
        "[]",
        "[ ]",
        "[\t1 ,\n2\r]",
        "[-0]",
        "[0.5e+10,1E-2,1e999]",
        r#"["\ud83d","\u00e4\/"]"#,
        "[{}]",
        r#"[{"a":[]},null]"#,
        "[1] ",
    ] {
        assert!(array(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "{}",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[-]",
        "[1e]",
        "[nul]",
        "[tru]",
        "[NaN]",
        "[']",
        r#"["\x"]"#,
        r#"["\u12g4"]"#,
        r#"["\u12"]"#,
        "[\"\u{1}\"]",
        "[\"a]",
        "[{1:2}]",
        r#"[{"a"}]"#,
        r#"[{"a":}]"#,
        r#"[{"a":1,}]"#,
        "[]]",
        "[]a",
        " []",
        "[\u{a0}1]",
    ] {
        assert_eq!(array(text), Err(Fault::Grammar), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(array(&nested(SIO_DEPTH_MAX)).is_ok());
    assert_eq!(array(&nested(SIO_DEPTH_MAX + 1)), Err(Fault::TooDeep));
    assert_eq!(array(&"[".repeat(1_000_000)), Err(Fault::TooDeep));
    let objects = format!(
        "[{}1{}]",
        "{\"a\":".repeat(SIO_DEPTH_MAX),
        "}".repeat(SIO_DEPTH_MAX)
    );
    assert_eq!(array(&objects), Err(Fault::TooDeep));
}

#[test]
fn placeholders_name_attachments_that_exist() {
    for text in [
        r#"["a",{"_placeholder":true,"num":0},{"b":[{"num":1,"_placeholder":true}]}]"#,
        r#"["a",{"\u005fplaceholder":true,"\u006eum":1}]"#,
        r#"["a",{"_placeholder":false,"num":7},{"_placeholder":"true"},{"num":9}]"#,
    ] {
        assert!(with_attachments(text, 2).is_ok(), "{text}");
    }
    for text in [
        r#"["a",{"_placeholder":true,"num":2}]"#,
        r#"["a",{"_placeholder":true,"num":-1}]"#,
        r#"["a",{"_placeholder":true,"num":0.0}]"#,
        r#"["a",{"_placeholder":true,"num":"0"}]"#,
        r#"["a",{"_placeholder":true}]"#,
        r#"["a",{"_placeholder":true,"num":0,"more":1}]"#,
        r#"["a",{"_placeholder":false,"_placeholder":true,"num":0}]"#,
        r#"["a",{"_placeholder":true,"_placeholder":true}]"#,
        r#"["a",[{"b":{"\u005fplaceholder":true,"num":99999999999999999999999}}]]"#,
    ] {
        assert_eq!(with_attachments(text, 2), Err(Fault::Placeholder), "{text}");
        assert!(array(text).is_ok(), "without attachments it is data: {text}");
    }
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    assert_eq!(unquote(br#""a\ud83d""#), "a\u{fffd}");
    assert_eq!(unquote(br#""\ud83d\ude00\udc00b""#), "\u{1f600}\u{fffd}b");
}

//! Stream names and patterns.

use proptest::prelude::*;
use shared::limits::NAME_BYTES_MAX;
use shared::{StreamName, StreamPattern};

use crate::strategies::NAME;

fn pattern(text: &str) -> StreamPattern {
    text.parse().unwrap()
}

/// The slow, obvious matcher: a star takes nothing, or one character and stays.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if naive(rest, name) => true,
        (Some((b'*', _)), Some((_, name))) => naive(pattern, name),
        (Some((p, rest)), Some((n, name))) if p == n => naive(rest, name),
        _ => false,
    }
}

#[test]
fn names_keep_to_the_alphabet_and_the_length() {
    let longest = "x".repeat(NAME_BYTES_MAX);
    for good in ["a", "doc:42", "log:api/v1", "A-b_c.d", longest.as_str()] {
        assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
    }
    let too_long = "x".repeat(NAME_BYTES_MAX + 1);
    for bad in [
        "",
        " ",
        "a b",
        "a*",
        "{a}",
        "a,b",
        "a~b",
        "é",
        "a\n",
        "\u{0}",
        too_long.as_str(),
    ] {
        assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        assert!(bad == "a*" || bad.parse::<StreamPattern>().is_err(), "{bad:?}");
    }
}

#[test]
fn patterns_cover_whole_names() {
    for (text, name, covered) in [
        ("doc:*", "doc:42", true),
        ("doc:*", "doc:", true),
        ("doc:*", "xdoc:42", false),
        ("*", "anything", true),
        ("**", "a", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*ab", "aab", true),
        ("*ab*", "xxabyy", true),
        ("a*b*c", "abbc", true),
        ("a*bc*c", "abc", false),
        ("exact", "exact", true),
        ("exact", "exactly", false),
    ] {
        assert_eq!(
            pattern(text).matches(&name.parse().unwrap()),
            covered,
            "{text} {name}"
        );
    }
}

#[test]
fn names_go_through_json() {
    let name: StreamName = "doc:1/a".parse().unwrap();
    let json = serde_json::to_string(&name).unwrap();
    assert_eq!(json, "\"doc:1/a\"");
    assert_eq!(serde_json::from_str::<StreamName>(&json).unwrap(), name);
    assert_eq!(
        serde_json::from_str::<StreamName>("\"doc:\\u0031/a\"").unwrap(),
        name
    );
    assert!(serde_json::from_str::<StreamName>("\"a b\"").is_err());
    assert!(serde_json::from_str::<StreamPattern>("\"a b\"").is_err());
    assert!(
        serde_json::from_str::<StreamPattern>("\"a*\"")
            .unwrap()
            .matches(&"ab".parse().unwrap())
    );
}

proptest! {
    #[test]
    fn every_valid_name_is_kept(text in NAME) {
        let name: StreamName = text.parse().unwrap();
        prop_assert_eq!(name.to_string(), text.clone());
        prop_assert!(pattern(&text).matches(&name));
        prop_assert!(pattern("*").matches(&name));
    }

    #[test]
    fn any_text_is_a_name_or_refused(text in any::<String>()) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
        let valid = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(allowed);
        prop_assert_eq!(text.parse::<StreamName>().is_ok(), valid);
    }

    #[test]
    fn patterns_match_like_the_naive_matcher(text in "[ab*]{1,10}", name in "[ab]{1,10}") {
        let expected = naive(text.as_bytes(), name.as_bytes());
        prop_assert_eq!(pattern(&text).matches(&name.parse().unwrap()), expected);
    }
}

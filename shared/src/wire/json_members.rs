//! Takes an object of JSON apart at a glance, where it is of the plain kind ([`super::json_plain`]) that nearly all requests
//! are: in one look, which also shows that what is in it may be stored as it stands.

use std::str::FromStr;

use bytes::Bytes;
use smallvec::SmallVec;

use super::json_check::one_line;
use super::json_plain::Glance;
use crate::Payload;

/// Members of an object that is taken apart at the most.
const MEMBERS_MAX: usize = 16;

/// A value of the plain kind, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a>(&'a str);

/// The keys of an object, without escapes, and their values.
pub type Members<'a> = SmallVec<[(&'a str, Plain<'a>); 8]>;

impl<'a> Plain<'a> {
    /// What it says, if it is a text without escapes.
    pub fn text(self) -> Option<&'a str> {
        let text = self.0.strip_prefix('"')?.strip_suffix('"')?;
        memchr::memchr(b'\\', text.as_bytes()).is_none().then_some(text)
    }

    /// What it says, if it is a whole number of this type.
    pub fn whole<N: FromStr>(self) -> Option<N> {
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        self.0.parse().ok().filter(|_| whole)
    }

    /// What it says, if it is `true` or `false`.
    pub fn truth(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// It as it is stored: the same that [`super::payload_of_json`] makes of it.
    pub fn payload(self) -> Payload {
        Payload::Json(one_line(Bytes::copy_from_slice(self.0.as_bytes())))
    }
}

/// The members of `object`, which is one object of the plain kind, has each key once, and none with escapes. `None` if it is
/// anything else, which says nothing about whether it is JSON.
pub fn plain_members(object: &str) -> Option<Members<'_>> {
    let mut glance = Glance::at_start(object);
    let mut members = Members::new();
    glance.next()?;
    glance.eat(b'{')?;
    if glance.next()? == b'}' {
        glance.eat(b'}')?;
        return glance.is_over().then_some(members);
    }
    loop {
        glance.next()?;
        let from = glance.at;
        glance.string()?;
        let key = Plain(object.get(from..glance.at)?).text()?;
        glance.next()?;
        glance.eat(b':')?;
        glance.next()?;
        let from = glance.at;
        glance.value()?;
        let value = Plain(object.get(from..glance.at)?);
        if members.len() == MEMBERS_MAX || members.iter().any(|(known, _)| *known == key) {
            return None;
        }
        members.push((key, value));
        glance.next()?;
        if glance.eat(b',').is_none() {
            glance.eat(b'}')?;
            return glance.is_over().then_some(members);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::wire::payload_of_json;

    fn written(object: &str) -> Option<Vec<(&str, &str)>> {
        let members = plain_members(object)?;
        Some(members.into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    #[test]
    fn ordinary_objects_are_taken_apart() {
        assert_eq!(written("{}"), Some(vec![]));
        assert_eq!(written(" { } "), Some(vec![]));
        assert_eq!(
            written("\n{\"a\" : [1, {\"b\":2}] ,\"c\":\"d\" , \"e\":null}\t"),
            Some(vec![("a", "[1, {\"b\":2}]"), ("c", "\"d\""), ("e", "null")])
        );
        for other in [
            "",
            "[]",
            "1",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1}{",
            "{\"a\":1,\"a\":2}",
            "{\"\\n\":1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1e5}",
            "{\"a\":1]",
            "{1:2}",
        ] {
            assert_eq!(written(other), None, "{other}");
        }
        let many = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(
            written(&many(MEMBERS_MAX)).map(|members| members.len()),
            Some(MEMBERS_MAX)
        );
        assert_eq!(written(&many(MEMBERS_MAX + 1)), None);
    }

    #[test]
    fn values_are_what_they_are_and_nothing_else() {
        assert_eq!(Plain("\"a b\"").text(), Some("a b"));
        assert_eq!(Plain("\"a\\nb\"").text(), None);
        assert_eq!(Plain("1").text(), None);
        assert_eq!(Plain("17").whole(), Some(17u64));
        assert_eq!(Plain("-17").whole::<u64>(), None);
        assert_eq!(Plain("-17").whole(), Some(-17i64));
        assert_eq!(Plain("1.5").whole::<u64>(), None);
        assert_eq!(Plain("\"1\"").whole::<u64>(), None);
        assert_eq!((Plain("true").truth(), Plain("1").truth()), (Some(true), None));
    }

    proptest! {
        /// Whatever is taken apart is what a parser makes of it, and may be stored.
        #[test]
        fn what_is_taken_apart_is_what_a_parser_finds(
            keys in prop::collection::vec("[a-c]{0,2}", 0..4),
            values in prop::collection::vec(prop_oneof![
                Just("null".to_owned()),
                any::<i32>().prop_map(|number| number.to_string()),
                "[ -~]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
                Just("[1, {\"a\": [2,\n3]}]".to_owned()),
            ], 4),
            damage in prop::option::of((any::<prop::sample::Index>(), 32u8..127)),
        ) {
            let members: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\": {value}")).collect();
            let mut text = format!("{{{}}}", members.join(" ,"));
            if let Some((place, byte)) = damage {
                let mut bytes = text.clone().into_bytes();
                let place = place.index(bytes.len());
                bytes[place] = byte;
                text = String::from_utf8(bytes).unwrap();
            }
            if let Some(members) = plain_members(&text) {
                let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(members.len(), parsed.len());
                for (key, value) in members {
                    let found: serde_json::Value = serde_json::from_str(value.0).unwrap();
                    prop_assert_eq!(Some(&found), parsed.get(key));
                    prop_assert_eq!(value.text(), found.as_str().filter(|_| !value.0.contains('\\')));
                    let checked = payload_of_json(Bytes::copy_from_slice(value.0.as_bytes())).unwrap();
                    prop_assert_eq!(value.payload(), checked);
                }
            }
        }
    }
}

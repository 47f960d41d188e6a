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

/// Where what makes up an event is in its text: an array of a name and one object, all of the plain kind. Keys that stand twice, or
/// have escapes, are found when the members are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainEvent {
    name: Span,
    members: SmallVec<[(Span, Span); 4]>,
}

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span(u32, u32);

impl PlainEvent {
    /// Looks at `array`, which ends with it. `None` if it is anything else, which says nothing about whether it is JSON.
    pub fn of(array: &str) -> Option<Self> {
        let mut glance = Glance::at_start(array);
        glance.eat(b'[')?;
        glance.next()?;
        let name = span(&mut glance, Glance::string)?;
        name.of(array).text()?;
        glance.next()?;
        glance.eat(b',')?;
        let mut members = SmallVec::new();
        glance.members(|key, value| (members.len() < MEMBERS_MAX).then(|| members.push((key, value))))?;
        glance.next()?;
        glance.eat(b']')?;
        (glance.at == array.len()).then_some(Self { name, members })
    }

    /// The name, in the text that was looked at.
    pub fn name<'a>(&self, array: &'a str) -> Option<&'a str> {
        self.name.of(array).text()
    }

    /// The members of the object, as [`plain_members`] finds them, in the text that was looked at.
    pub fn members<'a>(&self, array: &'a str) -> Option<Members<'a>> {
        let mut found = Members::new();
        for (key, value) in &self.members {
            push(&mut found, key.of(array), value.of(array))?;
        }
        Some(found)
    }
}

impl Span {
    fn of(self, text: &str) -> Plain<'_> {
        Plain(text.get(self.0 as usize..self.1 as usize).unwrap_or_default())
    }
}

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
    glance.members(|key, value| push(&mut members, key.of(object), value.of(object)))?;
    glance.is_over().then_some(members)
}

/// `None` if the key has escapes or was there already, or if there are too many.
fn push<'a>(members: &mut Members<'a>, key: Plain<'a>, value: Plain<'a>) -> Option<()> {
    let key = key.text()?;
    let fits = members.len() < MEMBERS_MAX && members.iter().all(|(known, _)| *known != key);
    fits.then(|| members.push((key, value)))
}

/// Where that is which `look` passes.
fn span<'a>(glance: &mut Glance<'a>, look: impl FnOnce(&mut Glance<'a>) -> Option<()>) -> Option<Span> {
    let from = u32::try_from(glance.at).ok()?;
    look(glance)?;
    Some(Span(from, u32::try_from(glance.at).ok()?))
}

impl Glance<'_> {
    /// One object, and white space before it. `each` gets the place of every key and of its value.
    fn members(&mut self, mut each: impl FnMut(Span, Span) -> Option<()>) -> Option<()> {
        self.next()?;
        self.eat(b'{')?;
        if self.next()? == b'}' {
            return self.eat(b'}');
        }
        loop {
            self.next()?;
            let key = span(self, Glance::string)?;
            self.next()?;
            self.eat(b':')?;
            self.next()?;
            each(key, span(self, Glance::value)?)?;
            self.next()?;
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
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
            let array = format!("[\"a\", {text} ]");
            let event = PlainEvent::of(&array);
            prop_assert!(event.as_ref().is_none_or(|event| event.name(&array) == Some("a")));
            let members = event.as_ref().and_then(|event| event.members(&array));
            prop_assert_eq!(&members, &plain_members(&text));
            if let Some(members) = members {
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

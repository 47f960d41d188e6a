//! What counts as JSON data: exactly one value that every common parser reads, on one line.
//!
//! The grammar alone lets through what parsers then refuse (`1e999`, a lone surrogate, nesting without end), and an
//! entry is worth nothing if its reader cannot parse the line. So this reads values as a parser does, and keeps none.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json_plain::is_plain;
use crate::limits::DATA_DEPTH_MAX;

/// `raw` as JSON on one line; an error that says where it is not JSON.
///
/// Half a surrogate pair (`"\ud83d"`, a text that was cut inside an emoji) has no UTF-8 form and becomes U+FFFD, as
/// invalid UTF-8 does elsewhere.
pub(crate) fn checked_json(raw: Bytes) -> Result<Bytes, serde_json::Error> {
    let text = std::str::from_utf8(&raw).map_err(serde_json::Error::custom)?;
    if is_plain(text) {
        return Ok(one_line(raw));
    }
    match check(text) {
        Ok(()) => Ok(one_line(raw)),
        Err(error) => match without_lone_surrogates(&raw) {
            Some(mended) if std::str::from_utf8(&mended).is_ok_and(|text| check(text).is_ok()) => {
                Ok(one_line(mended))
            }
            _ => Err(error),
        },
    }
}

/// Whether a parser takes it.
#[cfg(test)]
pub(super) fn parses(text: &str) -> bool {
    check(text).is_ok()
}

fn check(text: &str) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(text);
    Nested(DATA_DEPTH_MAX).deserialize(&mut parser)?;
    parser.end()
}

/// In JSON a raw line break can only stand between tokens (RFC 8259, section 2), so a space says the same.
pub(super) fn one_line(raw: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &raw).is_none() {
        return raw;
    }
    raw.iter()
        .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b })
        .collect()
}

/// `raw` with `\ufffd` for each escaped surrogate that is no half of a pair; `None` if there is none.
fn without_lone_surrogates(raw: &[u8]) -> Option<Bytes> {
    let mut mended = None;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', raw.get(at..)?) {
        at += found;
        match (unit(raw, at), unit(raw, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.get_or_insert_with(|| raw.to_vec())[at..at + 6].copy_from_slice(br"\ufffd");
                at += 6;
            }
            _ => at += 2,
        }
    }
    mended.map(Bytes::from)
}

/// The UTF-16 code unit that is escaped at `at`.
fn unit(raw: &[u8], at: usize) -> Option<u16> {
    let digits = raw.get(at..at + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Reads one value with at most so many containers in one another, and forgets it.
struct Nested(usize);

impl Nested {
    fn inner<E: Error>(self) -> Result<usize, E> {
        let too_deep = || E::custom(format_args!("nested more than {DATA_DEPTH_MAX} levels deep"));
        self.0.checked_sub(1).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.inner()?;
        while items.next_element_seed(Nested(depth))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<(), A::Error> {
        let depth = self.inner()?;
        while pairs.next_key_seed(Nested(depth))?.is_some() {
            pairs.next_value_seed(Nested(depth))?;
        }
        Ok(())
    }
}

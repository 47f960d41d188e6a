//! Numbers with units as people write them: `"15m"`, `"64KiB"`, `"none"`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error, Visitor};
use shared::time::parse_duration;

/// A duration such as `"15s"` or `"1h30m"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(|_| D::Error::custom(not_a_duration(&text)))
}

/// A number of bytes: `"64KiB"`, `"1MB"`, `"512"` or a plain integer.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = usize;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as \"64KiB\"")
        }
        fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
            usize::try_from(number).map_err(|_| E::custom("a size cannot be negative"))
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
            let wrong = || {
                E::custom(format!(
                    "{text:?} is not a size: expected a number of bytes such as \"64KiB\""
                ))
            };
            parse_bytes(text).ok_or_else(wrong)
        }
    }
    deserializer.deserialize_any(Bytes)
}

fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: usize = text.get(..digits)?.parse().ok()?;
    let factor = match text.get(digits..)?.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A duration, or `"none"` for no bound.
pub(super) fn duration_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(d)?;
    if text == "none" {
        return Ok(None);
    }
    let duration = parse_duration(&text).map_err(|_| D::Error::custom(not_a_duration(&text)))?;
    Ok(Some(duration))
}

/// A count, or `"none"` for no bound.
pub(super) fn count_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Count;
    impl Visitor<'_> for Count {
        type Value = Option<u64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, or \"none\"")
        }
        fn visit_i64<E: Error>(self, number: i64) -> Result<Option<u64>, E> {
            u64::try_from(number)
                .map(Some)
                .map_err(|_| E::custom("expected a number that is not negative"))
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Option<u64>, E> {
            match text {
                "none" => Ok(None),
                _ => Err(E::custom(format!(
                    "{text:?}: expected a whole number, or \"none\""
                ))),
            }
        }
    }
    deserializer.deserialize_any(Count)
}

fn not_a_duration(text: &str) -> String {
    format!("{text:?} is not a duration: expected such as \"500ms\", \"15s\", \"10m\" or \"7d\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64KiB", Some(65_536)),
            ("64 kib", Some(65_536)),
            ("1MB", Some(1_000_000)),
            ("2g", Some(2 << 30)),
            ("", None),
            ("KiB", None),
            ("-1", None),
            ("1.5MB", None),
            ("1 parsec", None),
            ("99999999999999999999", None),
            ("99999999999999999GiB", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }
}

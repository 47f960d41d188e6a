//! Numbers with units as people write them: `"15m"`, `"64KiB"`, `"none"`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize as _, Serialize as _, Serializer};
use shared::time::parse_duration;

/// Without bound.
const NONE: &str = "none";

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
    if text == NONE {
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
                NONE => Ok(None),
                _ => Err(E::custom(format!(
                    "{text:?}: expected a whole number, or \"none\""
                ))),
            }
        }
    }
    deserializer.deserialize_any(Count)
}

pub(super) fn write_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    show_duration(*duration).serialize(serializer)
}

pub(super) fn write_bytes<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    show_bytes(*bytes).serialize(serializer)
}

pub(super) fn write_duration_or_none<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => write_duration(duration, serializer),
        None => NONE.serialize(serializer),
    }
}

pub(super) fn write_count_or_none<S: Serializer>(
    count: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match count {
        Some(count) => count.serialize(serializer),
        None => NONE.serialize(serializer),
    }
}

/// The largest units first: `1h30m`. What is shorter than a millisecond cannot be written.
fn show_duration(duration: Duration) -> String {
    const UNITS: [(&str, u128); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = duration.as_millis();
    let mut shown = String::new();
    for (unit, ms) in UNITS {
        if rest >= ms {
            shown.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    match shown.is_empty() {
        true => "0s".to_owned(),
        false => shown,
    }
}

/// In the largest unit of which it is a whole number.
fn show_bytes(bytes: usize) -> String {
    const UNITS: [(&str, usize); 6] = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("KB", 1_000),
    ];
    let fits = |(_, size): &&(&str, usize)| bytes > 0 && bytes.is_multiple_of(*size);
    match UNITS.iter().find(fits) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
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

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for (bytes, shown) in [
            (0, "0"),
            (1, "1"),
            (65_536, "64KiB"),
            (1_000_000, "1MB"),
            (64_000, "64KB"),
            (1 << 30, "1GiB"),
            (usize::MAX, "18446744073709551615"),
        ] {
            assert_eq!(show_bytes(bytes), shown);
            assert_eq!(parse_bytes(shown), Some(bytes));
        }
        for (ms, shown) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1s500ms"),
            (15_000, "15s"),
            (5_400_000, "1h30m"),
            (7 * 86_400_000, "7d"),
        ] {
            let duration = Duration::from_millis(ms);
            assert_eq!(show_duration(duration), shown);
            assert_eq!(parse_duration(shown), Ok(duration));
        }
    }
}

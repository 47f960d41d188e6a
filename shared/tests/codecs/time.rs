//! Times and durations as texts.

use std::time::Duration;

use proptest::prelude::*;
use shared::time::{TimeError, now_ms, parse_duration, parse_since, push_rfc3339};

use crate::strategies::number;

/// 9999-12-30T22:00:00Z, the last whole second that is a time in every zone.
const LAST_MS: u64 = 253_402_207_200_000;

fn printed(ms: u64) -> Option<String> {
    let mut out = b"x".to_vec();
    let done = push_rfc3339(&mut out, ms);
    assert!(done || out == b"x");
    done.then(|| String::from_utf8(out[1..].to_vec()).unwrap())
}

#[test]
fn times_are_written_in_milliseconds() {
    assert_eq!(printed(0).unwrap(), "1970-01-01T00:00:00.000Z");
    assert_eq!(printed(1_767_323_045_678).unwrap(), "2026-01-02T03:04:05.678Z");
    assert_eq!(printed(LAST_MS).unwrap(), "9999-12-30T22:00:00.000Z");
    for ms in [LAST_MS + 1_000, i64::MAX as u64, u64::MAX] {
        assert_eq!(printed(ms), None);
    }
}

#[test]
fn since_takes_a_time_or_a_duration() {
    let now = 1_767_323_045_678;
    assert_eq!(parse_since("15m", now), Ok(now - 900_000));
    assert_eq!(parse_since("0s", now), Ok(now));
    assert_eq!(parse_since("9999999999w", now), Ok(0));
    assert_eq!(parse_since("2026-01-02T03:04:05Z", now), Ok(1_767_323_045_000));
    assert_eq!(parse_since("2026-01-02T05:04:05.678+02:00", now), Ok(now));
    assert_eq!(parse_since("1960-01-01T00:00:00Z", now), Ok(0));
    assert_eq!(parse_since("9999-12-30T22:00:00Z", now), Ok(LAST_MS));
    let end = LAST_MS + 26 * 3_600_000;
    assert_eq!(parse_since("9999-12-31T23:59:59.999Z", now), Ok(end - 1));
    assert_eq!(
        parse_since("9999-12-31T23:59:59-12:00", now),
        Ok(end + 12 * 3_600_000 - 1_000)
    );
    assert_eq!(parse_since("0000-01-01T00:00:00+14:00", now), Ok(0));
    for bad in [
        "",
        "yesterday",
        "2026-01-02",
        "2026-13-02T03:04:05Z",
        "2026-01-02T03:04:05",
        "9999-12-31T23:59:59",
        "9999-12-32T00:00:00Z",
        "-15m",
        "15",
    ] {
        assert_eq!(parse_since(bad, now), Err(TimeError), "{bad:?}");
    }
}

#[test]
fn durations_are_whole_numbers_with_units() {
    for (text, ms) in [
        ("0ms", 0),
        ("250ms", 250),
        ("90s", 90_000),
        ("15m", 900_000),
        ("2min", 120_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for bad in [
        "",
        "5",
        "m",
        "5 m",
        "5x",
        "1.5h",
        "-1s",
        "+1s",
        "1h30",
        "٣s",
        "5M",
        "18446744073709551615w",
        "99999999999999999999s",
    ] {
        assert_eq!(parse_duration(bad), Err(TimeError), "{bad:?}");
    }
}

#[test]
fn now_is_after_this_was_written() {
    assert!(now_ms() > 1_700_000_000_000);
}

proptest! {
    #[test]
    fn times_are_read_back(ms in 0..LAST_MS) {
        prop_assert_eq!(parse_since(&printed(ms).unwrap(), 0), Ok(ms));
    }

    #[test]
    fn any_number_of_milliseconds_is_a_time_or_none(ms in number()) {
        prop_assert_eq!(printed(ms).is_some(), ms < LAST_MS + 1_000);
    }

    #[test]
    fn durations_add_up(parts in proptest::collection::vec((0..100_000u64, 0..6usize), 1..6)) {
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
        let text: String = parts.iter().map(|(n, unit)| format!("{n}{}", units[*unit].0)).collect();
        let ms = parts.iter().map(|(n, unit)| n * units[*unit].1).sum();
        prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis(ms)));
    }

    #[test]
    fn any_text_is_a_time_or_refused(text in "[0-9a-zT:.Z+-]{0,30}|\\PC{0,12}", now in number()) {
        if let Ok(ms) = parse_since(&text, now) {
            prop_assert!(ms <= now.max(LAST_MS + 999));
        }
    }
}

//! Times as texts: RFC 3339 in and out, and durations such as `15m`.

use std::cell::Cell;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::{DateTimePrinter, Pieces};

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// Appends `ms` (milliseconds since the Unix epoch) to `out` as RFC 3339 in UTC with milliseconds, such as
/// `2026-01-02T03:04:05.678Z`. Returns `false` and appends nothing where RFC 3339 has no such year (an entry ID
/// that is not a time).
pub fn push_rfc3339(out: &mut Vec<u8>, ms: u64) -> bool {
    let Some(time) = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
    else {
        return false;
    };
    // Entries that are written one after the other are mostly of the same second.
    thread_local! {
        static SECOND: Cell<(u64, [u8; SECOND_BYTES])> = const { Cell::new((u64::MAX, [0; SECOND_BYTES])) };
    }
    let (second, text) = SECOND.get();
    if second == ms / 1_000 {
        out.extend_from_slice(&text);
        let digits = |number: u64| b'0' + (number % 10) as u8;
        out.extend_from_slice(&[b'.', digits(ms / 100), digits(ms / 10), digits(ms), b'Z']);
        return true;
    }
    let start = out.len();
    if PRINTER.print_timestamp(&time, &mut *out).is_err() {
        out.truncate(start);
        return false;
    }
    if let (Some(text), Some(b'.')) = (out[start..].first_chunk(), out.get(start + SECOND_BYTES)) {
        SECOND.set((ms / 1_000, *text));
    }
    true
}

/// Bytes of `2026-01-02T03:04:05`.
const SECOND_BYTES: usize = 19;

/// Reads an RFC 3339 time (`2026-01-02T03:04:05Z`) or a duration before `now_ms` (`15m`, `1h30m`, `2d`).
///
/// Returns milliseconds since the Unix epoch.
pub fn parse_since(text: &str, now_ms: u64) -> Result<u64, TimeError> {
    if let Ok(duration) = parse_duration(text) {
        return Ok(now_ms.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)));
    }
    let ms = match text.parse::<Timestamp>() {
        Ok(time) => i128::from(time.as_millisecond()),
        Err(_) => far_ms(text).ok_or(TimeError)?,
    };
    Ok(u64::try_from(ms).unwrap_or(0))
}

/// The last hours of the year 9999 and the first of the year 0 are times by RFC 3339, but no timestamps: those have to
/// be times in every zone. Milliseconds since the Unix epoch.
fn far_ms(text: &str) -> Option<i128> {
    let pieces = Pieces::parse(text).ok()?;
    let (time, offset) = (pieces.time()?, pieces.to_numeric_offset()?);
    let since_epoch = pieces
        .date()
        .to_datetime(time)
        .duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(since_epoch.as_millis() - i128::from(offset.seconds()) * 1_000)
}

/// Reads a duration: whole numbers with units (`ms`, `s`, `m` or `min`, `h`, `d`, `w`), one after the other: `90s`, `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(TimeError);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(TimeError)?;
        let number: u64 = rest[..digits].parse().map_err(|_| TimeError)?;
        let tail = &rest[digits..];
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let ms_per_unit: u64 = match &tail[..unit_len] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(TimeError),
        };
        let part = number.checked_mul(ms_per_unit).ok_or(TimeError)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or(TimeError)?;
        rest = &tail[unit_len..];
    }
    Ok(total)
}

/// Milliseconds since the Unix epoch by this machine's clock.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The text is neither a time nor a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected RFC 3339 such as 2026-01-02T03:04:05Z, or a duration such as 15m, 2h or 7d")]
pub struct TimeError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever was written before it, a time is what the printer makes of it.
        #[test]
        fn the_second_that_is_kept_is_the_right_one(
            times in prop::collection::vec((prop::sample::select(vec![0, 951_782_400_000, 1_700_000_000_000, 253_402_300_799_000, 1 << 60]), 0u64..2_500), 1..40),
        ) {
            for (base, offset) in times {
                let ms: u64 = base + offset;
                let mut expected = Vec::new();
                let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
                let printed = time.is_some_and(|time| PRINTER.print_timestamp(&time, &mut expected).is_ok());
                let mut out = b"before ".to_vec();
                prop_assert_eq!(push_rfc3339(&mut out, ms), printed);
                prop_assert_eq!(&out[7..], &expected[..]);
            }
        }
    }
}

//! The data of an event: 200 bytes of JSON that say when it was to be sent and which one it is.

/// Bytes of the data.
pub const BYTES: usize = 200;

const BEGIN: &[u8] = br#"{"due":""#;
const DUE_DIGITS: usize = 16;
const MIDDLE: &[u8] = br#"","n":""#;
const NUMBER_DIGITS: usize = 10;
const REST: &[u8] = br#"","note":""#;

/// What the data say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When the event was to be sent: microseconds of [`super::clock`].
    pub due_us: u64,
    /// Its number among all events of the run, from 0.
    pub number: u64,
}

/// Appends the data to `out`.
pub fn write(out: &mut Vec<u8>, stamp: Stamp) {
    let end = out.len() + BYTES;
    out.extend_from_slice(BEGIN);
    write_digits::<DUE_DIGITS>(out, stamp.due_us);
    out.extend_from_slice(MIDDLE);
    write_digits::<NUMBER_DIGITS>(out, stamp.number);
    out.extend_from_slice(REST);
    out.resize(end - 2, b'x');
    out.extend_from_slice(b"\"}");
}

/// Finds the data in a message and reads them. `place` is where they were in the last message of the connection, and are
/// looked for first; it is put right.
pub fn read(message: &[u8], place: &mut usize) -> Option<Stamp> {
    if !message.get(*place..).is_some_and(|rest| rest.starts_with(BEGIN)) {
        *place = memchr::memmem::find(message, BEGIN)?;
    }
    let rest = &message[*place + BEGIN.len()..];
    let (due, rest) = rest.split_at_checked(DUE_DIGITS)?;
    let (number, _) = rest.strip_prefix(MIDDLE)?.split_at_checked(NUMBER_DIGITS)?;
    Some(Stamp {
        due_us: read_digits(due)?,
        number: read_digits(number)?,
    })
}

fn write_digits<const DIGITS: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

fn read_digits(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_wherever_it_stands() {
        let mut place = 0;
        for (before, due_us, number) in [
            ("", 0, 0),
            ("42[\"message\",", 1_234_567, 9_999_999_999),
            ("x", 7, 8),
        ] {
            let stamp = Stamp { due_us, number };
            let mut message = before.as_bytes().to_vec();
            write(&mut message, stamp);
            assert_eq!(message.len(), before.len() + BYTES);
            let json: serde_json::Value = serde_json::from_slice(&message[before.len()..]).unwrap();
            assert_eq!(json["n"].as_str().unwrap().parse(), Ok(number));
            for _ in 0..2 {
                assert_eq!(read(&message, &mut place), Some(stamp));
                assert_eq!(place, before.len());
            }
            message[before.len() + BEGIN.len()] = b'-';
            assert_eq!(read(&message, &mut place), None);
            assert_eq!(read(&message[..before.len() + 30], &mut place), None);
        }
        assert_eq!(read(b"something else", &mut place), None);
    }
}

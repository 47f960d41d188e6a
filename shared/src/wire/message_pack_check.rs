//! What counts as MessagePack data: exactly one value, nested no deeper than JSON may be. Checked in place, without
//! building the value: a megabyte of it can be tens of megabytes in memory.

use crate::limits::DATA_DEPTH_MAX;

/// Whether `raw` is exactly one MessagePack value, nested at most [`DATA_DEPTH_MAX`] deep.
pub fn valid_message_pack(raw: &[u8]) -> bool {
    after_value(raw, DATA_DEPTH_MAX).is_some_and(<[u8]>::is_empty)
}

/// What follows the value at the start of `raw`, by the first byte's format (MessagePack specification, "Formats").
fn after_value(raw: &[u8], depth: usize) -> Option<&[u8]> {
    let (&format, rest) = raw.split_first()?;
    match format {
        // Small integers, nil, false, true.
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Some(rest),
        0xc1 => None,
        // Small maps, arrays and strings.
        0x80..=0x8f => after_values(rest, 2 * u64::from(format & 0x0f), depth),
        0x90..=0x9f => after_values(rest, u64::from(format & 0x0f), depth),
        0xa0..=0xbf => after_bytes(rest, u64::from(format & 0x1f)),
        // Integers and floats.
        0xcc | 0xd0 => after_bytes(rest, 1),
        0xcd | 0xd1 => after_bytes(rest, 2),
        0xca | 0xce | 0xd2 => after_bytes(rest, 4),
        0xcb | 0xcf | 0xd3 => after_bytes(rest, 8),
        // Extensions of 1 to 16 bytes, after a byte for their type.
        0xd4..=0xd8 => after_bytes(rest, 1 + (1 << (format - 0xd4))),
        // Binary, strings, extensions, arrays and maps that state their length.
        0xc4 | 0xd9 => length::<1>(rest).and_then(|(count, rest)| after_bytes(rest, count)),
        0xc5 | 0xda => length::<2>(rest).and_then(|(count, rest)| after_bytes(rest, count)),
        0xc6 | 0xdb => length::<4>(rest).and_then(|(count, rest)| after_bytes(rest, count)),
        0xc7 => length::<1>(rest).and_then(|(count, rest)| after_bytes(rest, 1 + count)),
        0xc8 => length::<2>(rest).and_then(|(count, rest)| after_bytes(rest, 1 + count)),
        0xc9 => length::<4>(rest).and_then(|(count, rest)| after_bytes(rest, 1 + count)),
        0xdc => length::<2>(rest).and_then(|(count, rest)| after_values(rest, count, depth)),
        0xdd => length::<4>(rest).and_then(|(count, rest)| after_values(rest, count, depth)),
        0xde => length::<2>(rest).and_then(|(count, rest)| after_values(rest, 2 * count, depth)),
        0xdf => length::<4>(rest).and_then(|(count, rest)| after_values(rest, 2 * count, depth)),
    }
}

/// What follows `count` values inside a container.
fn after_values(mut raw: &[u8], count: u64, depth: usize) -> Option<&[u8]> {
    let depth = depth.checked_sub(1)?;
    for _ in 0..count {
        raw = after_value(raw, depth)?;
    }
    Some(raw)
}

fn after_bytes(raw: &[u8], count: u64) -> Option<&[u8]> {
    raw.get(usize::try_from(count).ok()?..)
}

/// A big-endian length of `N` bytes, and what follows it.
fn length<const N: usize>(raw: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = raw.split_first_chunk::<N>()?;
    let count = digits.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Some((count, rest))
}

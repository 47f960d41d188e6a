//! Hash slots of a Redis Cluster (Redis Cluster specification, "Key distribution model" and "Hash tags").

use crc::{CRC_16_XMODEM, Crc, Table};

/// How many slots there are.
pub(super) const SLOTS: u16 = 16_384;

const CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// The slot of a key.
pub(super) fn of(key: &[u8]) -> u16 {
    CRC.checksum(hashed(key)) % SLOTS
}

/// The part of a key that is hashed: what stands in its first braces, if anything does.
fn hashed(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = memchr::memchr(b'{', key)?;
        let rest = &key[open + 1..];
        let close = memchr::memchr(b'}', rest)?;
        (close > 0).then(|| &rest[..close])
    };
    tag().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification, and what `CLUSTER KEYSLOT` of Redis 7.0 says of some others.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(CRC.checksum(b"123456789"), 0x31C3);
        for (key, slot) in [("foo", 12_182), ("bar", 5_061), ("", 0), ("weir:{doc:1}", 5_105)] {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(of(b"{user1000}.following"), of(b"{user1000}.followers"));
        assert_eq!(hashed(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hashed(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hashed(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hashed(b"foo}bar{"), b"foo}bar{");
    }
}

//! Replies as they come in (RESP, <https://redis.io/docs/latest/develop/reference/protocol-spec/>): where they end, and
//! the entries in them, read where they lie. Everything that is not a list of entries is left to the client library.

use memchr::memchr;
use redis::Value;
use shared::EntryId;
use smallvec::SmallVec;

use super::super::fault::Fault;

/// Bytes of a line at the most; lines hold lengths, numbers and short texts.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Field names and values of an entry, in the order in which they are stored.
pub(in crate::redis) type Fields<'a> = [(&'a [u8], &'a [u8])];

/// Finds where replies end, while they come in.
#[derive(Debug)]
pub(super) struct Scan {
    at: usize,
    /// Values that are still to come.
    open: u64,
}

impl Scan {
    /// For so many replies.
    pub(super) fn new(replies: usize) -> Self {
        Self {
            at: 0,
            open: replies as u64,
        }
    }

    /// Looks on, in all that has come in so far. Returns where the last reply ends; `None` if more must come.
    pub(super) fn advance(&mut self, received: &[u8]) -> Result<Option<usize>, Fault> {
        while self.open > 0 {
            let Some((kind, rest, mut next)) = line(received, self.at) else {
                let endless = received.len() - self.at > LINE_BYTES_MAX;
                return if endless { Err(Fault::Malformed) } else { Ok(None) };
            };
            let inside = match kind {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => 0,
                b'$' | b'=' | b'!' => {
                    if let Some(len) = length(rest)? {
                        next = next
                            .checked_add(len)
                            .and_then(|end| end.checked_add(2))
                            .ok_or(Fault::Malformed)?;
                        if next > received.len() {
                            return Ok(None);
                        }
                    }
                    0
                }
                b'*' | b'~' => length(rest)?.unwrap_or(0),
                b'%' => length(rest)?
                    .unwrap_or(0)
                    .checked_mul(2)
                    .ok_or(Fault::Malformed)?,
                _ => return Err(Fault::Malformed),
            };
            self.at = next;
            self.open = (self.open - 1)
                .checked_add(inside as u64)
                .ok_or(Fault::Malformed)?;
        }
        Ok(Some(self.at))
    }
}

/// All replies, whatever they are.
pub(in crate::redis) fn values(replies: &[u8]) -> Result<Vec<Value>, Fault> {
    let (mut values, mut rest) = (Vec::new(), replies);
    while !rest.is_empty() {
        let (one, after) = first_of(rest)?;
        values.push(value(one)?);
        rest = after;
    }
    Ok(values)
}

/// One reply, whatever it is.
pub(in crate::redis) fn value(reply: &[u8]) -> Result<Value, Fault> {
    redis::parse_redis_value(reply).map_err(|_| Fault::Malformed)
}

/// The replies to a transaction of two commands, from that to `MULTI` to that to `EXEC`: the reply to the first
/// command, and that to the second as it stands. `None` if they are anything else.
pub(in crate::redis) fn of_two(replies: &[u8]) -> Option<(&[u8], &[u8])> {
    let executed = replies.strip_prefix(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n")?;
    first_of(executed).ok()
}

/// Calls `each` with every entry of a list as `XRANGE` answers with it; `None` if it is no list.
pub(in crate::redis) fn entries<T>(
    list: &[u8],
    mut each: impl FnMut(EntryId, &Fields<'_>) -> T,
) -> Option<Vec<T>> {
    let mut at = Reader { bytes: list, at: 0 };
    let count = at.array()?;
    // An entry has 16 bytes at the least.
    let mut entries = Vec::with_capacity(count.min(list.len() / 16));
    for _ in 0..count {
        if at.array()? != 2 {
            return None;
        }
        let id = EntryId::from_bytes(at.bulk()?).ok()?;
        let fields = at.array()?;
        let mut pairs: SmallVec<[(&[u8], &[u8]); 8]> = SmallVec::new();
        for _ in 0..fields / 2 {
            pairs.push((at.bulk()?, at.bulk()?));
        }
        entries.push(each(id, &pairs));
    }
    Some(entries)
}

/// What was done for a batch of appends, as the replies to its transaction say it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::redis) struct Appended {
    /// The IDs that were given.
    pub(in crate::redis) ids: Vec<EntryId>,
    /// How many entries were ever added to the stream.
    pub(in crate::redis) added: u64,
}

/// The replies to a transaction that begins with so many `XADD`s and an `XINFO STREAM`, from that to `MULTI` to that to
/// `EXEC`. `None` if they are not all as they should be.
pub(in crate::redis) fn of_appends(replies: &[u8], entries: usize) -> Option<Appended> {
    let mut executed = replies.strip_prefix(b"+OK\r\n")?;
    while let Some(rest) = executed.strip_prefix(b"+QUEUED\r\n") {
        executed = rest;
    }
    let mut at = Reader {
        bytes: executed,
        at: 0,
    };
    if at.array()? <= entries {
        return None;
    }
    let mut ids = Vec::with_capacity(entries);
    for _ in 0..entries {
        ids.push(EntryId::from_bytes(at.bulk()?).ok()?);
    }
    for _ in 0..at.header(b'%')? {
        let name = at.bulk()?;
        if name == b"entries-added" {
            let added = at.count()?;
            return Some(Appended { ids, added });
        }
        at.skip()?;
    }
    None
}

/// Reads on from a place in complete replies.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Passes over a number or a string.
    fn skip(&mut self) -> Option<()> {
        match self.bytes.get(self.at)? {
            b':' | b'+' => self.at = line(self.bytes, self.at)?.2,
            _ => _ = self.bulk()?,
        }
        Some(())
    }

    /// A number from zero on.
    fn count(&mut self) -> Option<u64> {
        let (kind, digits, next) = line(self.bytes, self.at)?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok();
        self.at = next;
        number.filter(|_| kind == b':')
    }

    fn array(&mut self) -> Option<usize> {
        self.header(b'*')
    }

    fn bulk(&mut self) -> Option<&'a [u8]> {
        let len = self.header(b'$')?;
        let value = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len + 2;
        Some(value)
    }

    fn header(&mut self, wanted: u8) -> Option<usize> {
        let (kind, rest, next) = line(self.bytes, self.at)?;
        let length = length(rest).ok().flatten().filter(|_| kind == wanted)?;
        self.at = next;
        Some(length)
    }
}

/// The first of complete replies, and the others.
fn first_of(replies: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let end = Scan::new(1).advance(replies)?.ok_or(Fault::Malformed)?;
    Ok(replies.split_at(end))
}

/// The line at `at`: its first byte, the rest, and where the next one begins. `None` if it is not complete.
fn line(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let from = bytes.get(at..)?;
    let end = memchr(b'\n', from)?;
    let (kind, rest) = from[..end].split_first().unwrap_or((&0, b""));
    Some((*kind, rest.strip_suffix(b"\r").unwrap_or(rest), at + end + 1))
}

/// A length; `None` for the absence of a value.
fn length(digits: &[u8]) -> Result<Option<usize>, Fault> {
    if digits == b"-1" {
        return Ok(None);
    }
    if digits.is_empty() || digits.len() > 10 {
        return Err(Fault::Malformed);
    }
    let number = digits.iter().try_fold(0usize, |sum, digit| {
        let value = digit.wrapping_sub(b'0');
        (value < 10)
            .then(|| sum * 10 + usize::from(value))
            .ok_or(Fault::Malformed)
    });
    number.map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::parse::{self, RawEntry};
    use super::*;

    fn bulk(out: &mut Vec<u8>, value: &[u8]) {
        out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn list(entries: &[(EntryId, Pairs)]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", entries.len()).into_bytes();
        for (id, fields) in entries {
            out.extend_from_slice(b"*2\r\n");
            bulk(&mut out, id.to_string().as_bytes());
            out.extend_from_slice(format!("*{}\r\n", 2 * fields.len()).as_bytes());
            for (name, value) in fields {
                bulk(&mut out, name);
                bulk(&mut out, value);
            }
        }
        out
    }

    fn any_list() -> impl Strategy<Value = Vec<u8>> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
        let id = (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| EntryId::new(ms, seq));
        let entry = (id, proptest::collection::vec((bytes(), bytes()), 0..12));
        proptest::collection::vec(entry, 0..6).prop_map(|entries| list(&entries))
    }

    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let others = [
            "+OK\r\n",
            "-ERR no such key\r\n",
            ":-7\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n$1\r\n\n\r\n",
            "=7\r\ntxt:a\r\n\r\n",
        ];
        prop_oneof![
            any_list(),
            proptest::sample::select(others.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn the_end_is_found_wherever_the_bytes_are_cut(
            replies in proptest::collection::vec(any_reply(), 1..5),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let all = replies.concat();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.index(all.len())).collect();
            cuts.sort_unstable();
            let mut scan = Scan::new(replies.len());
            for cut in cuts {
                prop_assert_eq!(scan.advance(&all[..cut]), Ok(None), "{} of {}", cut, all.len());
            }
            prop_assert_eq!(scan.advance(&all), Ok(Some(all.len())));
            let apart = values(&all).unwrap();
            let expected: Vec<_> = replies.iter().map(|one| redis::parse_redis_value(one).unwrap()).collect();
            prop_assert_eq!(apart, expected);
        }

        #[test]
        fn entries_are_those_that_the_client_library_finds(list in any_list()) {
            let kept = |id: EntryId, fields: &Fields<'_>| RawEntry {
                id,
                fields: fields.iter().map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect(),
            };
            let expected = parse::entries(redis::parse_redis_value(&list).unwrap()).unwrap();
            prop_assert_eq!(entries(&list, kept), Some(expected));
            let transaction = [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n", &list[..]].concat();
            prop_assert_eq!(of_two(&transaction), Some((&b":1\r\n"[..], &list[..])));
        }

        #[test]
        fn nonsense_is_refused_or_waited_for(
            list in any_list(),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = list;
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Ok(Some(end)) = Scan::new(1).advance(&bytes) {
                prop_assert!(end <= bytes.len());
            }
            let _ = entries(&bytes, |id, fields| (id, fields.len()));
            let _ = of_two(&bytes);
        }
    }

    #[test]
    fn lengths_beyond_all_bounds_are_refused() {
        for nonsense in [
            "\r\n",
            "?\r\n",
            "$99999999999\r\n",
            "$x\r\n",
            "*-2\r\n",
            "$\r\n",
            ">1\r\n+x\r\n",
        ] {
            assert_eq!(
                Scan::new(1).advance(nonsense.as_bytes()),
                Err(Fault::Malformed),
                "{nonsense:?}"
            );
        }
        let endless = vec![b'+'; LINE_BYTES_MAX + 1];
        assert_eq!(Scan::new(1).advance(&endless), Err(Fault::Malformed));
        assert_eq!(Scan::new(1).advance(&endless[..100]), Ok(None));
    }
}

//! Replies as they come in (RESP, <https://redis.io/docs/latest/develop/reference/protocol-spec/>): where they end, and
//! the entries in them, read where they lie. Everything that is not a list of entries is left to the client library.

use memchr::memchr;
use redis::Value;
use shared::{EntryId, StreamView};
use smallvec::SmallVec;

use super::super::fault::Fault;
use super::super::parse;

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
    /// Whether the first of them is a push.
    push: bool,
}

impl Scan {
    /// For so many replies.
    pub(super) fn new(replies: usize) -> Self {
        Self {
            at: 0,
            open: replies as u64,
            push: false,
        }
    }

    /// For one push.
    pub(super) fn of_push() -> Self {
        Self {
            push: true,
            ..Self::new(1)
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
                b'>' if std::mem::take(&mut self.push) => length(rest)?.unwrap_or(0),
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
fn value(reply: &[u8]) -> Result<Value, Fault> {
    redis::parse_redis_value(reply).map_err(|_| Fault::Malformed)
}

/// All replies, each as it stands.
pub(in crate::redis) fn all(replies: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let (mut all, mut rest) = (Vec::new(), replies);
    while !rest.is_empty() {
        let (one, after) = first_of(rest)?;
        all.push(one);
        rest = after;
    }
    Ok(all)
}

/// The replies to the commands of a transaction, out of all from that to `MULTI` to that to `EXEC`. If a command was
/// refused before it was queued, nothing was done, and that is the fault.
pub(in crate::redis) fn executed<'a>(replies: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Fault> {
    let (exec, queued) = replies.split_last().ok_or(Fault::Malformed)?;
    let refused = queued.iter().find(|reply| reply.starts_with(b"-"));
    let reply = refused.unwrap_or(exec);
    let mut at = Reader { bytes: reply, at: 0 };
    match at.array() {
        Some(_) => all(&reply[at.at..]),
        None => Err(fault(reply)),
    }
}

/// What an error among the replies means.
fn fault(reply: &[u8]) -> Fault {
    let error = value(reply).and_then(parse::ok);
    error.err().unwrap_or(Fault::Malformed)
}

/// What [`executed`] says of a transaction of two commands.
pub(in crate::redis) fn executed_two(replies: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    // As it is nearly always: then the second, which may be large, is not looked through for its end.
    if let Some(two) = replies.strip_prefix(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n") {
        return first_of(two);
    }
    match executed(&all(replies)?)?[..] {
        [first, second] => Ok((first, second)),
        _ => Err(Fault::Malformed),
    }
}

/// A key, and the list of what was found there.
pub(in crate::redis) type Found<'a> = (&'a [u8], &'a [u8]);

/// The reply to `XREAD`: the streams that have something.
pub(in crate::redis) fn streams(reply: &[u8]) -> Result<Vec<Found<'_>>, Fault> {
    let mut at = Reader { bytes: reply, at: 0 };
    // As RESP2 has it: a list of pairs.
    let map = at.header(b'%');
    let Some(count) = map.or_else(|| at.array()) else {
        return match reply {
            b"_\r\n" | b"*-1\r\n" => Ok(Vec::new()),
            reply => Err(fault(reply)),
        };
    };
    let mut streams = Vec::with_capacity(count.min(reply.len()));
    for _ in 0..count {
        if map.is_none() && at.array() != Some(2) {
            return Err(Fault::Malformed);
        }
        let key = at.bulk().ok_or(Fault::Malformed)?;
        streams.push((key, at.any()?));
    }
    Ok(streams)
}

/// Calls `each` with every entry of a list as `XRANGE` answers with it, whatever its shape.
pub(in crate::redis) fn list<T>(
    list: &[u8],
    mut each: impl FnMut(EntryId, &Fields<'_>) -> T,
) -> Result<Vec<T>, Fault> {
    if let Some(entries) = entries(list, &mut each) {
        return Ok(entries);
    }
    let all = parse::entries(value(list)?)?.into_iter();
    let one = |raw: parse::RawEntry| {
        let fields: Vec<(&[u8], &[u8])> = raw
            .fields
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        each(raw.id, &fields)
    };
    Ok(all.map(one).collect())
}

/// The reply to `XINFO STREAM`; a stream that does not exist is [`StreamView::ABSENT`].
pub(in crate::redis) fn view(reply: &[u8]) -> Result<StreamView, Fault> {
    quick_view(reply).map_or_else(|| parse::view(value(reply)?), Ok)
}

fn quick_view(reply: &[u8]) -> Option<StreamView> {
    let mut at = Reader { bytes: reply, at: 0 };
    let (mut added, mut length, mut last_generated, mut max_deleted) = (None, None, None, None);
    let (mut first, mut recorded_first) = (None, None);
    for _ in 0..at.header(b'%')? {
        match at.bulk()? {
            b"entries-added" => added = Some(at.count()?),
            b"length" => length = Some(at.count()?),
            b"last-generated-id" => last_generated = Some(at.id()?),
            b"max-deleted-entry-id" => max_deleted = Some(at.id()?),
            b"recorded-first-entry-id" => recorded_first = Some(at.id()?),
            b"first-entry" => {
                let entry = at.any().ok()?;
                let mut within = Reader { bytes: entry, at: 0 };
                first = match within.array() {
                    Some(_) => Some(within.id()?),
                    None => None,
                };
            }
            _ => drop(at.any().ok()?),
        }
    }
    let length = length?;
    Some(StreamView {
        added: added?,
        length,
        first: first.or(recorded_first).filter(|_| length > 0),
        last_generated: last_generated?,
        max_deleted: max_deleted?,
    })
}

/// The keys that a push says have changed (`invalidate`); `None`: all of them. Other pushes name none.
pub(in crate::redis) fn invalidated(push: &[u8]) -> Option<Vec<&[u8]>> {
    let mut at = Reader { bytes: push, at: 0 };
    let mut keys = Vec::new();
    if at.header(b'>').is_none() || at.bulk() != Some(b"invalidate") {
        return Some(keys);
    }
    for _ in 0..at.array()? {
        keys.push(at.bulk()?);
    }
    Some(keys)
}

/// Calls `each` with every entry of a list as `XRANGE` answers with it; `None` if it is not of the usual shape.
fn entries<T>(list: &[u8], mut each: impl FnMut(EntryId, &Fields<'_>) -> T) -> Option<Vec<T>> {
    let mut at = Reader { bytes: list, at: 0 };
    let count = at.array()?;
    // An entry has 16 bytes at the least.
    let mut entries = Vec::with_capacity(count.min(list.len() / 16));
    for _ in 0..count {
        if at.array()? != 2 {
            return None;
        }
        let id = at.id()?;
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
        ids.push(at.id()?);
    }
    for _ in 0..at.header(b'%')? {
        let name = at.bulk()?;
        if name == b"entries-added" {
            let added = at.count()?;
            return Some(Appended { ids, added });
        }
        at.any().ok()?;
    }
    None
}

/// Reads on from a place in complete replies.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Whatever comes next, as it stands.
    fn any(&mut self) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.at..).ok_or(Fault::Malformed)?;
        let (one, _) = first_of(rest)?;
        self.at += one.len();
        Ok(one)
    }

    fn id(&mut self) -> Option<EntryId> {
        EntryId::from_bytes(self.bulk()?).ok()
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
            let replies = all(&transaction).unwrap();
            prop_assert_eq!(executed(&replies), Ok(vec![&b":1\r\n"[..], &list[..]]));
            let two = Ok((&b":1\r\n"[..], &list[..]));
            prop_assert_eq!(executed_two(&transaction), two.clone());
            // After `ASKING`.
            let asked = [b"+OK\r\n", &transaction[..]].concat();
            prop_assert_eq!(executed_two(&asked), two);
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
            let _ = super::list(&bytes, |id, fields| (id, fields.len()));
            let _ = (all(&bytes), executed(&[&bytes]), executed_two(&bytes), streams(&bytes), view(&bytes), invalidated(&bytes));
        }
    }

    fn text(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    proptest! {
        /// What is read where it lies is what the client library makes of it.
        #[test]
        fn streams_and_views_are_those_that_the_client_library_finds(
            lists in proptest::collection::vec((any::<u16>(), any_list()), 0..4),
            numbers in proptest::collection::vec(0u64..1 << 50, 8),
            first in proptest::option::of(any_list()),
        ) {
            let mut reply = format!("%{}\r\n", lists.len()).into_bytes();
            for (key, list) in &lists {
                bulk(&mut reply, &key.to_be_bytes());
                reply.extend(list);
            }
            let found = streams(&reply).unwrap();
            let found: Vec<_> = found.into_iter().map(|(key, list)| (key.to_vec(), parse::entries(value(list).unwrap()).unwrap())).collect();
            prop_assert_eq!(found, parse::streams(value(&reply).unwrap()).unwrap());

            let id = |ms: u64, seq: u64| format!("{ms}-{seq}");
            let mut info = b"%7\r\n".to_vec();
            bulk(&mut info, b"length");
            info.extend(format!(":{}\r\n", numbers[0] % 3).bytes());
            for (name, pair) in [("last-generated-id", 1), ("max-deleted-entry-id", 3), ("recorded-first-entry-id", 5)] {
                bulk(&mut info, name.as_bytes());
                bulk(&mut info, id(numbers[pair], numbers[pair + 1]).as_bytes());
            }
            bulk(&mut info, b"entries-added");
            info.extend(format!(":{}\r\n", numbers[7]).bytes());
            bulk(&mut info, b"groups");
            info.extend(b":0\r\n");
            bulk(&mut info, b"first-entry");
            // The first of a list, without what stands before it.
            match first.as_deref().and_then(|list| all(&list[list.iter().position(|b| *b == b'\n').unwrap() + 1..]).unwrap().first().copied()) {
                Some(entry) => info.extend(entry),
                None => info.extend(b"_\r\n"),
            }
            prop_assert!(quick_view(&info).is_some());
            prop_assert_eq!(view(&info), parse::view(value(&info).unwrap()));
        }
    }

    #[test]
    fn errors_and_absences_are_what_they_are() {
        let wrong = text("-WRONGTYPE Operation against a key holding the wrong kind of value\n");
        assert_eq!(streams(&wrong), Err(Fault::WrongType));
        assert_eq!(view(&wrong), Err(Fault::WrongType));
        assert_eq!(view(&text("-ERR no such key\n")), Ok(StreamView::ABSENT));
        assert_eq!(streams(b"_\r\n"), Ok(Vec::new()));
        assert_eq!(streams(b":1\r\n"), Err(Fault::Malformed));
        let pairs = text("*1\n*2\n$1\nk\n*0\n");
        assert_eq!(streams(&pairs), Ok(vec![(&b"k"[..], &b"*0\r\n"[..])]));
        assert_eq!(streams(&text("*1\n*3\n$1\nk\n*0\n*0\n")), Err(Fault::Malformed));
        let refused = text(
            "+OK\n-OOM command not allowed when used memory > 'maxmemory'.\n-EXECABORT Transaction discarded because of previous errors.\n",
        );
        assert_eq!(executed(&all(&refused).unwrap()), Err(Fault::Full));
        let moved = text("+OK\n+QUEUED\n-LOADING Redis is loading the dataset in memory\n");
        assert!(matches!(executed(&all(&moved).unwrap()), Err(Fault::NotNow(_))));
        assert_eq!(executed(&[]), Err(Fault::Malformed));
        // An entry that was deleted while the server took it up has no fields.
        let list = text("*1\n*2\n$3\n5-1\n*-1\n");
        assert_eq!(
            super::list(&list, |id, fields| (id, fields.len())),
            Ok(vec![(EntryId::new(5, 1), 0)])
        );
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

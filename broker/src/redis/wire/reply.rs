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
mod tests;

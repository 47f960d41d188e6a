//! Takes replies apart by hand: no copies of payloads, no maps, and both shapes that a server may use (RESP2 lists
//! pairs one after the other, RESP3 has maps). Knows nothing of connections.

use bytes::Bytes;
use redis::Value;
use shared::{EntryId, StreamView};

use super::fault::Fault;

/// An entry as it stands in a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawEntry {
    /// Its ID.
    pub(super) id: EntryId,
    /// Its fields and values, in the order in which they are stored.
    pub(super) fields: Vec<(Bytes, Bytes)>,
}

/// The reply to `XINFO STREAM`; a stream that does not exist is [`StreamView::ABSENT`].
pub(super) fn view(reply: Value) -> Result<StreamView, Fault> {
    let pairs = match ok(reply) {
        Ok(reply) => pairs(reply)?,
        Err(Fault::NoKey) => return Ok(StreamView::ABSENT),
        Err(fault) => return Err(fault),
    };
    let (mut added, mut length, mut last_generated, mut max_deleted) = (None, None, None, None);
    let (mut first, mut recorded_first) = (None, None);
    for (name, value) in pairs {
        let Value::BulkString(name) = name else {
            return Err(Fault::Malformed);
        };
        match name.as_slice() {
            b"entries-added" => added = Some(count(&value)?),
            b"length" => length = Some(count(&value)?),
            b"last-generated-id" => last_generated = Some(id(&value)?),
            b"max-deleted-entry-id" => max_deleted = Some(id(&value)?),
            b"recorded-first-entry-id" => recorded_first = Some(id(&value)?),
            b"first-entry" => first = first_id(&value)?,
            _ => {}
        }
    }
    let length = length.ok_or(Fault::Malformed)?;
    Ok(StreamView {
        added: added.ok_or(Fault::Malformed)?,
        length,
        first: first.or(recorded_first).filter(|_| length > 0),
        last_generated: last_generated.ok_or(Fault::Malformed)?,
        max_deleted: max_deleted.ok_or(Fault::Malformed)?,
    })
}

/// The reply to `XRANGE` and `XREVRANGE`, or what `XREAD` lists for one stream.
pub(super) fn entries(reply: Value) -> Result<Vec<RawEntry>, Fault> {
    array(reply)?.into_iter().map(entry).collect()
}

/// What `XREAD` found in one stream: its key, and the entries.
pub(super) type StreamEntries = (Vec<u8>, Vec<RawEntry>);

/// The reply to `XREAD`: the streams that have something.
pub(super) fn streams(reply: Value) -> Result<Vec<StreamEntries>, Fault> {
    let stream = |(key, list)| match key {
        Value::BulkString(key) => Ok((key, entries(list)?)),
        _ => Err(Fault::Malformed),
    };
    match ok(reply)? {
        Value::Nil => Ok(Vec::new()),
        // RESP2: an array of [key, entries] for each stream.
        Value::Array(streams) => streams
            .into_iter()
            .map(|pair| {
                let [key, list] = exactly(array(pair)?)?;
                stream((key, list))
            })
            .collect(),
        Value::Map(streams) => streams.into_iter().map(stream).collect(),
        _ => Err(Fault::Malformed),
    }
}

/// The replies to the commands of a transaction, out of all replies from `MULTI`'s to `EXEC`'s. If a command was
/// refused before it was queued, nothing was done, and that is the fault.
pub(super) fn executed(mut replies: Vec<Value>) -> Result<Vec<Value>, Fault> {
    let exec = replies.pop().ok_or(Fault::Malformed)?;
    match replies
        .into_iter()
        .find(|reply| matches!(reply, Value::ServerError(_)))
    {
        Some(refused) => array(refused),
        None => array(exec),
    }
}

/// A reply that is an array; an error among the replies is the fault it stands for.
pub(super) fn array(reply: Value) -> Result<Vec<Value>, Fault> {
    match ok(reply)? {
        Value::Array(items) => Ok(items),
        _ => Err(Fault::Malformed),
    }
}

/// A reply that is an entry ID.
pub(super) fn id(value: &Value) -> Result<EntryId, Fault> {
    match value {
        Value::BulkString(text) => EntryId::from_bytes(text).map_err(|_| Fault::Malformed),
        Value::SimpleString(text) => text.parse().map_err(|_| Fault::Malformed),
        Value::ServerError(error) => Err(Fault::of_server(error)),
        _ => Err(Fault::Malformed),
    }
}

/// A reply that is a number from zero on; scripts return large ones as text.
pub(super) fn count(value: &Value) -> Result<u64, Fault> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| Fault::Malformed),
        Value::BulkString(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Fault::Malformed),
        Value::ServerError(error) => Err(Fault::of_server(error)),
        _ => Err(Fault::Malformed),
    }
}

/// A reply that is no error.
pub(super) fn ok(reply: Value) -> Result<Value, Fault> {
    match reply {
        Value::ServerError(error) => Err(Fault::of_server(&error)),
        Value::Attribute { data, .. } => ok(*data),
        reply => Ok(reply),
    }
}

fn entry(value: Value) -> Result<RawEntry, Fault> {
    let [entry_id, fields] = exactly(array(value)?)?;
    let fields = pairs(fields)?
        .into_iter()
        .map(|pair| match pair {
            (Value::BulkString(name), Value::BulkString(value)) => {
                Ok((Bytes::from(name), Bytes::from(value)))
            }
            _ => Err(Fault::Malformed),
        })
        .collect::<Result<_, _>>()?;
    Ok(RawEntry {
        id: id(&entry_id)?,
        fields,
    })
}

/// The ID of `first-entry`, which is nil for a stream without entries.
fn first_id(value: &Value) -> Result<Option<EntryId>, Fault> {
    match value {
        Value::Nil => Ok(None),
        Value::Array(entry) => entry.first().map(id).transpose(),
        _ => Err(Fault::Malformed),
    }
}

/// Names with values: a map, or an array with the two in turn.
fn pairs(value: Value) -> Result<Vec<(Value, Value)>, Fault> {
    match value {
        Value::Map(pairs) => Ok(pairs),
        Value::Array(flat) if flat.len() % 2 == 0 => {
            let mut pairs = Vec::with_capacity(flat.len() / 2);
            let mut flat = flat.into_iter();
            while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
                pairs.push((name, value));
            }
            Ok(pairs)
        }
        // An entry that was deleted while a server took it up in a reply.
        Value::Nil => Ok(Vec::new()),
        _ => Err(Fault::Malformed),
    }
}

/// A list with just so many items.
pub(super) fn exactly<const N: usize>(items: Vec<Value>) -> Result<[Value; N], Fault> {
    items.try_into().map_err(|_| Fault::Malformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Value {
        redis::parse_redis_value(text.replace('\n', "\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn streams_are_read_from_both_protocols() {
        let list = "*1\n*2\n$3\n5-1\n*2\n$1\nd\n$4\ntrue\n";
        let expected = vec![(
            b"k".to_vec(),
            vec![RawEntry {
                id: EntryId::new(5, 1),
                fields: vec![("d".into(), "true".into())],
            }],
        )];
        assert_eq!(
            streams(reply(&format!("*1\n*2\n$1\nk\n{list}"))).unwrap(),
            expected
        );
        assert_eq!(streams(reply(&format!("%1\n$1\nk\n{list}"))).unwrap(), expected);
        assert_eq!(streams(reply("_\n")).unwrap(), vec![]);
        assert_eq!(streams(reply("*-1\n")).unwrap(), vec![]);
    }

    #[test]
    fn a_view_is_read_from_both_protocols() {
        let info = "$6\nlength\n:2\n$17\nlast-generated-id\n$3\n9-0\n$20\nmax-deleted-entry-id\n$3\n4-0\n\
            $13\nentries-added\n:5\n$23\nrecorded-first-entry-id\n$3\n6-0\n$11\nfirst-entry\n\
            *2\n$3\n6-0\n*2\n$1\na\n$1\nb\n";
        let expected = StreamView {
            added: 5,
            length: 2,
            first: Some(EntryId::new(6, 0)),
            last_generated: EntryId::new(9, 0),
            max_deleted: EntryId::new(4, 0),
        };
        assert_eq!(view(reply(&format!("*12\n{info}"))), Ok(expected));
        assert_eq!(view(reply(&format!("%6\n{info}"))), Ok(expected));
        assert_eq!(view(reply("-ERR no such key\n")), Ok(StreamView::ABSENT));
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\n";
        assert_eq!(view(reply(wrong)), Err(Fault::WrongType));
        assert_eq!(view(reply("*2\n$6\nlength\n:2\n")), Err(Fault::Malformed));
    }

    #[test]
    fn an_empty_stream_has_no_first_entry() {
        let info = "%6\n$6\nlength\n:0\n$17\nlast-generated-id\n$3\n9-0\n$20\nmax-deleted-entry-id\n$3\n0-0\n\
            $13\nentries-added\n:5\n$23\nrecorded-first-entry-id\n$3\n0-0\n$11\nfirst-entry\n_\n";
        assert_eq!(view(reply(info)).unwrap().first, None);
    }
}

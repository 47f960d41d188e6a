//! Appends without idempotency keys: one transaction per batch. `XINFO STREAM` in the same transaction gives the
//! exact ordinals, whoever else appends to the stream.

use redis::Value;
use shared::limits::LARGE_ENTRY_BYTES;
use shared::{Cursor, EntryId};

use super::super::fault::Fault;
use super::super::parse;
use super::super::wire::{reply, request};
use super::job::Item;
use super::upkeep::Chores;

/// Writes the commands for a batch. Returns how many replies they get.
pub(super) fn write(out: &mut Vec<u8>, key: &str, items: &[Item], chores: &Chores) -> usize {
    let key = key.as_bytes();
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(request::MULTI);
    // With `EXEC`, and what is told of the stream.
    let mut replies = items.len() + 3;
    for (index, item) in items.iter().enumerate() {
        // One trim per batch is enough, after its last entry.
        let entries_max = chores.entries_max.filter(|_| index + 1 == items.len());
        let trim = if entries_max.is_some() { 3 } else { 0 };
        request::begin(out, 3 + trim + item.field_arguments());
        request::argument(out, b"XADD");
        request::argument(out, key);
        if let Some(entries_max) = entries_max {
            request::argument(out, b"MAXLEN");
            request::argument(out, b"~");
            request::argument(out, number.format(entries_max).as_bytes());
        }
        request::argument(out, b"*");
        item.each_field(|name, value| {
            request::argument(out, name);
            request::argument(out, value);
        });
    }
    write_info(out, key, items);
    if let Some(id) = chores.trim_below {
        let id = id.to_string();
        request::command(out, &[b"XTRIM", key, b"MINID", b"~", id.as_bytes()]);
        replies += 1;
    }
    if let Some(ms) = chores.expiry_ms.filter(|_| chores.expiry_due) {
        write_expiry(out, key, ms);
        replies += 1;
    }
    out.extend_from_slice(request::EXEC);
    replies
}

/// Writes a new expiry alone.
pub(super) fn write_expiry(out: &mut Vec<u8>, key: &[u8], ms: u64) {
    let mut number = itoa::Buffer::new();
    request::command(out, &[b"PEXPIRE", key, number.format(ms).as_bytes()]);
}

/// `XINFO STREAM` lists the first and the last entry as well, `FULL COUNT 1` only the first, but all consumer
/// groups. So large entries decide; a script that returned the numbers alone would cost Redis more than either.
fn write_info(out: &mut Vec<u8>, key: &[u8], items: &[Item]) {
    match large(items) {
        true => request::command(out, &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"1"]),
        false => request::command(out, &[b"XINFO", b"STREAM", key]),
    }
}

/// Whether the entries are so large that a reply should not repeat them.
pub(super) fn large(items: &[Item]) -> bool {
    items
        .last()
        .is_some_and(|item| item.size_bytes() >= LARGE_ENTRY_BYTES)
}

/// What became of a batch.
pub(super) struct Answer {
    /// One for each entry.
    pub(super) cursors: Vec<Result<Cursor, Fault>>,
    /// Whether the stream did not exist before, or had been emptied of its past.
    pub(super) fresh: bool,
    /// The last ID that was given.
    pub(super) newest: Option<EntryId>,
}

/// Takes apart the replies to what [`write`] wrote.
pub(super) fn answer(replies: &[u8], entries: usize) -> Result<Answer, Fault> {
    match reply::of_appends(replies, entries) {
        Some(appended) => Ok(Answer::new(appended.ids.into_iter().map(Ok), Ok(appended.added))),
        None => any_answer(reply::values(replies)?, entries),
    }
}

/// Whatever the replies are.
fn any_answer(replies: Vec<Value>, entries: usize) -> Result<Answer, Fault> {
    let mut replies = parse::executed(replies)?.into_iter();
    let ids: Vec<_> = replies.by_ref().take(entries).map(|id| parse::id(&id)).collect();
    let view = parse::view(replies.next().ok_or(Fault::Malformed)?);
    Ok(Answer::new(ids.into_iter(), view.map(|view| view.added)))
}

impl Answer {
    /// `added`: how many entries were ever added to the stream, these among them.
    fn new(ids: impl DoubleEndedIterator<Item = Result<EntryId, Fault>>, added: Result<u64, Fault>) -> Self {
        let mut after = 0;
        let mut cursors: Vec<_> = ids
            .rev()
            .map(|id| {
                let mut cursor = Cursor::bare(id?);
                if let Ok(added) = added {
                    cursor = Cursor::new(cursor.id, added.saturating_sub(after));
                }
                after += 1;
                Ok(cursor)
            })
            .collect();
        cursors.reverse();
        Self {
            fresh: added.is_ok_and(|added| added <= after),
            newest: cursors.iter().rev().find_map(|c| c.as_ref().ok()).map(|c| c.id),
            cursors,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn replies(exec: Vec<Value>) -> Vec<Value> {
        let mut replies = vec![Value::Okay];
        replies.extend(exec.iter().map(|_| Value::SimpleString("QUEUED".into())));
        replies.push(Value::Array(exec));
        replies
    }

    fn info(added: i64) -> Value {
        let pairs = [
            ("length", Value::Int(2)),
            ("entries-added", Value::Int(added)),
            ("last-generated-id", text("7-1")),
            ("max-deleted-entry-id", text("0-0")),
            ("recorded-first-entry-id", text("7-0")),
        ];
        Value::Map(
            pairs
                .into_iter()
                .map(|(name, value)| (text(name), value))
                .collect(),
        )
    }

    proptest! {
        /// What is read where it lies is what the client library makes of it, and nothing else is taken for it.
        #[test]
        fn the_quick_way_and_the_long_one_agree(
            ids in prop::collection::vec((any::<u64>(), any::<u64>()), 0..12),
            before in 0u64..1 << 40,
            chores in 0usize..3,
            flaw in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let ids: Vec<_> = ids.into_iter().map(|(ms, seq)| EntryId::new(ms, seq)).collect();
            let added = before + ids.len() as u64;
            let mut bytes = b"+OK\r\n".to_vec();
            bytes.extend(b"+QUEUED\r\n".repeat(ids.len() + 1 + chores));
            bytes.extend(format!("*{}\r\n", ids.len() + 1 + chores).bytes());
            for id in &ids {
                let id = id.to_string();
                bytes.extend(format!("${}\r\n{id}\r\n", id.len()).bytes());
            }
            bytes.extend(b"%5\r\n$6\r\nlength\r\n:2\r\n$17\r\nlast-generated-id\r\n$3\r\n7-1\r\n");
            bytes.extend(format!("$13\r\nentries-added\r\n:{added}\r\n").bytes());
            bytes.extend(b"$20\r\nmax-deleted-entry-id\r\n$3\r\n0-0\r\n$6\r\ngroups\r\n:0\r\n");
            bytes.extend(b":1\r\n".repeat(chores));
            let told = |answer: Answer| (answer.cursors, answer.fresh, answer.newest);
            if let Some((place, byte)) = &flaw {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            let long = |bytes: &[u8]| any_answer(reply::values(bytes)?, ids.len()).map(told);
            let quick = reply::of_appends(&bytes, ids.len());
            match flaw {
                None => {
                    prop_assert!(quick.is_some());
                    prop_assert_eq!(answer(&bytes, ids.len()).map(told), long(&bytes));
                }
                // Whatever it makes of it, it does not panic.
                Some(_) => drop(answer(&bytes, ids.len())),
            }
        }
    }

    #[test]
    fn ordinals_count_back_from_the_total() {
        let exec = vec![text("7-0"), text("7-1"), info(40), Value::Int(0)];
        let answer = any_answer(replies(exec), 2).unwrap_or_else(|fault| unreachable!("{fault:?}"));
        let cursor = |seq, ordinal| Ok(Cursor::new(EntryId::new(7, seq), ordinal));
        assert_eq!(answer.cursors, [cursor(0, 39), cursor(1, 40)]);
        assert_eq!((answer.newest, answer.fresh), (Some(EntryId::new(7, 1)), false));
    }

    #[test]
    fn a_stream_that_holds_only_this_batch_is_fresh() {
        let exec = vec![text("7-0"), text("7-1"), info(2)];
        assert!(any_answer(replies(exec), 2).is_ok_and(|answer| answer.fresh));
    }

    #[test]
    fn what_was_not_queued_was_not_done() {
        let refused = |text: &str| redis::parse_redis_value(text.as_bytes()).unwrap_or_default();
        let oom = refused("-OOM command not allowed when used memory > 'maxmemory'.\r\n");
        let abort = refused("-EXECABORT Transaction discarded because of previous errors.\r\n");
        let replies = vec![Value::Okay, oom, Value::SimpleString("QUEUED".into()), abort];
        assert_eq!(any_answer(replies, 1).err(), Some(Fault::Full));
    }
}

//! Appends without idempotency keys: one transaction per batch. `XINFO STREAM` in the same transaction gives the
//! exact ordinals, whoever else appends to the stream.

use redis::{Pipeline, Value, cmd};
use shared::limits::LARGE_ENTRY_BYTES;
use shared::{Cursor, EntryId};

use super::super::fault::Fault;
use super::super::parse;
use super::job::Item;
use super::upkeep::Chores;

/// Adds the commands for a batch, as they go over the wire.
pub(super) fn add_commands(pipeline: &mut Pipeline, key: &str, items: &[Item], chores: &Chores) {
    pipeline.add_command(cmd("MULTI"));
    for (index, item) in items.iter().enumerate() {
        let mut command = redis::Cmd::with_capacity(6 + item.field_arguments(), item.size_bytes() + 64);
        command.arg("XADD").arg(key);
        // One trim per batch is enough, after its last entry.
        if let Some(entries_max) = chores.entries_max
            && index + 1 == items.len()
        {
            command.arg("MAXLEN").arg("~").arg(entries_max);
        }
        command.arg("*");
        item.write_fields(&mut command);
        pipeline.add_command(command);
    }
    pipeline.add_command(info(key, items));
    if let Some(id) = chores.trim_below {
        pipeline.add_command(
            cmd("XTRIM")
                .arg(key)
                .arg("MINID")
                .arg("~")
                .arg(id.to_string())
                .take(),
        );
    }
    if let Some(ms) = chores.expiry_ms.filter(|_| chores.expiry_due) {
        pipeline.add_command(cmd("PEXPIRE").arg(key).arg(ms).take());
    }
    pipeline.add_command(cmd("EXEC"));
}

/// A new expiry alone.
pub(super) fn expiry(key: &str, ms: u64) -> redis::Cmd {
    cmd("PEXPIRE").arg(key).arg(ms).take()
}

/// `XINFO STREAM` lists the first and the last entry as well, `FULL COUNT 1` only the first, but all consumer
/// groups. So large entries decide; a script that returned the numbers alone would cost Redis more than either.
fn info(key: &str, items: &[Item]) -> redis::Cmd {
    let mut command = cmd("XINFO").arg("STREAM").arg(key).take();
    if large(items) {
        command.arg("FULL").arg("COUNT").arg(1);
    }
    command
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

/// Takes apart the replies to [`add_commands`].
pub(super) fn answer(replies: Vec<Value>, entries: usize) -> Result<Answer, Fault> {
    let mut replies = parse::executed(replies)?.into_iter();
    let ids: Vec<_> = replies.by_ref().take(entries).map(|id| parse::id(&id)).collect();
    let view = parse::view(replies.next().ok_or(Fault::Malformed)?);
    let mut after = 0;
    let mut cursors: Vec<_> = ids
        .into_iter()
        .rev()
        .map(|id| {
            let mut cursor = Cursor::bare(id?);
            if let Ok(view) = &view {
                cursor = Cursor::new(cursor.id, view.added.saturating_sub(after));
            }
            after += 1;
            Ok(cursor)
        })
        .collect();
    cursors.reverse();
    Ok(Answer {
        fresh: view.is_ok_and(|view| view.added <= after),
        newest: cursors.iter().rev().find_map(|c| c.as_ref().ok()).map(|c| c.id),
        cursors,
    })
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn ordinals_count_back_from_the_total() {
        let exec = vec![text("7-0"), text("7-1"), info(40), Value::Int(0)];
        let answer = answer(replies(exec), 2).unwrap_or_else(|fault| unreachable!("{fault:?}"));
        let cursor = |seq, ordinal| Ok(Cursor::new(EntryId::new(7, seq), ordinal));
        assert_eq!(answer.cursors, [cursor(0, 39), cursor(1, 40)]);
        assert_eq!((answer.newest, answer.fresh), (Some(EntryId::new(7, 1)), false));
    }

    #[test]
    fn a_stream_that_holds_only_this_batch_is_fresh() {
        let exec = vec![text("7-0"), text("7-1"), info(2)];
        assert!(answer(replies(exec), 2).is_ok_and(|answer| answer.fresh));
    }

    #[test]
    fn what_was_not_queued_was_not_done() {
        let refused = |text: &str| redis::parse_redis_value(text.as_bytes()).unwrap_or_default();
        let oom = refused("-OOM command not allowed when used memory > 'maxmemory'.\r\n");
        let abort = refused("-EXECABORT Transaction discarded because of previous errors.\r\n");
        let replies = vec![Value::Okay, oom, Value::SimpleString("QUEUED".into()), abort];
        assert_eq!(answer(replies, 1).err(), Some(Fault::Full));
    }
}

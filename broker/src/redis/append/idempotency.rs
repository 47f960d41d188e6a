//! Idempotency keys: `weir:{doc:1}:k:KEY` holds `<entry ID> <ordinal>` of the append that used `KEY` first, for as
//! long as the window is. One script appends a batch and sets its keys, so it may be sent again after a lost answer.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script, Value};
use shared::{Cursor, EntryId, StreamName};

use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::parse;
use super::super::wire::reply;
use super::job::Item;
use super::transaction::large;
use super::upkeep::Chores;
use crate::{Appended, IdempotencyKey};

const SCRIPT: &str = include_str!("append.lua");
static SCRIPT_SHA1: LazyLock<String> = LazyLock::new(|| Script::new(SCRIPT).get_hash().to_owned());

/// The key in Redis.
fn redis_key(beside: &str, key: &IdempotencyKey) -> String {
    [beside, "k:", key.as_str()].concat()
}

/// The call of the script for a batch of which each item has a key: for how long keys are remembered, and whether it is
/// waited for what is written to be safe. `whole`: with its text, for a server that does not know it yet.
pub(super) fn command(
    keys: &KeyTemplate,
    stream: &StreamName,
    items: &[Item],
    chores: &Chores,
    (window, waited_for): (Duration, bool),
    whole: bool,
) -> Cmd {
    let bytes: usize = items.iter().map(|item| item.size_bytes() + 300).sum();
    let mut command = Cmd::with_capacity(9 + items.len() * 8, bytes + SCRIPT.len());
    if whole {
        command.arg("EVAL").arg(SCRIPT);
    } else {
        command.arg("EVALSHA").arg(SCRIPT_SHA1.as_str());
    }
    let beside = keys.beside(stream);
    command.arg(items.len() + 1).arg(keys.stream_key(stream));
    for key in items.iter().filter_map(|item| item.key.as_ref()) {
        command.arg(redis_key(&beside, key));
    }
    let or_empty = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
    command
        .arg(u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1))
        .arg(or_empty(chores.entries_max))
        .arg(chores.trim_below.map_or_else(String::new, |id| id.to_string()))
        .arg(or_empty(chores.expiry_ms))
        .arg(if chores.expiry_due { "1" } else { "" })
        .arg(if large(items) { "1" } else { "" })
        .arg(if waited_for { "1" } else { "" });
    for item in items {
        command.arg(item.field_arguments());
        item.each_field(|name, value| {
            command.arg(name).arg(value);
        });
    }
    command
}

/// Takes apart what the script returned; other replies may stand before that.
pub(super) fn answer(replies: &[u8], entries: usize) -> Result<Vec<Appended>, Fault> {
    results(reply::values(replies)?.pop().ok_or(Fault::Malformed)?, entries)
}

fn results(reply: Value, entries: usize) -> Result<Vec<Appended>, Fault> {
    let results = parse::array(reply)?;
    if results.len() != entries {
        return Err(Fault::Malformed);
    }
    results.iter().map(appended).collect()
}

fn appended(result: &Value) -> Result<Appended, Fault> {
    let Value::BulkString(text) = result else {
        return Err(Fault::Malformed);
    };
    let duplicate = match text.first() {
        Some(b'+') => false,
        Some(b'=') => true,
        _ => return Err(Fault::Malformed),
    };
    let cursor = decode(&text[1..]).ok_or(Fault::Malformed)?;
    Ok(Appended { cursor, duplicate })
}

/// The value of an idempotency key.
fn decode(value: &[u8]) -> Option<Cursor> {
    let (id, ordinal) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some(Cursor::new(
        EntryId::from_bytes(id.as_bytes()).ok()?,
        ordinal.parse().ok()?,
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_exactly() {
        let result = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = Value::Array(vec![result("+5-1 9007199254740993"), result("=4-0 1")]);
        let expected = [
            Appended {
                cursor: Cursor::new(EntryId::new(5, 1), 9_007_199_254_740_993),
                duplicate: false,
            },
            Appended {
                cursor: Cursor::new(EntryId::new(4, 0), 1),
                duplicate: true,
            },
        ];
        assert_eq!(results(reply.clone(), 2).unwrap(), expected);
        assert_eq!(results(reply, 3), Err(Fault::Malformed));
        for text in ["", "5-1 2", "+5-1", "+5-1 x", "+x 2"] {
            assert_eq!(
                results(Value::Array(vec![result(text)]), 1),
                Err(Fault::Malformed)
            );
        }
    }
}

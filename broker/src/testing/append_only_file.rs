//! The append-only file of a Redis that was killed.
//!
//! A SIGKILL can strike while Redis writes, so that its file ends within a transaction. If it ends between two commands
//! Redis drops the transaction when it starts. If it ends within a command, Redis 7.0 drops only that command: the
//! beginning of the transaction stays in the file and swallows what is written behind it. At the start after that one
//! it is carried out with the next transaction that is whole, so that entries which nobody ever saw, and which their
//! publisher has sent again, stand below entries that were read long ago; or, if none is, all that follows is lost.
//!
//! Weir tells its readers (`broker/tests/redis_engine/half_transaction.rs`), but a test that compares what was read
//! with what the log holds cannot have that, so it cuts such beginnings off.

use std::io;
use std::path::{Path, PathBuf};

/// Cuts `bytes` from the end of the newest append-only file below `folder`, and then the beginning of a transaction
/// that is not whole. Returns how many bytes that beginning had.
pub(super) fn lose_end(folder: &Path, bytes: u64) -> io::Result<u64> {
    let path = newest(&folder.join("appendonlydir"))?;
    let content = std::fs::read(&path)?;
    let wanted = content
        .len()
        .saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
    let whole = whole_transactions(&content, wanted);
    if whole < content.len() {
        let file = std::fs::File::options().write(true).open(path)?;
        file.set_len(whole as u64)?;
    }
    Ok((wanted - whole) as u64)
}

fn newest(folder: &Path) -> io::Result<PathBuf> {
    let mut newest = None;
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            newest = newest.max(Some(path));
        }
    }
    newest.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Bytes of the commands and whole transactions that fit into the first `wanted` bytes of an append-only file.
fn whole_transactions(content: &[u8], wanted: usize) -> usize {
    let (mut at, mut whole, mut in_transaction) = (0, 0, false);
    while let Some((name, end)) = command(content, at).filter(|(_, end)| *end <= wanted) {
        at = end;
        match name.to_ascii_uppercase().as_slice() {
            b"MULTI" => in_transaction = true,
            b"EXEC" => in_transaction = false,
            _ => {}
        }
        if !in_transaction {
            whole = at;
        }
    }
    whole
}

/// The name of the command that begins at `at`, and where it ends: `*COUNT`, then `$LENGTH` and the bytes of each part.
fn command(content: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let number = |at: usize, sign: u8| -> Option<(usize, usize)> {
        let line = content.get(at..)?;
        let end = line.iter().position(|byte| *byte == b'\n')?;
        let digits = line[..end].strip_prefix(&[sign])?.trim_ascii_end();
        Some((std::str::from_utf8(digits).ok()?.parse().ok()?, at + end + 1))
    };
    let (parts, mut at) = number(at, b'*')?;
    let mut name: Option<&[u8]> = None;
    for _ in 0..parts {
        let (length, begin) = number(at, b'$')?;
        let part = content.get(begin..begin + length)?;
        name = name.or(Some(part));
        at = begin + length + 2;
    }
    (at <= content.len()).then_some((name?, at))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::whole_transactions;

    #[test]
    fn a_file_is_cut_between_transactions() {
        let add = "*2\r\n$4\r\nXADD\r\n$1\r\nx\r\n";
        let file = format!("{add}*1\r\n$5\r\nMULTI\r\n{add}*1\r\n$4\r\nEXEC\r\n{add}");
        let transaction = file.len() - 2 * add.len();
        for wanted in 0..=file.len() {
            let expected = match wanted {
                n if n < add.len() => 0,
                n if n < add.len() + transaction => add.len(),
                n if n < file.len() => add.len() + transaction,
                n => n,
            };
            assert_eq!(whole_transactions(file.as_bytes(), wanted), expected, "{wanted}");
        }
    }
}

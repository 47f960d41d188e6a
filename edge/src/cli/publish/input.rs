//! Reads lines and encodes them, on a thread of its own: standard input may block for ever, and that must keep
//! nothing else from going on or from ending.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd as _;

use bytes::Bytes;
use shared::limits::{PUBLISH_BATCHES_QUEUED_MAX, PUBLISH_FRAME_BYTES, PUBLISH_LINE_BYTES_MAX};
use tokio::sync::mpsc;

use super::encode::{Encoded, Encoder};
use super::window::Line;
use crate::cli::lines::LineAssembler;

/// What was read: lines in order, and what is to be told about others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A line to publish.
    Line {
        /// The line.
        line: Line,
        /// Whether bytes of it had to be replaced.
        repaired: bool,
    },
    /// A line that cannot be published.
    Unfit {
        /// Which one, from 1.
        number: u64,
        /// Why.
        why: String,
    },
    /// Reading failed: this is the end.
    Failed(String),
}

/// Starts to read standard input. The channel ends where the input does; what is read goes into it at once, and when
/// it is full reading waits.
pub(super) fn start(encoder: Encoder) -> io::Result<mpsc::Receiver<Vec<Input>>> {
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (sender, receiver) = mpsc::channel(PUBLISH_BATCHES_QUEUED_MAX);
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read(file, &encoder, |batch| sender.blocking_send(batch).is_ok()))?;
    Ok(receiver)
}

/// Reads to the end, and hands over the lines of each piece that was read until `deliver` says that nobody wants
/// any more.
fn read(mut source: impl Read, encoder: &Encoder, mut deliver: impl FnMut(Vec<Input>) -> bool) {
    let mut lines = LineAssembler::new(PUBLISH_LINE_BYTES_MAX);
    let mut buffer = vec![0; PUBLISH_FRAME_BYTES];
    let mut number = 0;
    loop {
        let mut batch = Vec::new();
        let ended = match source.read(&mut buffer) {
            Ok(0) => {
                if let Some(line) = lines.rest() {
                    batch.extend(take(encoder, &mut number, &line));
                }
                true
            }
            Ok(count) => {
                lines.feed(Bytes::copy_from_slice(&buffer[..count]));
                take_lines(encoder, &mut lines, &mut number, &mut batch);
                false
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => false,
            Err(e) => {
                batch.push(Input::Failed(e.to_string()));
                true
            }
        };
        if (!batch.is_empty() && !deliver(batch)) || ended {
            return;
        }
    }
}

fn take_lines(encoder: &Encoder, lines: &mut LineAssembler, number: &mut u64, batch: &mut Vec<Input>) {
    loop {
        match lines.next_line() {
            Ok(Some(line)) => batch.extend(take(encoder, number, &line)),
            Ok(None) => return,
            Err(error) => {
                *number += 1;
                let why = error.to_string();
                batch.push(Input::Unfit { number: *number, why });
            }
        }
    }
}

fn take(encoder: &Encoder, number: &mut u64, line: &[u8]) -> Option<Input> {
    *number += 1;
    let number = *number;
    match encoder.encode(number, line) {
        Encoded::Line { wire, repaired } => Some(Input::Line {
            line: Line { number, wire },
            repaired,
        }),
        Encoded::Blank => None,
        Encoded::Unfit(why) => Some(Input::Unfit { number, why }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read_all(source: impl Read, json: bool) -> Vec<Vec<Input>> {
        let mut batches = Vec::new();
        read(source, &Encoder::new(None, "k", json), |batch| {
            batches.push(batch);
            true
        });
        batches
    }

    fn numbers(batches: &[Vec<Input>]) -> Vec<(u64, bool)> {
        let all = batches.iter().flatten();
        all.map(|input| match input {
            Input::Line { line, .. } => (line.number, true),
            Input::Unfit { number, .. } => (*number, false),
            Input::Failed(_) => (0, false),
        })
        .collect()
    }

    #[test]
    fn lines_keep_their_numbers_whatever_becomes_of_others() {
        let batches = read_all(&b"1\n\nx\n  \n{\"a\":1}"[..], true);
        assert_eq!(numbers(&batches), [(1, true), (3, false), (5, true)]);
        let batches = read_all(&b"1\n\nx\r\n"[..], false);
        assert_eq!(numbers(&batches), [(1, true), (2, true), (3, true)]);
        let Input::Line { line, .. } = &batches[0][2] else {
            unreachable!()
        };
        assert_eq!(line.wire, "{\"data\":\"x\",\"key\":\"k-3\"}\n");
    }

    #[test]
    fn each_piece_is_handed_over_as_it_comes() {
        let batches = read_all((&b"one\ntwo\nth"[..]).chain(&b"ree\n"[..]), false);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_and_the_next_one_is_read() {
        let long = io::repeat(b'x').take(PUBLISH_LINE_BYTES_MAX as u64 + 1);
        let batches = read_all((&b"a\n"[..]).chain(long).chain(&b"\nb\n"[..]), false);
        assert_eq!(numbers(&batches), [(1, true), (2, false), (3, true)]);
    }

    #[test]
    fn a_failure_is_told_and_ends_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let batches = read_all((&b"a\n"[..]).chain(Broken), false);
        assert_eq!(batches[1], [Input::Failed("broken".to_owned())]);
    }
}

//! The lines of a tail as server-sent events.

use std::io::Write as _;

use super::{Follower, Tally};
use crate::load::http::{Chunks, Lines};

/// What has come of a frame that is not whole.
#[derive(Debug, Default)]
pub(super) struct Tail {
    chunks: Chunks,
    lines: Lines,
    id: Option<String>,
    kind: Option<Vec<u8>>,
    /// The number of its event.
    event: Option<u64>,
}

/// Asks for the tail of these streams from a position on.
pub(super) fn write_request(out: &mut Vec<u8>, streams: &[String], position: Option<&str>, host: &str) {
    let streams: Vec<String> = streams.iter().map(|stream| format!("stream={stream}")).collect();
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "GET /v1/tail?{} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n",
        streams.join("&")
    );
    if let Some(position) = position {
        let _ = write!(out, "last-event-id: {position}\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

impl<T: Tally> Follower<T> {
    /// Understands chunks of a body; returns how many bytes it has dealt with.
    pub(super) fn lines(&mut self, bytes: &[u8]) -> anyhow::Result<usize> {
        let mut chunks = std::mem::take(&mut self.tail.chunks);
        let mut lines = std::mem::take(&mut self.tail.lines);
        let taken = chunks.feed(bytes, |data| lines.feed(data, |line| self.line(line)));
        (self.tail.chunks, self.tail.lines) = (chunks, lines);
        taken
    }

    fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        if let Some(id) = line.strip_prefix(b"id: ") {
            self.tail.id = Some(String::from_utf8_lossy(id).into_owned());
        } else if let Some(kind) = line.strip_prefix(b"event: ") {
            self.tail.kind = Some(kind.to_vec());
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            match self.tail.kind.take() {
                Some(kind) => self.notice(&kind, data)?,
                None => self.tail.event = Some(self.number(data)?),
            }
        } else if line.is_empty() {
            // A frame counts when it is whole.
            if let Some(number) = self.tail.event.take() {
                self.tally.count(number)?;
            }
            self.positions[0] = self.tail.id.take().or(self.positions[0].take());
        }
        Ok(())
    }
}

//! From chunks of bytes to whole lines, sans-IO.
//!
//! What is handed out is copied once into memory of its own: a chunk is part of a connection's read buffer, and a
//! short line must not keep a large buffer alive. A line that is too long is passed over without being gathered.

use bytes::{Bytes, BytesMut};
use shared::limits::INGEST_BATCH_BYTES;

/// What the bytes so far have brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// One or more lines, each with its line break except perhaps the last of the input.
    Lines(Bytes),
    /// A line that was longer than it may be.
    TooLong,
}

/// Gathers lines. At the most one line that is not complete is held.
pub(super) struct Lines {
    line_bytes_max: usize,
    partial: BytesMut,
    /// Whether the current line is too long already; its rest is passed over.
    skipping: bool,
}

impl Lines {
    /// Lines of so many bytes at the most, line break not counted.
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            partial: BytesMut::new(),
            skipping: false,
        }
    }

    /// Takes the next bytes, and calls `out` with what they complete, in order.
    pub(super) fn push(&mut self, mut chunk: &[u8], mut out: impl FnMut(Piece)) {
        if self.skipping {
            let Some(end) = memchr::memchr(b'\n', chunk) else {
                return;
            };
            self.skipping = false;
            chunk = &chunk[end + 1..];
        }
        if let Some(last) = memchr::memrchr(b'\n', chunk) {
            let (whole, rest) = chunk.split_at(last + 1);
            out(Piece::Lines(self.joined(whole)));
            chunk = rest;
        }
        if self.partial.len() + chunk.len() > self.line_bytes_max {
            self.partial = BytesMut::new();
            self.skipping = true;
            out(Piece::TooLong);
        } else {
            self.partial.extend_from_slice(chunk);
        }
    }

    /// The input has ended: its last line may lack a line break.
    pub(super) fn finish(&mut self) -> Option<Piece> {
        (!self.partial.is_empty()).then(|| Piece::Lines(self.joined(&[])))
    }

    fn joined(&mut self, whole: &[u8]) -> Bytes {
        let mut lines = Vec::with_capacity(self.partial.len() + whole.len());
        lines.extend_from_slice(&self.partial);
        lines.extend_from_slice(whole);
        self.partial.clear();
        // One long line must not keep its memory for as long as the upload lasts.
        if self.partial.capacity() > INGEST_BATCH_BYTES {
            self.partial = BytesMut::new();
        }
        Bytes::from(lines)
    }
}

/// Takes lines off the front of `text`: so many, and so many bytes, at the most, but at least one.
pub(super) fn take_lines(text: &mut Bytes, lines_max: usize, bytes_max: usize) -> Bytes {
    let mut end = 0;
    for (index, at) in memchr::memchr_iter(b'\n', text).enumerate() {
        if index == lines_max || (end > 0 && at + 1 > bytes_max) {
            return text.split_to(end);
        }
        end = at + 1;
    }
    if end < text.len() && (end == 0 || text.len() <= bytes_max) {
        end = text.len();
    }
    text.split_to(end)
}

/// The lines of `text` that hold something, without their line breaks and the white space around them.
pub(super) fn lines_of(text: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text).chain(std::iter::once(text.len()));
    ends.filter_map(move |end| {
        let line = text.get(start..end)?.trim_ascii();
        start = end + 1;
        (!line.is_empty()).then(|| text.slice_ref(line))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(lines: &mut Lines, chunk: &[u8]) -> Vec<Piece> {
        let mut out = Vec::new();
        lines.push(chunk, |piece| out.push(piece));
        out
    }

    #[test]
    fn long_lines_are_passed_over_wherever_they_are_cut() {
        let mut lines = Lines::new(4);
        assert_eq!(pieces(&mut lines, b"abc"), []);
        assert_eq!(pieces(&mut lines, b"de"), [Piece::TooLong]);
        assert_eq!(pieces(&mut lines, b"fghijk"), []);
        assert_eq!(pieces(&mut lines, b"l\nok\nx"), [Piece::Lines("ok\n".into())]);
        assert_eq!(lines.finish(), Some(Piece::Lines("x".into())));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn batches_are_bounded_by_lines_and_bytes() {
        let mut text = Bytes::from_static(b"a\nb\nc\nlonger than that\nd");
        assert_eq!(take_lines(&mut text, 2, 100), "a\nb\n");
        assert_eq!(take_lines(&mut text, 9, 3), "c\n");
        assert_eq!(take_lines(&mut text, 9, 3), "longer than that\n");
        assert_eq!(take_lines(&mut text, 9, 3), "d");
        assert_eq!(take_lines(&mut text, 9, 3), "");
    }

    proptest! {
        /// However the input is cut into chunks, the same lines come out in the same order, each once.
        #[test]
        fn the_cuts_do_not_matter(input in "[ab \r\n]{0,80}", cuts in prop::collection::vec(0usize..80, 0..8)) {
            let max = 6;
            let expected: Vec<String> = input
                .split('\n')
                .map(|line| if line.len() > max { "!".to_owned() } else { line.trim().to_owned() })
                .filter(|line| !line.is_empty())
                .collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let (mut lines, mut found) = (Lines::new(max), Vec::new());
            let mut take = |piece: Piece| match piece {
                Piece::TooLong => found.push("!".to_owned()),
                Piece::Lines(mut text) => {
                    while !text.is_empty() {
                        for line in lines_of(&take_lines(&mut text, 2, 5)) {
                            let line = String::from_utf8_lossy(&line).into_owned();
                            found.push(if line.len() > max { "!".to_owned() } else { line });
                        }
                    }
                }
            };
            for pair in cuts.windows(2) {
                lines.push(&input.as_bytes()[pair[0]..pair[1]], &mut take);
            }
            lines.finish().map(&mut take);
            // White space around a line may count towards its length or not, depending on the cut.
            let strict = !input.split('\n').any(|line| line.len() > max && line.trim().len() <= max);
            if strict {
                prop_assert_eq!(found, expected);
            }
        }
    }
}

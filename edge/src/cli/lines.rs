//! Lines out of chunks of bytes that end anywhere. A line that was cut off before its line feed does not come out by
//! itself. It never holds more than one line.

use bytes::Bytes;

/// Puts lines together. Feed it a chunk, then take lines until there is none.
#[derive(Debug)]
pub(super) struct LineAssembler {
    /// The beginning of a line, from earlier chunks.
    carry: Vec<u8>,
    chunk: Bytes,
    line_bytes_max: usize,
    /// Within a line that was refused.
    skipping: bool,
}

/// A line is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {0} bytes")]
pub(super) struct LineTooLong(pub(super) usize);

impl LineAssembler {
    /// An assembler that refuses lines of more than `line_bytes_max` bytes.
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self {
            carry: Vec::new(),
            chunk: Bytes::new(),
            line_bytes_max,
            skipping: false,
        }
    }

    /// Takes the next chunk. The lines of the one before must have been taken.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        self.carry.extend_from_slice(&self.chunk);
        self.chunk = chunk;
    }

    /// The next complete line, without its line feed (and a carriage return before it). A line that lies within one
    /// chunk is not copied. After an error the rest of that line is passed over.
    pub(super) fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        loop {
            let end = memchr::memchr(b'\n', &self.chunk);
            let part = self.chunk.split_to(end.unwrap_or(self.chunk.len()));
            if end.is_some() {
                // The line feed itself.
                let _ = self.chunk.split_to(1);
            }
            if self.skipping {
                self.skipping = end.is_none();
                if self.skipping {
                    return Ok(None);
                }
                continue;
            }
            if self.carry.len() + part.len() > self.line_bytes_max {
                self.carry = Vec::new();
                self.skipping = end.is_none();
                return Err(LineTooLong(self.line_bytes_max));
            }
            if end.is_none() {
                self.carry.extend_from_slice(&part);
                return Ok(None);
            }
            return Ok(Some(self.complete(part)));
        }
    }

    /// The beginning of a line that will not be completed, if there is one.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.carry);
        (!rest.is_empty()).then(|| Bytes::from(rest))
    }

    fn complete(&mut self, part: Bytes) -> Bytes {
        let mut line = part;
        if !self.carry.is_empty() {
            self.carry.extend_from_slice(&line);
            line = Bytes::from(std::mem::take(&mut self.carry));
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn lines_of(chunks: &[&[u8]], max: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut assembler = LineAssembler::new(max);
        let mut lines = Vec::new();
        for chunk in chunks {
            assembler.feed(Bytes::copy_from_slice(chunk));
            while let Some(line) = assembler.next_line()? {
                lines.push(line.to_vec());
            }
        }
        Ok(lines)
    }

    #[test]
    fn a_line_that_is_cut_off_does_not_come_out() {
        assert_eq!(
            lines_of(&[b"{\"a\":1}\n{\"b\"", b":2}"], 100).unwrap(),
            [b"{\"a\":1}"]
        );
    }

    #[test]
    fn a_line_within_a_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"one\r\n\ntwo\n");
        let mut assembler = LineAssembler::new(100);
        assembler.feed(chunk.clone());
        assert_eq!(assembler.next_line().unwrap().unwrap().as_ptr(), chunk.as_ptr());
        assert_eq!(assembler.next_line().unwrap().unwrap(), "");
        assert_eq!(assembler.next_line().unwrap().unwrap(), "two");
        assert_eq!(assembler.next_line().unwrap(), None);
    }

    proptest! {
        /// Wherever the chunks end, the lines are those of the whole.
        #[test]
        fn chunks_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut start = 0;
            for cut in cuts {
                chunks.push(&text[start..cut]);
                start = cut;
            }
            chunks.push(&text[start..]);
            let mut expected: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            expected.pop();
            for line in &mut expected {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            prop_assert_eq!(lines_of(&chunks, 1_000).unwrap(), expected);
        }

        /// A line that is too long is one error, wherever the chunks end; the others come out.
        #[test]
        fn a_long_line_is_passed_over(len in 0usize..60, size in 1usize..20) {
            let mut text = b"before\n".to_vec();
            text.resize(7 + len, b'x');
            text.extend_from_slice(b"\nafter\nrest");
            let (mut assembler, mut lines, mut errors) = (LineAssembler::new(10), Vec::new(), 0);
            for chunk in text.chunks(size) {
                assembler.feed(Bytes::copy_from_slice(chunk));
                loop {
                    match assembler.next_line() {
                        Ok(Some(line)) if line.iter().all(|b| *b == b'x') => {}
                        Ok(Some(line)) => lines.push(line),
                        Ok(None) => break,
                        Err(_) => errors += 1,
                    }
                }
            }
            prop_assert_eq!(errors, usize::from(len > 10));
            prop_assert_eq!(lines, ["before", "after"]);
            prop_assert_eq!(assembler.rest().unwrap(), "rest");
        }

        /// The bound holds, wherever the chunks end.
        #[test]
        fn a_long_line_is_refused(len in 0usize..30, size in 1usize..10) {
            let mut text = vec![b'x'; len];
            text.push(b'\n');
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            prop_assert_eq!(lines_of(&chunks, 10).is_err(), len > 10);
        }
    }
}

//! From messages to the bytes that are written: a queue of whole frames, encoded as they come in. Pure.
//!
//! What is small is copied next to its neighbours, so that all of it leaves in one write. What is large and shared
//! with others is kept as it is. An empty queue holds no memory.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};
use shared::limits::WS_SHARED_PIECE_BYTES_MIN;

use super::frame::{self, Opcode};

/// Slices that are written together.
const SLICES_MAX: usize = 16;

/// A piece of a message.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// Copied.
    Copied(&'a [u8]),
    /// Shared with others where it is large, else copied.
    Shared(&'a Bytes),
    /// As that, without so many bytes at the beginning.
    SharedFrom(&'a Bytes, usize),
}

impl<'a> Piece<'a> {
    /// Its bytes.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::SharedFrom(bytes, from) => bytes.get(from..).unwrap_or_default(),
        }
    }

    /// A hold on its bytes, if they are to be shared.
    fn shared(self) -> Option<Bytes> {
        let (bytes, from) = match self {
            Self::Copied(_) => return None,
            Self::Shared(bytes) => (bytes, 0),
            Self::SharedFrom(bytes, from) => (bytes, from),
        };
        let large = bytes.len() >= from.saturating_add(WS_SHARED_PIECE_BYTES_MIN);
        large.then(|| bytes.slice(from..))
    }
}

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    copied: Vec<u8>,
    /// So much of `copied` is written.
    written: usize,
    /// What stands between the copied bytes: each with the place in `copied` that it stands before.
    shared: VecDeque<(usize, Bytes)>,
    bytes: usize,
    /// Bytes that were written or taken back since the queue was made.
    sent_bytes: u64,
}

impl Outgoing {
    /// Adds a whole message.
    pub(crate) fn push<'a>(&mut self, opcode: Opcode, pieces: impl Iterator<Item = Piece<'a>> + Clone) {
        let length: usize = pieces.clone().map(|piece| piece.bytes().len()).sum();
        let before = self.copied.len();
        if self.copied.capacity() == 0 {
            self.copied = spare::take();
        }
        frame::push_header(opcode, length, &mut self.copied);
        for piece in pieces {
            match piece.shared() {
                Some(bytes) => {
                    self.bytes += bytes.len();
                    self.shared.push_back((self.copied.len(), bytes));
                }
                None => self.copied.extend_from_slice(piece.bytes()),
            }
        }
        self.bytes += self.copied.len() - before;
    }

    /// The peer takes nothing for the moment: keeps no more memory than what waits needs.
    pub(crate) fn settle_down(&mut self) {
        self.copied.shrink_to_fit();
    }

    /// Adds a close.
    pub(crate) fn push_close(&mut self, code: u16, reason: &str) {
        let code = code.to_be_bytes();
        let pieces = [Piece::Copied(&code), Piece::Copied(reason.as_bytes())];
        self.push(Opcode::Close, pieces.into_iter());
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that have left.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The beginning of what waits, for one write.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut used = 0;
        let mut from = self.written;
        let mut push = |slice: &'a [u8]| {
            if !slice.is_empty() && used < SLICES_MAX {
                slices[used] = IoSlice::new(slice);
                used += 1;
            }
        };
        for (at, bytes) in self.shared.iter().take(SLICES_MAX) {
            push(&self.copied[from..*at]);
            push(bytes);
            from = *at;
        }
        if self.shared.len() <= SLICES_MAX {
            push(&self.copied[from..]);
        }
        used
    }

    /// So many bytes were written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.left(count);
        while count > 0 {
            let end = self.shared.front().map_or(self.copied.len(), |(at, _)| *at);
            let step = count.min(end - self.written);
            self.written += step;
            count -= step;
            if let Some((_, bytes)) = self.shared.front_mut()
                && count > 0
            {
                let step = count.min(bytes.len());
                bytes.advance(step);
                count -= step;
                if bytes.is_empty() {
                    self.shared.pop_front();
                }
            }
        }
        self.forget_written();
    }

    /// The first frame: what it is and how many bytes its payload has. Only if none of it was written.
    pub(crate) fn front(&self) -> Option<(Opcode, usize)> {
        let (opcode, length, _) = frame::read_sent_header(&self.copied[self.written..])?;
        Some((opcode, length))
    }

    /// Takes the first frame, if none of it was written, and appends its payload.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>) -> Option<Opcode> {
        let (opcode, mut missing, header) = frame::read_sent_header(&self.copied[self.written..])?;
        self.written += header;
        self.left(header + missing);
        while missing > 0 {
            let end = self.shared.front().map_or(self.copied.len(), |(at, _)| *at);
            let step = missing.min(end - self.written);
            out.extend_from_slice(&self.copied[self.written..self.written + step]);
            self.written += step;
            missing -= step;
            if missing > 0 {
                let (_, bytes) = self.shared.pop_front()?;
                out.extend_from_slice(&bytes);
                missing -= bytes.len();
            }
        }
        self.forget_written();
        Some(opcode)
    }

    fn left(&mut self, count: usize) {
        self.bytes -= count;
        self.sent_bytes += count as u64;
    }

    fn forget_written(&mut self) {
        if self.bytes == 0 {
            spare::give(std::mem::take(&mut self.copied));
            self.written = 0;
            self.shared = VecDeque::new();
        } else if self.written > self.copied.len() / 2 {
            self.copied.drain(..self.written);
            for (at, _) in &mut self.shared {
                *at -= self.written;
            }
            self.written = 0;
        }
    }
}

/// The memory of the queue that was emptied last on a thread, for the next one that fills: nearly every queue is
/// written as soon as something is in it, so that all of them together use this one, and it stays in the cache.
mod spare {
    use std::cell::Cell;

    use shared::limits::WS_SPARE_BYTES_MAX;

    thread_local! {
        static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }

    pub(super) fn take() -> Vec<u8> {
        SPARE.take()
    }

    pub(super) fn give(mut memory: Vec<u8>) {
        if memory.capacity() > 0 && memory.capacity() <= WS_SPARE_BYTES_MAX {
            memory.clear();
            SPARE.set(memory);
        }
    }
}

/// Room for one write.
pub(super) fn no_slices<'a>() -> [IoSlice<'a>; SLICES_MAX] {
    [IoSlice::new(&[]); SLICES_MAX]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Message {
        binary: bool,
        /// Whether a piece is shared, after how many bytes that are left out, and its bytes.
        pieces: Vec<(Option<usize>, Vec<u8>)>,
    }

    fn message() -> impl Strategy<Value = Message> {
        let length =
            prop_oneof![3 => 0usize..200, 1 => WS_SHARED_PIECE_BYTES_MIN - 1..WS_SHARED_PIECE_BYTES_MIN + 99];
        let piece = (prop::option::of(0usize..3), any::<u8>(), length)
            .prop_map(|(shared, byte, length)| (shared, vec![byte; length]));
        (any::<bool>(), prop::collection::vec(piece, 0..4))
            .prop_map(|(binary, pieces)| Message { binary, pieces })
    }

    fn push(out: &mut Outgoing, message: &Message) -> Vec<u8> {
        let opcode = if message.binary {
            Opcode::Binary
        } else {
            Opcode::Text
        };
        let owned: Vec<(Option<usize>, Bytes)> = message
            .pieces
            .iter()
            .map(|(shared, bytes)| {
                let before = vec![b'!'; shared.unwrap_or_default()];
                (*shared, Bytes::from([before, bytes.clone()].concat()))
            })
            .collect();
        let pieces: Vec<Piece<'_>> = owned
            .iter()
            .map(|(shared, bytes)| match shared {
                None => Piece::Copied(bytes),
                Some(0) => Piece::Shared(bytes),
                Some(from) => Piece::SharedFrom(bytes, *from),
            })
            .collect();
        out.push(opcode, pieces.iter().copied());
        let payload: Vec<u8> = message
            .pieces
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        let mut frame = Vec::new();
        frame::push_header(opcode, payload.len(), &mut frame);
        frame.extend(payload);
        frame
    }

    fn written(out: &mut Outgoing, most: usize) -> Vec<u8> {
        let mut slices = no_slices();
        let used = out.slices(&mut slices);
        let bytes: Vec<u8> = slices[..used]
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .take(most)
            .collect();
        out.advance(bytes.len());
        bytes
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_any_pieces_of_writing(
            steps in prop::collection::vec((prop::collection::vec(message(), 0..4), 1usize..40_000), 1..12)
        ) {
            let mut out = Outgoing::default();
            let (mut expected, mut seen) = (Vec::new(), Vec::new());
            for (messages, most) in steps {
                for message in &messages {
                    expected.extend(push(&mut out, message));
                }
                prop_assert_eq!(out.bytes(), expected.len() - seen.len());
                seen.extend(written(&mut out, most));
            }
            while !out.is_empty() {
                let bytes = written(&mut out, usize::MAX);
                prop_assert!(!bytes.is_empty());
                seen.extend(bytes);
            }
            prop_assert!(seen == expected);
            prop_assert_eq!(out.sent_bytes(), expected.len() as u64);
            prop_assert_eq!(out.copied.capacity() + out.shared.capacity(), 0);
        }

        #[test]
        fn frames_can_be_taken_back(messages in prop::collection::vec(message(), 0..8)) {
            let mut out = Outgoing::default();
            for message in &messages {
                push(&mut out, message);
            }
            for message in &messages {
                let payload: Vec<u8> = message.pieces.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                let opcode = if message.binary { Opcode::Binary } else { Opcode::Text };
                prop_assert_eq!(out.front(), Some((opcode, payload.len())));
                let mut taken = Vec::new();
                prop_assert_eq!(out.pop(&mut taken), Some(opcode));
                prop_assert!(taken == payload);
            }
            prop_assert_eq!(out.front(), None);
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn large_pieces_are_shared_and_small_ones_copied() {
        let mut out = Outgoing::default();
        let large = Bytes::from(vec![b'x'; WS_SHARED_PIECE_BYTES_MIN]);
        let small = Bytes::from_static(b"small");
        let pieces = [Piece::Copied(b"4"), Piece::Shared(&large), Piece::Shared(&small)];
        out.push(Opcode::Text, pieces.into_iter());
        assert!(!large.is_unique());
        assert!(out.copied.len() < 20);
    }
}

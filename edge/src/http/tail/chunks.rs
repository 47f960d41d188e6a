//! The output buffer of a tail: what is encoded, as chunks of shared bytes. It copies small pieces together, so
//! that many events make one write, and passes a large or a lone piece on as it is. It never does I/O.

use std::collections::VecDeque;

use bytes::Bytes;
use shared::limits::TAIL_SHARED_PIECE_BYTES_MIN;

/// Encoded bytes, in order.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Complete chunks, oldest first.
    ready: VecDeque<Bytes>,
    /// The one piece there is so far, not copied yet in case it stays alone. Comes before `buffer`, which is then
    /// empty.
    lone: Option<Bytes>,
    /// Small pieces, joined.
    buffer: Vec<u8>,
    len_bytes: usize,
}

impl Chunks {
    /// Appends a piece that others may hold as well.
    pub(super) fn push_shared(&mut self, piece: &Bytes) {
        self.len_bytes += piece.len();
        if piece.len() >= TAIL_SHARED_PIECE_BYTES_MIN {
            self.close_chunk();
            self.ready.push_back(piece.clone());
        } else if self.buffer.is_empty() && self.lone.is_none() {
            self.lone = Some(piece.clone());
        } else {
            self.join_lone();
            self.buffer.extend_from_slice(piece);
        }
    }

    /// Appends what `write` writes.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.join_lone();
        let before = self.buffer.len();
        write(&mut self.buffer);
        self.len_bytes += self.buffer.len() - before;
    }

    /// Bytes that wait to be taken.
    pub(super) fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Takes the next chunk; `None` if nothing waits.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() {
            self.close_chunk();
        }
        let chunk = self.ready.pop_front()?;
        self.len_bytes -= chunk.len();
        Some(chunk)
    }

    fn join_lone(&mut self) {
        if let Some(lone) = self.lone.take() {
            self.buffer.extend_from_slice(&lone);
        }
    }

    fn close_chunk(&mut self) {
        if let Some(lone) = self.lone.take() {
            self.ready.push_back(lone);
        } else if !self.buffer.is_empty() {
            self.ready
                .push_back(Bytes::from(std::mem::take(&mut self.buffer)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lone_piece_is_passed_on_without_a_copy() {
        let piece = Bytes::from(vec![b'x'; 100]);
        let mut chunks = Chunks::default();
        chunks.push_shared(&piece);
        assert_eq!(chunks.pop().unwrap().as_ptr(), piece.as_ptr());
        assert!(chunks.pop().is_none());
    }

    #[test]
    fn a_large_piece_is_passed_on_without_a_copy_between_others() {
        let large = Bytes::from(vec![b'x'; TAIL_SHARED_PIECE_BYTES_MIN]);
        let mut chunks = Chunks::default();
        chunks.push_with(|out| out.extend_from_slice(b"before"));
        chunks.push_shared(&large);
        chunks.push_with(|out| out.extend_from_slice(b"after"));
        assert_eq!(chunks.pop().unwrap(), "before");
        assert_eq!(chunks.pop().unwrap().as_ptr(), large.as_ptr());
        assert_eq!(chunks.pop().unwrap(), "after");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(pieces in proptest::collection::vec((any::<bool>(), 1usize..12_000), 0..20)) {
            let (mut chunks, mut expected, mut got) = (Chunks::default(), Vec::new(), Vec::new());
            for (index, (shared, len)) in pieces.into_iter().enumerate() {
                let piece = vec![index as u8; len];
                expected.extend_from_slice(&piece);
                if shared {
                    chunks.push_shared(&Bytes::from(piece));
                } else {
                    chunks.push_with(|out| out.extend_from_slice(&piece));
                }
                prop_assert_eq!(chunks.len_bytes(), expected.len() - got.len());
                if index % 3 == 0 {
                    got.extend_from_slice(&chunks.pop().unwrap());
                }
            }
            while let Some(chunk) = chunks.pop() {
                got.extend_from_slice(&chunk);
            }
            prop_assert_eq!(chunks.len_bytes(), 0);
            prop_assert_eq!(got, expected);
        }
    }
}

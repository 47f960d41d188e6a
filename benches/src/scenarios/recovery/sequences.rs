//! Which events a subscriber has: each of its streams counts its events from 0 on, so what is missing or comes again
//! shows in the next one.

use std::time::Instant;

use anyhow::Context;

use crate::scenarios::follower::Tally;

/// Events of one stream at the most; the number of an event is that of its stream times this, and its own.
const PER_STREAM: u64 = 10_000_000;
/// What is published by itself once Redis is back: who has it has everything before it.
const MARK: u64 = PER_STREAM - 1;

/// The number in the payload of the `n`th event of a stream.
pub(super) fn number(stream: usize, n: u64) -> u64 {
    stream as u64 * PER_STREAM + n
}

/// The number in the payload of a stream's mark.
pub(super) fn mark(stream: usize) -> u64 {
    number(stream, MARK)
}

/// The events of a subscriber.
#[derive(Debug)]
pub(super) struct Sequences {
    each: Vec<Sequence>,
    /// Events that were jumped over.
    pub(super) missing: u64,
    /// Events that came before.
    pub(super) doubled: u64,
}

#[derive(Debug)]
struct Sequence {
    stream: usize,
    /// What comes next; anything, as long as nothing has come.
    next: Option<u64>,
    marked: Option<Instant>,
}

impl Sequences {
    /// None of these streams.
    pub(super) fn of(streams: &[usize]) -> Self {
        let sequence = |stream: &usize| Sequence {
            stream: *stream,
            next: None,
            marked: None,
        };
        Self {
            each: streams.iter().map(sequence).collect(),
            missing: 0,
            doubled: 0,
        }
    }

    /// Whether something of each stream has come.
    pub(super) fn has_begun(&self) -> bool {
        self.each.iter().all(|sequence| sequence.next.is_some())
    }

    /// When the last mark came, once all have.
    pub(super) fn marked(&self) -> Option<Instant> {
        let marked = self.each.iter().map(|sequence| sequence.marked);
        marked.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Events that are still to come if each stream has so many.
    pub(super) fn outstanding(&self, totals: &[u64]) -> u64 {
        let left = |sequence: &Sequence| totals[sequence.stream].saturating_sub(sequence.next.unwrap_or(0));
        self.each.iter().map(left).sum()
    }
}

impl Tally for Sequences {
    fn count(&mut self, number: u64) -> anyhow::Result<()> {
        let (stream, n) = ((number / PER_STREAM) as usize, number % PER_STREAM);
        let sequence = self.each.iter_mut().find(|sequence| sequence.stream == stream);
        let sequence = sequence.with_context(|| format!("an event of stream {stream} came unasked"))?;
        if n == MARK {
            self.doubled += u64::from(sequence.marked.replace(Instant::now()).is_some());
            return Ok(());
        }
        let next = sequence.next.unwrap_or(n);
        if n < next {
            self.doubled += 1;
        } else {
            self.missing += n - next;
            sequence.next = Some(n + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_comes_again_is_counted_stream_by_stream() {
        let mut sequences = Sequences::of(&[3, 5]);
        assert!(!sequences.has_begun());
        for (stream, n) in [(3, 7), (5, 0), (3, 8), (3, 10), (5, 1), (5, 1), (3, 9)] {
            sequences.count(number(stream, n)).unwrap();
        }
        assert!(sequences.has_begun());
        assert_eq!((sequences.missing, sequences.doubled), (1, 2));
        assert_eq!(sequences.outstanding(&[0, 0, 0, 12, 0, 2]), 1);
        assert!(sequences.count(number(4, 0)).is_err());
        sequences.count(mark(3)).unwrap();
        assert_eq!(sequences.marked(), None);
        sequences.count(mark(5)).unwrap();
        assert!(sequences.marked().is_some());
        sequences.count(mark(5)).unwrap();
        assert_eq!(sequences.doubled, 3);
    }
}

//! Which events a client has, each ticked off.

use anyhow::Context;

use crate::scenarios::follower::{Follower, Tally};

/// The events of one stream, from 0 on.
#[derive(Debug)]
pub(super) struct Seen {
    /// How often each came.
    times: Vec<u8>,
    /// Events that came once at the least.
    different: usize,
}

/// What became of the events of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Events that never came.
    pub(super) missing: u64,
    /// How often an event came that had come before.
    pub(super) doubled: u64,
    /// Events that are missing and were told to be.
    pub(super) told_gone: u64,
    /// Sessions that the server did not recover.
    pub(super) unrecovered: u64,
}

impl Seen {
    /// None of the events 0 to `last`.
    pub(super) fn none_of(last: usize) -> Self {
        Self {
            times: vec![0; last + 1],
            different: 0,
        }
    }

    /// Different events that have come.
    pub(super) fn different(&self) -> usize {
        self.different
    }
}

impl Tally for Seen {
    fn count(&mut self, number: u64) -> anyhow::Result<()> {
        let times = self.times.get_mut(number as usize);
        let times = times.with_context(|| format!("event {number} was never published"))?;
        if *times == 0 {
            self.different += 1;
        }
        *times = times.saturating_add(1);
        Ok(())
    }
}

impl Counts {
    /// What became of the events so far.
    pub(super) fn of(client: &Follower<Seen>) -> Self {
        let seen = &client.tally;
        let again = seen.times.iter().map(|times| u64::from(times.saturating_sub(1)));
        Self {
            missing: (seen.times.len() - seen.different) as u64,
            doubled: again.sum(),
            told_gone: client.told_gone(),
            unrecovered: client.unrecovered(),
        }
    }

    /// Those of several clients together.
    pub(super) fn add(&mut self, other: Self) {
        self.missing += other.missing;
        self.doubled += other.doubled;
        self.told_gone += other.told_gone;
        self.unrecovered += other.unrecovered;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scenarios::follower::Dialect;

    #[test]
    fn what_is_missing_and_doubled_is_counted_and_what_was_never_published_is_an_error() {
        let mut client = Follower::new(Dialect::WebSocket, vec!["s".into()], Seen::none_of(4));
        for number in [0, 1, 1, 4] {
            client.tally.count(number).unwrap();
        }
        assert!(client.tally.count(5).is_err());
        let counts = Counts {
            missing: 2,
            doubled: 1,
            told_gone: 0,
            unrecovered: 0,
        };
        assert_eq!((Counts::of(&client), client.tally.different()), (counts, 3));
    }
}

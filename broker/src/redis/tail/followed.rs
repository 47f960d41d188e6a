//! One stream as the tail follows it: how it is to be read next, and what a reply means. Does no I/O.
//!
//! The fast read of a stream asks for everything from its last entry *on*, that entry included. As long as it comes
//! back first, trimming has not passed it, so what follows it joins; only entries deleted singly can be missing, and
//! the check that each stream gets now and then finds those by the count. When it does not come back, or when a
//! check is due, the stream is verified: its counters and its entries are read in one transaction and must add up.

use std::sync::Arc;
use std::time::Instant;

use shared::limits::{LIVE_READ_ENTRIES_MAX, LIVE_READ_STREAM_BYTES};
use shared::verdict::{Assessment, Look, assess};
use shared::{Cursor, Entry, EntryId, Event, Ordinal, StreamView, Verdict, fields, time};

use super::super::fault::Fault;
use super::super::wire::reply;
use crate::Channel;
use crate::hub::{AheadMark, Lease};

/// Entries that the first read of a stream asks for; the number grows while they are small.
const ENTRIES_FIRST: usize = 64;

/// How a stream is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Find its head.
    Open,
    /// Read from this ID on, exclusively; the last entry comes back first.
    Fast(EntryId),
    /// Read the counters and from this ID on, exclusively, in one transaction.
    Verify(EntryId),
}

/// What a reply came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything that is there has been read.
    Done,
    /// There is more to read right away.
    Again,
}

/// An entry that a read has brought.
pub(super) struct Arrival {
    id: EntryId,
    /// Bytes of its field names and values.
    size_bytes: usize,
    /// `None`: it is the first and the one that was the last before, of which nothing but that it is there is of interest.
    event: Option<Event>,
}

/// One followed stream.
pub(super) struct Followed {
    pub(super) channel: Arc<Channel>,
    /// The right to publish to the channel, until another tail takes it.
    lease: Lease,
    /// Whether each command has to say that another node sends us, as the slot is being moved here (`ASKING`).
    pub(super) asking: bool,
    position: Option<Cursor>,
    /// Whether the entry at the position was there when it was read last.
    anchored: bool,
    verify: bool,
    entries_max: usize,
    /// When its counters were last seen to add up.
    pub(super) checked_at: Instant,
    /// Whether it is in line to be read.
    pub(super) queued: bool,
    /// Who was ahead when its counters were asked for.
    ahead: AheadMark,
}

impl Followed {
    /// Goes on where another tail has left the channel, if one had opened it.
    pub(super) fn new(channel: Arc<Channel>, asking: bool) -> Self {
        let (lease, position) = channel.lease();
        Self {
            channel,
            lease,
            asking,
            position,
            anchored: false,
            verify: false,
            entries_max: ENTRIES_FIRST,
            checked_at: Instant::now(),
            queued: false,
            ahead: AheadMark::default(),
        }
    }

    /// How it is to be read next.
    pub(super) fn plan(&self) -> Plan {
        match self.position {
            None => Plan::Open,
            Some(position) if self.anchored && !self.verify => Plan::Fast(position.id.predecessor()),
            Some(position) => Plan::Verify(position.id.predecessor()),
        }
    }

    /// The node has been away since then, in milliseconds since the Unix epoch.
    pub(super) fn lose(&self, since_ms: u64) {
        self.channel.lose_by(self.lease, since_ms);
    }

    /// All that is there has been read and published: if the node was away, it is not any more.
    fn all_read(&self) -> Outcome {
        self.channel.regain_by(self.lease);
        Outcome::Done
    }

    /// [`Plan::Verify`] is about to be carried out.
    pub(super) fn verifying(&mut self) {
        self.ahead = self.channel.ahead();
    }

    /// The next read verifies.
    pub(super) fn must_verify(&mut self) {
        self.verify = true;
    }

    /// Entries that the next read should bring at the most.
    pub(super) fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// The last entry that has been read.
    pub(super) fn position(&self) -> Option<EntryId> {
        self.position.map(|position| position.id)
    }

    /// The head was found.
    pub(super) fn opened(&mut self, view: &StreamView) {
        self.go_on_from(view);
        self.channel.open_by(self.lease, view.head());
        self.all_read();
    }

    /// What stands in a list of entries of this stream.
    pub(super) fn arrivals(&self, list: &[u8]) -> Result<Vec<Arrival>, Fault> {
        let mut known = self.position();
        reply::list(list, |id, pairs| {
            let is_known = known.take() == Some(id);
            Arrival {
                id,
                size_bytes: pairs.iter().map(|(name, value)| name.len() + value.len()).sum(),
                event: (!is_known).then(|| fields::decode(pairs)),
            }
        })
    }

    /// The answer to [`Plan::Fast`], read with a limit of `limit` entries.
    pub(super) fn read_fast(&mut self, entries: Vec<Arrival>, limit: usize) -> Outcome {
        let Some(position) = self.position else {
            return Outcome::Again;
        };
        if entries.first().is_none_or(|first| first.id != position.id) {
            self.must_verify();
            return Outcome::Again;
        }
        let full = entries.len() >= limit;
        self.adapt(&entries, full);
        if entries.len() == 1 {
            // It rang, but nothing was added: something else was done to the stream. A limit of 1 cannot tell.
            if full {
                self.entries_max = ENTRIES_FIRST;
                return Outcome::Again;
            }
            // Such as a roll-back to here, behind readers who have read further.
            if self.channel.has_ahead() {
                self.must_verify();
                return Outcome::Again;
            }
            return self.all_read();
        }
        self.publish(position, entries.into_iter().skip(1));
        if full { Outcome::Again } else { self.all_read() }
    }

    /// The answer to [`Plan::Verify`], read with a limit of `limit` entries.
    pub(super) fn read_verified(
        &mut self,
        view: &StreamView,
        mut entries: Vec<Arrival>,
        limit: usize,
    ) -> Outcome {
        let Some(position) = self.position else {
            return Outcome::Again;
        };
        self.verify = false;
        self.checked_at = Instant::now();
        let full = entries.len() >= limit;
        self.adapt(&entries, full);
        let present = entries.first().is_some_and(|first| first.id == position.id);
        if present {
            entries.remove(0);
        } else if entries.first().is_some_and(|first| first.id < position.id) {
            return self.rejoin(view);
        }
        let after = (!full).then_some(entries.len() as u64);
        let continuous = Assessment::Settled(Verdict::Continuous);
        if assess(position, view, Look { present, after }) != continuous
            || !self.channel.confirms(view.head(), self.ahead)
        {
            return self.rejoin(view);
        }
        self.anchored = present || !entries.is_empty();
        self.publish(position, entries.into_iter());
        if full { Outcome::Again } else { self.all_read() }
    }

    /// What has been published does not join the log any more: subscribers find out from the log, each for itself.
    fn rejoin(&mut self, view: &StreamView) -> Outcome {
        tracing::info!(
            stream = %self.channel.stream(), position = ?self.position, head = %view.head(),
            "the stream was trimmed, deleted or rolled back under its readers; they read it again"
        );
        metrics::counter!("weir_tail_rejoins_total").increment(1);
        self.go_on_from(view);
        self.channel.invalidate_by(self.lease, view.head());
        self.all_read()
    }

    fn go_on_from(&mut self, view: &StreamView) {
        self.position = Some(view.head());
        self.anchored = view.length > 0;
        self.verify = false;
        self.checked_at = Instant::now();
    }

    fn publish(&mut self, position: Cursor, entries: impl Iterator<Item = Arrival>) {
        let mut ordinal = position.ordinal.unwrap_or_default();
        let entries: Vec<_> = entries
            .filter_map(|Arrival { id, event, .. }| {
                ordinal = Ordinal(ordinal.0 + 1);
                let cursor = Cursor {
                    id,
                    ordinal: Some(ordinal),
                };
                Some(Arc::new(Entry::new(
                    self.channel.stream().clone(),
                    cursor,
                    event?,
                )))
            })
            .collect();
        let Some(last) = entries.last() else { return };
        self.position = Some(last.cursor);
        let lag_ms = time::now_ms().saturating_sub(last.id().ms);
        metrics::histogram!("weir_tail_lag_seconds").record(lag_ms as f64 / 1_000.0);
        self.channel.publish_by(self.lease, &entries);
    }

    /// More entries at a time while they are small and there are more; fewer when they are large.
    fn adapt(&mut self, entries: &[Arrival], full: bool) {
        let bytes: usize = entries.iter().map(|entry| entry.size_bytes).sum();
        if bytes > LIVE_READ_STREAM_BYTES {
            // Two at the least: the first is the one that is known.
            self.entries_max = (self.entries_max / 2).max(2);
        } else if full && bytes < LIVE_READ_STREAM_BYTES / 2 {
            self.entries_max = (self.entries_max * 2).min(LIVE_READ_ENTRIES_MAX);
        }
    }
}

//! Turns deliveries into the bytes of one tail, and keeps the client's position. Sans-IO: deliveries in, chunks out;
//! it never waits, and it reads no clock.

use std::marker::PhantomData;
use std::sync::Arc;

use broker::Delivery;
use bytes::Bytes;
use shared::limits::TAIL_UNTOLD_ENTRIES_MAX;
use shared::wire::entry_json_prefix;
use shared::{Cursor, Entry, StreamName};

use super::chunks::Chunks;
use super::format::{Format, Notice, NoticeKind};
use super::resume_point::{MergedCursor, ResumePoint};
use crate::wire_slots::WireSlot;

/// What has been encoded since the last time somebody asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Events.
    pub(super) events: u64,
    /// `gap` verdicts.
    pub(super) gaps: u64,
    /// `reset` verdicts.
    pub(super) resets: u64,
    /// `unverified` verdicts.
    pub(super) unverified: u64,
}

/// The encoder of one tail.
#[derive(Debug)]
pub(super) struct Encoder<F> {
    position: ResumePoint,
    /// Streams that have not caught up yet.
    behind: Vec<StreamName>,
    /// Streams with a verdict to come on where they begin. Until it is told their position does not move: who is cut
    /// off before must meet the verdict again.
    unjudged: Vec<StreamName>,
    /// How many streams have not ended.
    following: usize,
    /// Entries that the position has passed since the client was last told of it.
    untold_entries: u64,
    tally: Tally,
    scratch: Vec<u8>,
    format: PhantomData<F>,
}

impl<F: Format> Encoder<F> {
    /// An encoder for a tail that begins at these positions, one for each stream; of several streams, it is a merged
    /// tail. `unjudged` are the streams with a verdict to come on that position: it must be the one that the client
    /// brought along, and stays that until the verdict is told.
    pub(super) fn new(positions: Vec<(StreamName, Cursor)>, unjudged: Vec<StreamName>) -> Self {
        let behind: Vec<StreamName> = positions.iter().map(|(stream, _)| stream.clone()).collect();
        let position = match positions.as_slice() {
            [(_, cursor)] => ResumePoint::One(*cursor),
            _ => ResumePoint::Many(MergedCursor::new(positions)),
        };
        Self {
            position,
            following: behind.len(),
            behind,
            unjudged,
            untold_entries: 0,
            tally: Tally::default(),
            scratch: Vec::new(),
            format: PhantomData,
        }
    }

    /// The first bytes.
    pub(super) fn open(&mut self, retry_ms: u64, out: &mut Chunks) {
        let cursor = self.position_text();
        out.push_with(|out| F::push_opening(out, retry_ms, &cursor));
    }

    /// Encodes one delivery.
    pub(super) fn encode(&mut self, delivery: Delivery, out: &mut Chunks) {
        match delivery {
            Delivery::Event(entry) => self.event(&entry, out),
            // A tail tells what is in the log; it does not ask for what is not.
            Delivery::Ephemeral(_) => {}
            Delivery::Gap { stream, lost, cursor } => {
                self.tally.gaps += 1;
                self.verdict(NoticeKind::Gap { lost }, &stream, cursor, out);
            }
            Delivery::Reset { stream, cursor } => {
                self.tally.resets += 1;
                self.verdict(NoticeKind::Reset, &stream, cursor, out);
            }
            Delivery::Unverified { stream, cursor } => {
                self.tally.unverified += 1;
                self.verdict(NoticeKind::Unverified, &stream, cursor, out);
            }
            Delivery::Passed { stream, cursor } => {
                self.pass(&stream, cursor);
                if self.untold_entries >= TAIL_UNTOLD_ENTRIES_MAX {
                    self.progress(out);
                }
            }
            Delivery::CaughtUp { stream, cursor } => {
                self.pass(&stream, cursor);
                self.caught_up(&stream, out);
            }
            Delivery::Degraded { stream, since_ms } => {
                let kind = NoticeKind::Degraded { since_ms };
                let stream = Some(&stream);
                out.push_with(|out| F::push_notice(out, &Notice { kind, stream }, None));
            }
            Delivery::Restored { stream, cursor } => {
                self.pass(&stream, cursor);
                self.notice(NoticeKind::Restored, &stream, out);
            }
            Delivery::Ended { stream, cursor } => {
                self.pass(&stream, cursor);
                self.following = self.following.saturating_sub(1);
                if self.following == 0 {
                    self.notice(NoticeKind::Ended, &stream, out);
                } else {
                    self.caught_up(&stream, out);
                }
            }
        }
    }

    /// Takes note that the subscriber has come to `cursor`, by events that its filter holds back. It is told when
    /// something is told next: an event, a heartbeat, the farewell.
    pub(super) fn pass(&mut self, stream: &StreamName, cursor: Cursor) {
        if !self.unjudged.contains(stream) {
            self.untold_entries += self.position.advance(stream, cursor);
        }
    }

    /// Encodes that there was nothing to tell for a while, or else what there is to tell.
    pub(super) fn heartbeat(&mut self, out: &mut Chunks) {
        if self.untold_entries > 0 {
            self.progress(out);
        } else {
            out.push_shared(&Bytes::from_static(F::HEARTBEAT));
        }
    }

    /// The last bytes of a tail that must go on at another edge.
    pub(super) fn farewell(&mut self, retry_ms: u64, out: &mut Chunks) {
        let cursor = self.position_text();
        out.push_with(|out| F::push_farewell(out, retry_ms, &cursor));
    }

    /// Whether all streams have ended: nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.following == 0
    }

    /// What has been encoded since the last call.
    pub(super) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn event(&mut self, entry: &Arc<Entry>, out: &mut Chunks) {
        self.tally.events += 1;
        self.untold_entries = 0;
        self.position.advance(&entry.stream, entry.cursor);
        // An entry that nobody else holds is not worth keeping an encoding of.
        let shared = Arc::strong_count(entry) > 1;
        match &self.position {
            ResumePoint::One(_) if shared => out.push_shared(entry.wire(F::SLOT.index(), whole_event::<F>)),
            ResumePoint::One(_) => {
                self.scratch.clear();
                entry.cursor.push_to(&mut self.scratch);
                out.push_with(|out| push_event::<F>(out, entry, &self.scratch));
            }
            ResumePoint::Many(merged) if shared => {
                let prefix = entry.wire(WireSlot::JsonPrefix.index(), json_prefix);
                out.push_with(|out| F::push_event_head(out, merged.text()));
                out.push_shared(prefix);
                out.push_with(|out| F::push_event_tail(out, merged.text()));
            }
            ResumePoint::Many(merged) => out.push_with(|out| push_event::<F>(out, entry, merged.text())),
        }
    }

    fn verdict(&mut self, kind: NoticeKind, stream: &StreamName, cursor: Cursor, out: &mut Chunks) {
        self.unjudged.retain(|unjudged| unjudged != stream);
        self.position.advance(stream, cursor);
        self.notice(kind, stream, out);
    }

    fn caught_up(&mut self, stream: &StreamName, out: &mut Chunks) {
        let Some(index) = self.behind.iter().position(|behind| behind == stream) else {
            return;
        };
        self.behind.swap_remove(index);
        if self.behind.is_empty() {
            self.behind = Vec::new();
            self.notice(NoticeKind::CaughtUp, stream, out);
        }
    }

    fn notice(&mut self, kind: NoticeKind, stream: &StreamName, out: &mut Chunks) {
        let whole_tail = matches!(kind, NoticeKind::CaughtUp | NoticeKind::Ended);
        let merged = matches!(self.position, ResumePoint::Many(_));
        let stream = (!(whole_tail && merged)).then_some(stream);
        let cursor = self.position_text();
        self.untold_entries = 0;
        out.push_with(|out| F::push_notice(out, &Notice { kind, stream }, Some(&cursor)));
    }

    fn progress(&mut self, out: &mut Chunks) {
        self.untold_entries = 0;
        let cursor = self.position_text();
        out.push_with(|out| F::push_progress(out, &cursor));
    }

    fn position_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.position.push_text(&mut text);
        text
    }
}

fn push_event<F: Format>(out: &mut Vec<u8>, entry: &Entry, cursor: &[u8]) {
    F::push_event_head(out, cursor);
    entry_json_prefix(out, entry);
    F::push_event_tail(out, cursor);
}

pub(super) fn whole_event<F: Format>(entry: &Entry) -> Bytes {
    let mut cursor = Vec::with_capacity(64);
    entry.cursor.push_to(&mut cursor);
    let mut out = Vec::with_capacity(entry.event.size_bytes() + 256);
    push_event::<F>(&mut out, entry, &cursor);
    out.shrink_to_fit();
    Bytes::from(out)
}

fn json_prefix(entry: &Entry) -> Bytes {
    let mut out = Vec::with_capacity(entry.event.size_bytes() + 160);
    entry_json_prefix(&mut out, entry);
    out.shrink_to_fit();
    Bytes::from(out)
}

//! One stream of a subscriber: where it stands, what it holds, and whether it pages or is live.

mod begin;
mod outage;
mod refill;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use shared::limits::PAGE_ENTRIES_MAX;
use shared::{Cursor, Entry, EntryId, StreamName, Verdict, time};

use super::UNTIL_GRACE;
use super::fetch::Fetch;
use crate::hub::{Attachment, Held, Sight};
use crate::{Delivery, Filter, Log};

/// Pages begin with this many entries, grow for a reader that is fast and shrink for one that is slow, so that slow
/// readers hold little.
const PAGE_ENTRIES_FIRST: u16 = 256;
const PAGE_ENTRIES_MIN: u16 = 32;
const PAGE_ENTRIES_LARGEST: u16 = PAGE_ENTRIES_MAX as u16;
const _: () = assert!(PAGE_ENTRIES_LARGEST as usize == PAGE_ENTRIES_MAX);
/// Room for so many entries is kept by an idle slot.
const ITEMS_KEPT_MAX: usize = 4;
/// Events held back by the filter before the reader is told how far it has come.
const PASSED_MAX: usize = 1_000;

/// What one step of a slot came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more right away.
    More,
    /// Nothing until the bell rings.
    Idle,
    /// The stream's `until` is reached.
    Ended,
}

/// One stream of a subscriber.
pub(super) struct Slot {
    place: Attachment,
    /// What holds entries back; few have it.
    terms: Option<Box<Terms>>,
    /// Up to where the reader has been given everything.
    delivered: Cursor,
    /// Up to where `items` reaches: where the next page or pull goes on.
    fetched: Cursor,
    items: VecDeque<Item>,
    /// The right to what was read of the log, until all of it is delivered.
    held: Option<Held>,
    mode: Mode,
    /// The number of the ephemeral event that it wants next, if it wants any.
    heard: u64,
    /// How many entries the next page is to have.
    page_entries: u16,
    caught_up_told: bool,
    /// What the reader knows of whether the log is away.
    told: Sight,
    /// Whether it is in the subscriber's list of ready slots.
    pub(super) ready: bool,
}

/// What of a stream the reader wants.
struct Terms {
    filter: Filter,
    until: Option<EntryId>,
    /// Entries that the filter has held back since the reader was told how far it has come.
    passed: usize,
}

enum Mode {
    /// Takes from the ring; the number is that of the next entry.
    Live(u64),
    /// Reads pages.
    Paging(Box<Paging>),
}

struct Paging {
    /// At most one read is under way.
    fetch: Option<Fetch>,
    /// When the page came that is being delivered, if it came while paging.
    page_at: Option<Instant>,
}

enum Item {
    Entry(Arc<Entry>),
    Verdict(Box<(Verdict, Cursor)>),
    CaughtUp,
    Restored,
}

impl Slot {
    fn new(place: Attachment, until: Option<EntryId>, filter: Filter) -> Self {
        let terms = Terms {
            filter,
            until,
            passed: 0,
        };
        let matter = until.is_some() || !terms.filter.passes_all();
        let told = place.channel.sight().untold();
        Self {
            place,
            terms: matter.then(|| Box::new(terms)),
            delivered: Cursor::START,
            fetched: Cursor::START,
            items: VecDeque::new(),
            held: None,
            mode: Mode::Paging(Box::new(Paging {
                fetch: None,
                page_at: Some(Instant::now()),
            })),
            heard: 0,
            page_entries: PAGE_ENTRIES_FIRST,
            caught_up_told: false,
            told,
            ready: false,
        }
    }

    /// The ephemeral events that have come so far are not wanted.
    pub(super) fn skip_ephemeral(&mut self) {
        if self.place.registration.listens() {
            self.heard = self.place.channel.ephemeral_end();
        }
    }

    /// Delivers the ephemeral events that have come, as far as they fit; the older ones among the others are passed over.
    pub(super) fn deliver_ephemeral(&mut self, out: &mut Vec<Delivery>, left: &mut usize) {
        if !self.place.registration.listens() {
            return;
        }
        let (terms, bytes_max) = (&self.terms, *left);
        self.heard = self.place.channel.pull_ephemeral(self.heard, bytes_max, |event| {
            if terms
                .as_ref()
                .is_none_or(|terms| terms.filter.passes(&event.event))
            {
                *left = left.saturating_sub(event.event.size_bytes() + ITEM_BYTES);
                out.push(Delivery::Ephemeral(event.clone()));
            }
        });
    }

    pub(super) fn stream(&self) -> &StreamName {
        self.place.channel.stream()
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.delivered
    }

    pub(super) fn until(&self) -> Option<EntryId> {
        self.terms.as_ref()?.until
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live(_))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Where the next item belongs in the order of IDs; verdicts come before everything.
    pub(super) fn front_id(&self) -> Option<EntryId> {
        self.items.front().map(|item| match item {
            Item::Entry(entry) => entry.id(),
            Item::Verdict(_) | Item::CaughtUp | Item::Restored => EntryId::ZERO,
        })
    }

    /// Fetches if that is needed, then delivers one item; what comes from the ring at once, all that fits.
    pub(super) fn step(
        &mut self,
        log: &Arc<dyn Log>,
        bytes_max: usize,
        out: &mut Vec<Delivery>,
        left: &mut usize,
    ) -> Step {
        if self.tell_degraded(out, left) {
            return Step::More;
        }
        if let Some(step) = self.pass_on(out, left) {
            return step;
        }
        self.refill(log, bytes_max);
        if self.items.is_empty() {
            self.idle(out)
        } else {
            self.deliver_one(out, left)
        }
    }

    /// Nothing to deliver: waits, unless the clock has passed the end.
    pub(super) fn idle(&mut self, out: &mut Vec<Delivery>) -> Step {
        let over_ms = self
            .until()
            .map(|until| until.ms.saturating_add(UNTIL_GRACE.as_millis() as u64));
        if self.is_live() && over_ms.is_some_and(|over_ms| over_ms <= time::now_ms()) {
            return self.end(out);
        }
        Step::Idle
    }

    /// A slot that is idle keeps no room for entries to come.
    fn let_go_of_room(&mut self) {
        if self.items.is_empty() && self.items.capacity() > ITEMS_KEPT_MAX {
            self.items = VecDeque::new();
        }
    }

    /// Delivers the first item.
    pub(super) fn deliver_one(&mut self, out: &mut Vec<Delivery>, left: &mut usize) -> Step {
        let Some(item) = self.items.pop_front() else {
            return Step::Idle;
        };
        if self.items.is_empty() {
            self.held = None;
        }
        if self.items.capacity() > usize::from(PAGE_ENTRIES_MIN) {
            self.let_go_of_room();
        }
        let stream = || self.place.channel.stream().clone();
        match item {
            Item::Entry(entry) => return self.deliver_entry(entry, out, left),
            Item::CaughtUp => out.push(Delivery::CaughtUp {
                stream: stream(),
                cursor: self.delivered,
            }),
            Item::Restored => self.tell_restored(out),
            Item::Verdict(told) => {
                let (verdict, cursor) = *told;
                self.delivered = cursor;
                match verdict {
                    Verdict::Continuous => {}
                    Verdict::Gap { lost } => out.push(Delivery::Gap {
                        stream: stream(),
                        lost,
                        cursor,
                    }),
                    Verdict::Reset => out.push(Delivery::Reset {
                        stream: stream(),
                        cursor,
                    }),
                    Verdict::Unverified => out.push(Delivery::Unverified {
                        stream: stream(),
                        cursor,
                    }),
                }
            }
        }
        *left = left.saturating_sub(ITEM_BYTES);
        Step::More
    }

    fn deliver_entry(&mut self, entry: Arc<Entry>, out: &mut Vec<Delivery>, left: &mut usize) -> Step {
        if self.until().is_some_and(|until| entry.id() > until) {
            return self.end(out);
        }
        self.delivered = entry.cursor;
        if let Some(terms) = &mut self.terms {
            let passes = terms.filter.passes(&entry.event);
            terms.passed = if passes { 0 } else { terms.passed + 1 };
            if !passes {
                if terms.passed >= PASSED_MAX {
                    terms.passed = 0;
                    out.push(Delivery::Passed {
                        stream: self.stream().clone(),
                        cursor: self.delivered,
                    });
                }
                return Step::More;
            }
        }
        *left = left.saturating_sub(entry.event.size_bytes() + ITEM_BYTES);
        out.push(Delivery::Event(entry));
        Step::More
    }

    fn end(&mut self, out: &mut Vec<Delivery>) -> Step {
        out.push(Delivery::Ended {
            stream: self.stream().clone(),
            cursor: self.delivered,
        });
        Step::Ended
    }
}

/// What an item counts besides its data.
pub(super) const ITEM_BYTES: usize = 64;

//! One stream of a subscriber: where it stands, what it holds, and whether it pages or is live.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::limits::PAGE_ENTRIES_MAX;
use shared::{Cursor, Entry, EntryId, Ordinal, StreamName, Verdict, time};

use super::UNTIL_GRACE;
use super::fetch::{self, Fetch, Fetched};
use crate::hub::{Attachment, Epoch, Join, Pull};
use crate::{Delivery, Filter, From, Joined, Log, Page, ReadError, ReadRequest};

/// Pages begin with this many entries, grow for a reader that is fast and shrink for one that is slow, so that slow
/// readers hold little.
const PAGE_ENTRIES_FIRST: u16 = 256;
const PAGE_ENTRIES_MIN: u16 = 32;
const PAGE_ENTRIES_LARGEST: u16 = PAGE_ENTRIES_MAX as u16;
const _: () = assert!(PAGE_ENTRIES_LARGEST as usize == PAGE_ENTRIES_MAX);
/// Room for so many entries is kept by an idle slot.
const ITEMS_KEPT_MAX: usize = 4;
/// A page that was taken within this time was too small, one that took longer than the other too large.
const PAGE_FAST: Duration = Duration::from_millis(250);
const PAGE_SLOW: Duration = Duration::from_secs(1);
/// Events held back by the filter before the reader is told how far it has come.
const PASSED_MAX: usize = 1_000;
/// Pause before the log is read again when it brought nothing and the ring could not be joined either.
const NOTHING_NEW_PAUSE: Duration = Duration::from_millis(20);

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
    mode: Mode,
    /// The number of the ephemeral event that it wants next, if it wants any.
    heard: u64,
    /// How many entries the next page is to have.
    page_entries: u16,
    caught_up_told: bool,
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
}

impl Slot {
    /// Finds where the subscription begins. The answer is exact even if entries are added meanwhile.
    pub(super) async fn begin(
        log: &Arc<dyn Log>,
        place: Attachment,
        head: Cursor,
        from: From,
        until: Option<EntryId>,
        filter: Filter,
    ) -> Result<(Self, Joined), ReadError> {
        let stream = place.channel.stream().clone();
        let mut slot = Self::new(place, until, filter);
        let cursor = match from {
            From::Cursor(cursor) => cursor,
            From::Start => Cursor::START,
            From::Last(0) => return Self::begin_at_head(log, slot).await,
            From::Last(count) if count > PAGE_ENTRIES_MAX => {
                fetch::start_of_last(log, &stream, count).await?
            }
            From::Now => return Self::begin_at_head(log, slot).await,
            From::Last(_) | From::Since(_) => {
                let epoch = slot.place.channel.epoch();
                let page = log
                    .read(&stream, &ReadRequest::forward(from, PAGE_ENTRIES_MAX))
                    .await?;
                // Without a cursor of the reader's own there is no history it claims to have seen.
                let below = page
                    .entries
                    .first()
                    .map(|first| Cursor::bare(first.id().predecessor()));
                let start = below.unwrap_or(page.cursor);
                slot.take_page(&page, start, epoch, true);
                return Ok((
                    slot,
                    Joined {
                        cursor: start,
                        head: page.head,
                        verdict: page.verdict,
                    },
                ));
            }
        };
        let joined = loop {
            if let Some(join) = slot.place.channel.join(cursor, None) {
                metrics::counter!("weir_ring_hits_total").increment(1);
                slot.delivered = cursor;
                slot.fetched = cursor;
                slot.go_live(join);
                break Joined {
                    cursor,
                    head,
                    verdict: Verdict::Continuous,
                };
            }
            if let Fetched::Page { page, start, epoch } =
                fetch::read(log, &slot.place.channel, cursor, PAGE_ENTRIES_FIRST.into()).await?
            {
                slot.take_page(&page, start, epoch, true);
                break Joined {
                    cursor: start,
                    head: page.head,
                    verdict: page.verdict,
                };
            }
        };
        Ok((slot, joined))
    }

    /// Asks the log, because the channel's head may lag behind what the reader itself has just published.
    async fn begin_at_head(log: &Arc<dyn Log>, mut slot: Self) -> Result<(Self, Joined), ReadError> {
        let epoch = slot.place.channel.epoch();
        let page = log
            .read(slot.stream(), &ReadRequest::forward(From::Now, 1))
            .await?;
        slot.take_page(&page, page.head, epoch, true);
        Ok((
            slot,
            Joined {
                cursor: page.head,
                head: page.head,
                verdict: Verdict::Continuous,
            },
        ))
    }

    fn new(place: Attachment, until: Option<EntryId>, filter: Filter) -> Self {
        let terms = Terms {
            filter,
            until,
            passed: 0,
        };
        let matter = until.is_some() || !terms.filter.passes_all();
        Self {
            place,
            terms: matter.then(|| Box::new(terms)),
            delivered: Cursor::START,
            fetched: Cursor::START,
            items: VecDeque::new(),
            mode: Mode::Paging(Box::new(Paging {
                fetch: None,
                page_at: Some(Instant::now()),
            })),
            heard: 0,
            page_entries: PAGE_ENTRIES_FIRST,
            caught_up_told: false,
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
            Item::Verdict(_) | Item::CaughtUp => EntryId::ZERO,
        })
    }

    /// Fetches if that is needed, then delivers one item.
    pub(super) fn step(
        &mut self,
        log: &Arc<dyn Log>,
        bytes_max: usize,
        out: &mut Vec<Delivery>,
        left: &mut usize,
    ) -> Step {
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

    /// Gets items from the ring or the log, as far as they are there.
    pub(super) fn refill(&mut self, log: &Arc<dyn Log>, bytes_max: usize) {
        loop {
            match &mut self.mode {
                Mode::Live(_) if !self.items.is_empty() => return,
                Mode::Live(number) => {
                    let number = *number;
                    self.pull(number, bytes_max);
                    if self.is_live() {
                        self.let_go_of_room();
                        return;
                    }
                }
                Mode::Paging(paging) => {
                    if let Some(fetch) = &paging.fetch {
                        let from = fetch.from;
                        let Some(fetched) = fetch.take() else { return };
                        paging.fetch = None;
                        self.take_fetched(&fetched, from, log);
                    } else if self.items.is_empty() || self.reads_ahead() {
                        return self.fetch(log, Duration::ZERO);
                    } else {
                        return;
                    }
                }
            }
        }
    }

    /// A slot that is idle keeps no room for entries to come.
    fn let_go_of_room(&mut self) {
        if self.items.is_empty() && self.items.capacity() > ITEMS_KEPT_MAX {
            self.items = VecDeque::new();
        }
    }

    /// A fast reader's next page is read while it takes this one.
    fn reads_ahead(&self) -> bool {
        usize::from(self.page_entries) == PAGE_ENTRIES_MAX && self.items.len() < PAGE_ENTRIES_MAX
    }

    fn fetch(&mut self, log: &Arc<dyn Log>, pause: Duration) {
        let Mode::Paging(paging) = &mut self.mode else {
            return;
        };
        match paging.page_at.map(|at| at.elapsed()) {
            Some(taken_in) if taken_in < PAGE_FAST => {
                self.page_entries = (self.page_entries * 2).min(PAGE_ENTRIES_LARGEST);
            }
            Some(taken_in) if taken_in > PAGE_SLOW => {
                self.page_entries = (self.page_entries / 2).max(PAGE_ENTRIES_MIN);
            }
            _ => {}
        }
        let limit = self.page_entries.into();
        paging.fetch = Some(Fetch::start(log, &self.place, self.fetched, limit, pause));
    }

    fn take_fetched(&mut self, fetched: &Fetched, from: Cursor, log: &Arc<dyn Log>) {
        if let Mode::Paging(paging) = &mut self.mode {
            paging.page_at = Some(Instant::now());
        }
        match fetched {
            Fetched::InRing => {
                if let Some(join) = self.place.channel.join(from, None) {
                    metrics::counter!("weir_ring_hits_total").increment(1);
                    self.go_live(join);
                }
            }
            Fetched::Page { page, start, epoch } => {
                let nothing_new = page.entries.is_empty() && *start == from;
                self.take_page(page, *start, *epoch, false);
                if nothing_new && !self.is_live() {
                    self.fetch(log, NOTHING_NEW_PAUSE);
                }
            }
        }
    }

    /// Takes over a page's verdict and entries, and goes live if the ring has what follows.
    fn take_page(&mut self, page: &Page, start: Cursor, epoch: Epoch, first: bool) {
        if first {
            self.delivered = start;
        }
        let told = match page.verdict {
            Verdict::Continuous => false,
            Verdict::Gap { .. } | Verdict::Reset => true,
            // Once: every page after a bare ID is as unverified as the first.
            Verdict::Unverified => first || self.fetched.ordinal.is_some(),
        };
        if told {
            self.items
                .push_back(Item::Verdict(Box::new((page.verdict, start))));
        }
        self.items.extend(page.entries.iter().cloned().map(Item::Entry));
        self.fetched = if page.entries.is_empty() && page.verdict != Verdict::Reset && !page.tail_reached {
            start
        } else {
            page.cursor
        };
        if let Some(join) = self.place.channel.join(self.fetched, Some(epoch)) {
            self.go_live(join);
        }
    }

    fn go_live(&mut self, join: Join) {
        self.mode = Mode::Live(join.number);
        if self.fetched.ordinal.is_none() {
            self.fetched.ordinal = join.ordinal;
        }
    }

    /// Takes entries from the ring. They must follow `fetched`: what lies before it was read from the log already,
    /// and an ordinal that jumps means that the log has to be asked.
    fn pull(&mut self, number: u64, bytes_max: usize) {
        let (fetched, items) = (&mut self.fetched, &mut self.items);
        let mut hole = false;
        let pulled = self.place.channel.pull(number, bytes_max, |entry| {
            if hole || entry.id() <= fetched.id {
                return;
            }
            let next = fetched.ordinal.map(|Ordinal(n)| Ordinal(n + 1));
            if next.is_some() && entry.cursor.ordinal > next {
                hole = true;
                return;
            }
            let entry = match next {
                // The ring counts behind: this subscriber has been told of a loss that the tail has yet to find.
                Some(next) if entry.cursor.ordinal != Some(next) => {
                    let cursor = Cursor {
                        id: entry.id(),
                        ordinal: Some(next),
                    };
                    Arc::new(Entry::new(entry.stream.clone(), cursor, entry.event.clone()))
                }
                _ => entry.clone(),
            };
            *fetched = entry.cursor;
            items.push_back(Item::Entry(entry));
        });
        match pulled {
            Pull::Taken { number, drained } if !hole => {
                self.mode = Mode::Live(number);
                if drained && !std::mem::replace(&mut self.caught_up_told, true) {
                    self.items.push_back(Item::CaughtUp);
                }
            }
            Pull::Taken { .. } | Pull::Behind => {
                metrics::counter!("weir_fell_behind_total").increment(1);
                self.mode = Mode::Paging(Box::new(Paging {
                    fetch: None,
                    page_at: None,
                }));
            }
        }
    }

    /// Delivers the first item.
    pub(super) fn deliver_one(&mut self, out: &mut Vec<Delivery>, left: &mut usize) -> Step {
        let Some(item) = self.items.pop_front() else {
            return Step::Idle;
        };
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
const ITEM_BYTES: usize = 64;

//! Where a slot's entries come from: pages of the log, and the channel's ring once it holds what follows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::limits::{LOG_PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use shared::{Cursor, Entry, Ordinal, Verdict};

use super::super::fetch::{Fetch, Fetched};
use super::{ITEM_BYTES, Item, Mode, PAGE_ENTRIES_LARGEST, PAGE_ENTRIES_MIN, Paging, Slot, Step};
use crate::hub::{Epoch, Held, Join, Pull};
use crate::{Delivery, Log, Page};

/// A page that was taken within this time was too small, one that took longer than the other too large.
const PAGE_FAST: Duration = Duration::from_millis(250);
const PAGE_SLOW: Duration = Duration::from_secs(1);
/// Pause before the log is read again when it brought nothing and the ring could not be joined either.
const NOTHING_NEW_PAUSE: Duration = Duration::from_millis(20);

impl Slot {
    /// Gets items from the ring or the log, as far as they are there.
    pub(in super::super) fn refill(&mut self, log: &Arc<dyn Log>, bytes_max: usize) {
        loop {
            match &mut self.mode {
                Mode::Live(_) if !self.items.is_empty() => return,
                Mode::Live(number) => {
                    let number = *number;
                    let pulled = self.pull(number, bytes_max, |items, entry| {
                        items.push_back(Item::Entry(entry));
                    });
                    // All that it took may have been read before.
                    let moved = matches!(self.mode, Mode::Live(next) if next > number);
                    let in_vain = pulled == Pulled::Some && moved && self.items.is_empty();
                    if pulled != Pulled::Behind && !in_vain {
                        self.let_go_of_room();
                        return;
                    }
                }
                Mode::Paging(paging) => {
                    if let Some(fetch) = &paging.fetch {
                        let from = fetch.from;
                        let Some(fetched) = fetch.take() else { return };
                        paging.fetch = None;
                        self.take_fetched(fetched, from, log);
                    } else if self.items.is_empty() {
                        return self.fetch(log, Duration::ZERO, None);
                    } else if let Some(ahead) = self.reads_ahead() {
                        return self.fetch(log, Duration::ZERO, Some(ahead));
                    } else {
                        return;
                    }
                }
            }
        }
    }

    /// Takes the page that has come and starts to read the next one, where that is due. `true` if a read was started
    /// that has not begun yet: it rings when it has.
    pub(in super::super) fn read_ahead(&mut self, log: &Arc<dyn Log>) -> bool {
        if self.is_live() {
            return false;
        }
        self.refill(log, 0);
        matches!(&self.mode, Mode::Paging(paging) if paging.fetch.as_ref().is_some_and(|fetch| !fetch.has_begun()))
    }

    /// A fast reader's next page is read while it takes this one.
    fn reads_ahead(&self) -> Option<Held> {
        let is_fast =
            usize::from(self.page_entries) == PAGE_ENTRIES_MAX && self.items.len() <= PAGE_ENTRIES_MAX;
        let history = &self.place.channel.history;
        is_fast.then(|| history.hold_ahead(LOG_PAGE_BYTES_MAX)).flatten()
    }

    /// `ahead`: the right to read before the reader waits for it.
    fn fetch(&mut self, log: &Arc<dyn Log>, pause: Duration, ahead: Option<Held>) {
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
        let limit = self.place.channel.history.ask(self.page_entries.into());
        paging.fetch = Some(Fetch::start(log, &self.place, self.fetched, limit, pause, ahead));
    }

    fn take_fetched(&mut self, fetched: Fetched, from: Cursor, log: &Arc<dyn Log>) {
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
            Fetched::Page {
                page,
                held,
                start,
                epoch,
            } => {
                let nothing_new = page.entries.is_empty() && start == from;
                self.take_page(&page, held, start, epoch, false);
                if nothing_new && !self.is_live() {
                    self.fetch(log, NOTHING_NEW_PAUSE, None);
                }
            }
        }
    }

    /// Takes over the verdict and the entries of a page, which has been cut to what may be held, and goes live if the ring
    /// has what follows.
    pub(super) fn take_page(&mut self, page: &Page, held: Held, start: Cursor, epoch: Epoch, first: bool) {
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
        match &mut self.held {
            Some(before) => before.add(held),
            None => self.held = Some(held),
        }
        self.items.extend(page.entries.iter().cloned().map(Item::Entry));
        self.fetched = if page.entries.is_empty() && page.verdict != Verdict::Reset && !page.tail_reached {
            start
        } else {
            page.cursor
        };
        if let Some(join) = self.place.channel.join(self.fetched, Some(epoch)) {
            self.go_live(join);
        } else if self.is_restored() {
            // Who reads history may do so for long: that it can is told at once.
            self.items.push_back(Item::Restored);
        }
    }

    pub(super) fn go_live(&mut self, join: Join) {
        self.mode = Mode::Live(join.number);
        if self.fetched.ordinal.is_none() {
            self.fetched.ordinal = join.ordinal;
        }
    }

    /// Delivers what the ring holds without keeping it first: what nearly every event comes to. `None` if something
    /// else has to be done, before or behind it.
    pub(super) fn pass_on(&mut self, out: &mut Vec<Delivery>, left: &mut usize) -> Option<Step> {
        let Mode::Live(number) = self.mode else {
            return None;
        };
        if !self.items.is_empty() || self.terms.is_some() || !self.caught_up_told || self.told.is_lost() {
            return None;
        }
        let (bytes_max, before) = (*left, out.len());
        let pulled = self.pull(number, bytes_max, |_, entry| {
            *left = left.saturating_sub(entry.event.size_bytes() + ITEM_BYTES);
            out.push(Delivery::Event(entry));
        });
        if out.len() > before {
            self.delivered = self.fetched;
        }
        match pulled {
            Pulled::All => Some(Step::Idle),
            Pulled::Some => Some(Step::More),
            Pulled::Behind => None,
        }
    }

    /// Takes entries from the ring. They must follow `fetched`: what lies before it was read from the log already,
    /// and an ordinal that jumps means that the log has to be asked.
    fn pull(
        &mut self,
        number: u64,
        bytes_max: usize,
        mut take: impl FnMut(&mut VecDeque<Item>, Arc<Entry>),
    ) -> Pulled {
        // Before the ring is looked at: so everything is in it that was published before that was said.
        let restored = self.is_restored();
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
            take(items, entry);
        });
        match pulled {
            Pull::Taken {
                number: next,
                drained,
            } if !hole => {
                self.mode = Mode::Live(next);
                if drained && !std::mem::replace(&mut self.caught_up_told, true) {
                    self.items.push_back(Item::CaughtUp);
                }
                if drained && restored {
                    self.items.push_back(Item::Restored);
                }
                match drained {
                    true => Pulled::All,
                    false => Pulled::Some,
                }
            }
            Pull::Taken { .. } | Pull::Behind => {
                metrics::counter!("weir_fell_behind_total").increment(1);
                self.mode = Mode::Paging(Box::new(Paging {
                    fetch: None,
                    page_at: None,
                }));
                Pulled::Behind
            }
        }
    }
}

/// How far the ring was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulled {
    /// There is nothing more.
    All,
    /// There is more, and nobody rings for it again.
    Some,
    /// The log has to be asked from now on.
    Behind,
}

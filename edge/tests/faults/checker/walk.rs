//! The walk through the histories: where a subscriber may be after each thing it received, and what is wrong if it can
//! be nowhere.

use std::collections::HashSet;

use shared::EntryId;

use super::{Begin, Event, Findings, Item, Logged, Removal, StreamTruth};

/// A place where the subscriber may be. There are several as long as histories share their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    history: usize,
    /// Index of the entry that comes next.
    next: usize,
    /// Entries skipped so far and not yet told, less those told and not yet skipped.
    owed: i64,
    /// The last event received was one that the server lost later.
    beyond: bool,
}

/// A subscriber's way through the histories of a stream.
pub(super) struct Walk<'a> {
    truth: &'a StreamTruth,
    /// `None`: not known yet.
    places: Option<Vec<Place>>,
    last_id: Option<EntryId>,
    seen: HashSet<Event>,
    findings: Findings,
    /// Items judged so far.
    taken: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(truth: &'a StreamTruth, begin: Begin) -> Self {
        let behind = |id: EntryId| {
            let place = |(history, entries): (usize, &Vec<Logged>)| Place {
                history,
                next: entries.partition_point(|entry| entry.event.id <= id),
                owed: 0,
                beyond: false,
            };
            truth.histories.iter().enumerate().map(place).collect()
        };
        Self {
            truth,
            places: match begin {
                Begin::Start => Some(behind(EntryId::ZERO)),
                Begin::After(id) => Some(behind(id)),
                Begin::Anywhere => None,
            },
            last_id: None,
            seen: HashSet::new(),
            findings: Findings::default(),
            taken: 0,
        }
    }

    pub(super) fn step(&mut self, item: &Item) {
        self.judge(item);
        if self.findings.first_fault_at.is_none() && self.findings.faults() > 0 {
            self.findings.first_fault_at = Some(self.taken);
        }
        self.taken += 1;
    }

    fn judge(&mut self, item: &Item) {
        match *item {
            Item::Event { event, ordinal } => self.event(event, ordinal),
            Item::Gap { lost } => self.gap(lost),
            Item::Reset { resumes_after } => self.reset(resumes_after),
            Item::Unverified => {
                if self.truth.histories.len() == 1 && !self.truth.rolled_back {
                    self.findings.unproven += 1;
                    self.findings.note(format!("unverified after {:?}", self.last_id));
                }
            }
        }
    }

    fn event(&mut self, event: Event, ordinal: Option<u64>) {
        self.findings.events += 1;
        let found: Vec<Place> = match &self.places {
            None => self.anywhere(&event),
            Some(places) => places
                .iter()
                .filter_map(|place| self.advance(place, &event))
                .collect(),
        };
        if found.is_empty() {
            self.misplaced(event);
        } else {
            self.check_ordinal(&found, event, ordinal);
            self.places = Some(found);
        }
        self.seen.insert(event);
        self.last_id = self.last_id.max(Some(event.id));
    }

    /// Every place that is right behind `event`.
    fn anywhere(&self, event: &Event) -> Vec<Place> {
        (0..self.truth.histories.len())
            .filter_map(|history| {
                self.index_of(history, event).map(|index| Place {
                    history,
                    next: index + 1,
                    owed: 0,
                    beyond: false,
                })
            })
            .collect()
    }

    /// The place behind `event`, if that may come next.
    fn advance(&self, place: &Place, event: &Event) -> Option<Place> {
        let index = self.index_of(place.history, event).filter(|_| !place.beyond)?;
        let skipped = self.truth.histories[place.history].get(place.next..index)?;
        let owed = place.owed + skipped.len() as i64;
        let told = owed == 0 || self.truth.removal == Removal::Anywhere;
        (told && skipped.iter().all(|entry| entry.removed)).then_some(Place {
            next: index + 1,
            owed,
            ..*place
        })
    }

    fn index_of(&self, history: usize, event: &Event) -> Option<usize> {
        let history = &self.truth.histories[history];
        let index = history
            .binary_search_by_key(&event.id, |entry| entry.event.id)
            .ok()?;
        (history[index].event == *event).then_some(index)
    }

    fn check_ordinal(&mut self, places: &[Place], event: Event, ordinal: Option<u64>) {
        let Some(ordinal) = ordinal else {
            self.findings.unproven += 1;
            return self.findings.note(format!("{event:?} has no ordinal"));
        };
        // Deletions inside a range are told late, and until then the ordinals are behind.
        let exact = self.truth.removal == Removal::Front;
        if exact && places.iter().all(|place| place.next as u64 != ordinal) {
            self.findings.wrong_ordinals += 1;
            let right = places[0].next;
            self.findings
                .note(format!("{event:?} has the ordinal {ordinal}, right is {right}"));
        }
    }

    /// An event that may not come next: says why, and goes on behind it.
    fn misplaced(&mut self, event: Event) {
        let Some(place) = self.places.as_ref().and_then(|places| places.first().copied()) else {
            return self.nowhere(event);
        };
        let found = (place.history..self.truth.histories.len())
            .chain(0..place.history)
            .find_map(|history| self.index_of(history, &event).map(|index| (history, index)));
        let Some((history, index)) = found else {
            return self.nowhere(event);
        };
        let after = self.last_id;
        if self.seen.contains(&event) {
            self.findings.doubled += 1;
            return self.findings.note(format!("doubled: {event:?}, after {after:?}"));
        }
        if history == place.history && index < place.next {
            self.findings.out_of_order += 1;
            self.findings.missing = self.findings.missing.saturating_sub(1);
            return self
                .findings
                .note(format!("out of order: {event:?}, after {after:?}"));
        }
        if history != place.history || place.beyond {
            self.findings.missing += 1;
            self.findings.note(format!(
                "{event:?} of history {history} came without a reset, after {after:?} of history {}",
                place.history
            ));
        } else if place.owed != 0 {
            self.findings.wrong_gaps += 1;
            self.findings.note(format!(
                "wrong gap: {} told, {} skipped before {event:?}, after {after:?}",
                -place.owed,
                index - place.next
            ));
        } else {
            let lost = index - place.next;
            self.findings.missing += lost as u64;
            self.findings
                .note(format!("missing: {lost} before {event:?}, after {after:?}"));
        }
        self.places = Some(vec![Place {
            history,
            next: index + 1,
            owed: 0,
            beyond: false,
        }]);
    }

    /// An event that is in no history.
    fn nowhere(&mut self, event: Event) {
        if self.truth.rolled_back && !self.seen.contains(&event) {
            for place in self.places.iter_mut().flatten() {
                place.beyond = true;
            }
            return;
        }
        self.findings.unknown += 1;
        self.findings.note(format!("never in the log: {event:?}"));
    }

    fn gap(&mut self, lost: u64) {
        self.findings.gaps += 1;
        self.findings.lost_told += lost;
        for place in self.places.iter_mut().flatten() {
            place.owed -= i64::try_from(lost).unwrap_or(i64::MAX);
        }
    }

    fn reset(&mut self, resumes_after: EntryId) {
        self.findings.resets += 1;
        let Some(places) = &self.places else {
            return;
        };
        if self.last_id.is_some_and(|last| resumes_after > last) {
            self.findings.wrong_resets += 1;
            self.findings.note(format!(
                "the reset goes on after {resumes_after}, further than {:?}",
                self.last_id
            ));
        }
        let last = self.truth.histories.len().saturating_sub(1);
        let mut found: Vec<Place> = Vec::new();
        for place in places {
            for (history, entries) in self.truth.histories.iter().enumerate() {
                let next = entries.partition_point(|entry| entry.event.id <= resumes_after);
                let allowed = if place.beyond {
                    true
                } else if history > place.history {
                    !self.shares(place, history)
                } else {
                    // Another edge that has not heard of the new history yet can go on in an old one, from a position
                    // that the two share. Then it has to tell of the change once more.
                    let own = next > 0 && entries[next - 1].event.id == resumes_after;
                    history < last && !self.shares(place, last) && (own || resumes_after == EntryId::ZERO)
                };
                if !allowed {
                    continue;
                }
                let place = Place {
                    history,
                    next,
                    owed: 0,
                    beyond: false,
                };
                if !found.contains(&place) {
                    found.push(place);
                }
            }
        }
        if found.is_empty() {
            self.findings.wrong_resets += 1;
            self.findings.note(format!(
                "a reset of a history that had not changed, after {:?}",
                self.last_id
            ));
        } else {
            self.places = Some(found);
        }
        self.seen.clear();
    }

    /// Whether what the subscriber has seen up to `place` is in `history` too, so that it needs no reset.
    fn shares(&self, place: &Place, history: usize) -> bool {
        match place.next.checked_sub(1) {
            None => true,
            Some(last) => {
                let last = self.truth.histories[place.history][last].event;
                self.index_of(history, &last).is_some()
            }
        }
    }

    pub(super) fn give_up(self) -> Findings {
        self.findings
    }

    pub(super) fn finish(mut self) -> Findings {
        let last = self.truth.histories.len().saturating_sub(1);
        let end = self.truth.histories.last().map_or(0, Vec::len);
        let places = self.places.take().unwrap_or_default();
        let done = |p: &Place| p.history == last && p.next == end && p.owed == 0 && !p.beyond;
        if end == 0 || places.iter().any(done) {
            return self.findings;
        }
        let left = match places.iter().find(|place| place.history == last) {
            None => {
                self.findings.note("never reached the last history".to_owned());
                end as u64
            }
            Some(place) if place.next < end => {
                let left = (end - place.next) as u64;
                self.findings.note(format!("the last {left} never came"));
                left
            }
            Some(place) if place.owed < 0 => {
                self.findings.wrong_gaps += 1;
                self.findings
                    .note(format!("{} were told as lost that were not", -place.owed));
                0
            }
            Some(place) if place.owed > 0 => {
                self.findings
                    .note(format!("{} are gone, and no gap told it", place.owed));
                place.owed.unsigned_abs()
            }
            Some(_) => {
                self.findings
                    .note("the last events were rolled back, and no reset told it".to_owned());
                1
            }
        };
        self.findings.missing += left;
        self.findings.first_fault_at.get_or_insert(self.taken);
        self.findings
    }
}

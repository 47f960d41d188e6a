//! Readers that page, and what the model says to what they are given.

use broker::{From, Page};
use shared::{Cursor, EntryId, Ordinal, Verdict};

use super::Begin;
use super::world::World;
use crate::{Fixture, cursors, entries, page, page_back, page_of, values};

#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) cursor: Cursor,
    /// The stream was deleted or rolled back since it last stood at the tail.
    pub(super) doubtful: bool,
    /// Its ordinal, if it was known, when it last stood at the tail or began; and what it got and was told since.
    pub(super) base: Option<u64>,
    pub(super) delivered: u64,
    pub(super) lost: u64,
}

impl Reader {
    pub(super) fn at(cursor: Cursor) -> Self {
        Self {
            cursor,
            doubtful: false,
            base: cursor.ordinal.map(|Ordinal(n)| n),
            delivered: 0,
            lost: 0,
        }
    }
}

impl<F: Fixture> World<'_, F> {
    pub(super) async fn begin(&mut self, reader: usize, begin: Begin) {
        let existing: Vec<_> = self.model.existing().copied().collect();
        let pick = |n: u8| existing.get(usize::from(n) % existing.len().max(1));
        let from = match begin {
            Begin::Start => From::Start,
            Begin::Now => From::Now,
            Begin::Last(n) => From::Last(usize::from(n) % 20),
            Begin::Since(n) => From::Since(pick(n).map_or(EntryId::ZERO, |item| item.id)),
            Begin::Bare(n) => {
                let id = pick(n).map_or(EntryId::ZERO, |item| item.id);
                self.readers[reader] = Reader::at(Cursor::bare(id));
                return;
            }
        };
        let page = page(&self.log, &self.stream, from).await;
        assert!(page.tail_reached);
        let expected: Vec<_> = match from {
            From::Last(n) => existing[existing.len().saturating_sub(n)..].to_vec(),
            From::Since(id) => existing.into_iter().filter(|item| item.id >= id).collect(),
            From::Now => Vec::new(),
            _ => existing,
        };
        let expected: Vec<_> = expected.iter().map(|item| item.value).collect();
        assert_eq!(values(&page.entries), expected, "{from:?}");
        self.at_tail(&page);
        self.readers[reader] = Reader::at(page.cursor);
    }

    pub(super) fn at_tail(&self, page: &Page) {
        let head = self.model.head();
        assert_eq!(page.head, head);
        assert_eq!(page.cursor.ordinal, head.ordinal, "the tail gives the count");
        for entry in &page.entries {
            let after = self.model.after(entry.id()).count() as u64;
            assert_eq!(
                entry.cursor.ordinal,
                Some(Ordinal(head.ordinal.unwrap().0 - after))
            );
        }
    }

    /// A reader reads one page, which is judged against the model; returns whether it reached the tail.
    pub(super) async fn page(&mut self, index: usize, limit: usize) -> bool {
        let before = self.readers[index].clone();
        let page = page_of(&self.log, &self.stream, From::Cursor(before.cursor), limit).await;
        let rest: Vec<_> = self
            .model
            .after(before.cursor.id)
            .map(|item| item.value)
            .collect();
        let expected: Vec<_> = rest.iter().take(limit).copied().collect();
        assert_eq!(values(&page.entries), expected, "{before:?}, limit {limit}");
        assert_eq!(page.tail_reached, rest.len() <= limit);
        assert_eq!(page.head, self.model.head());
        self.judge(&before, &page, rest.len() as u64);
        let reader = &mut self.readers[index];
        reader.cursor = page.cursor;
        reader.delivered += page.entries.len() as u64;
        if let Verdict::Gap { lost } = page.verdict {
            reader.lost += lost;
        }
        if !page.tail_reached {
            return false;
        }
        self.at_tail(&page);
        let reader = &self.readers[index];
        if let (Some(base), false) = (reader.base, reader.doubtful) {
            let accounted = base + reader.delivered + reader.lost;
            assert_eq!(
                accounted,
                self.model.added(),
                "each event came or was told lost: {reader:?}"
            );
        }
        self.readers[index] = Reader::at(page.cursor);
        true
    }

    /// Checks a page's verdict on a reader, after whose cursor `after` entries exist.
    pub(super) fn judge(&self, reader: &Reader, page: &Page, after: u64) {
        let context = format!("{reader:?} read {page:?} of {:?}", self.model);
        if let Some(takes_count) = self.model.surely_another(reader.cursor) {
            let may_come_later = takes_count && !page.tail_reached;
            assert!(page.verdict == Verdict::Reset || may_come_later, "{context}");
            assert!(reader.doubtful, "nobody is sent back without a reason: {context}");
            return;
        }
        if reader.doubtful {
            return;
        }
        let Some(Ordinal(n)) = reader.cursor.ordinal else {
            let proven = self.model.removed() == 0;
            let expected = if proven {
                Verdict::Continuous
            } else {
                Verdict::Unverified
            };
            return assert_eq!(page.verdict, expected, "{context}");
        };
        let missing = self.model.added() - n - after;
        let told = match page.verdict {
            Verdict::Continuous => 0,
            Verdict::Gap { lost } => lost,
            other => panic!("{other:?}: {context}"),
        };
        // What hides inside the range may be told later, at the latest where the tail is reached.
        assert!(
            told == missing || (told < missing && !page.tail_reached),
            "{context}"
        );
    }

    pub(super) async fn drain(&mut self, reader: usize, limit: usize) {
        while !self.page(reader, limit).await {}
    }

    pub(super) async fn backward(&self, limit: usize) {
        let mut pages = vec![page_back(&self.log, &self.stream, None, None, limit).await];
        while let Some(last) = pages.last()
            && !last.tail_reached
        {
            assert_eq!(last.verdict, Verdict::Continuous);
            let before = Some(last.cursor);
            pages.push(page_back(&self.log, &self.stream, before, None, limit).await);
        }
        let read = entries(&pages);
        let expected: Vec<_> = self.model.existing().rev().map(|item| item.value).collect();
        assert_eq!(values(&read), expected);
        for (index, cursor) in cursors(&read).iter().enumerate() {
            assert_eq!(cursor.ordinal, Some(Ordinal(self.model.added() - index as u64)));
        }
        let gone = match self.model.removed() {
            0 => Verdict::Continuous,
            lost => Verdict::Gap { lost },
        };
        assert_eq!(pages.last().unwrap().verdict, gone);
    }
}

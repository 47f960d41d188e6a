//! Randomised histories against a naive model: publish, raw appends, trim, delete, re-create, roll back, in any order,
//! while readers page and a subscriber with a tiny ring follows.
//!
//! The model keeps every event that was ever added and whether it still exists, and judges by looking at all of
//! them. `WEIR_MODEL_CASES=5000 cargo test -p broker --test contract model` runs longer.

use std::sync::Arc;
use std::time::Duration;

use broker::{Delivery, From, Log, Page};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shared::{Cursor, EntryId, Ordinal, StreamName, Verdict};

use crate::tail::Tail;
use crate::{
    Fixture, Settings, cursors, entries, in_time, name, page, page_back, page_of, publish, value, values,
};

const READERS: usize = 3;
/// How long a failing history is made shorter.
const SHRINK_MS: u32 = 60_000;
/// More than the length of a millisecond: what is added after it gets a later time.
const TICK: Duration = Duration::from_millis(2);

#[derive(Debug, Clone)]
enum Op {
    Publish(u8),
    Raw,
    Trim(u8),
    Delete(u8),
    DeleteLast,
    DeleteStream,
    Snapshot,
    Restore,
    /// A reader reads one page.
    Page(u8, u8),
    /// A reader reads pages to the tail.
    Drain(u8, u8),
    /// A reader begins anew.
    Begin(u8, Begin),
    Backward(u8),
    /// The subscriber takes everything there is.
    Live,
}

#[derive(Debug, Clone)]
enum Begin {
    Start,
    Now,
    Last(u8),
    Since(u8),
    /// After some entry, by its bare ID.
    Bare(u8),
}

fn any_op() -> impl Strategy<Value = Op> {
    let begin = prop_oneof![
        Just(Begin::Start),
        Just(Begin::Now),
        any::<u8>().prop_map(Begin::Last),
        any::<u8>().prop_map(Begin::Since),
        any::<u8>().prop_map(Begin::Bare),
    ];
    prop_oneof![
        8 => (1u8..12).prop_map(Op::Publish),
        3 => Just(Op::Raw),
        2 => any::<u8>().prop_map(Op::Trim),
        4 => any::<u8>().prop_map(Op::Delete),
        2 => Just(Op::DeleteLast),
        1 => Just(Op::DeleteStream),
        2 => Just(Op::Snapshot),
        2 => Just(Op::Restore),
        8 => (any::<u8>(), 1u8..6).prop_map(|(reader, limit)| Op::Page(reader, limit)),
        5 => (any::<u8>(), 1u8..6).prop_map(|(reader, limit)| Op::Drain(reader, limit)),
        2 => (any::<u8>(), begin).prop_map(|(reader, begin)| Op::Begin(reader, begin)),
        2 => (1u8..20).prop_map(Op::Backward),
        4 => Just(Op::Live),
    ]
}

pub(crate) fn any_history_reads_as_the_model_says<F: Fixture>() {
    let cases = std::env::var("WEIR_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(F::start(Settings::tiny_ring(5)));
    let config = ProptestConfig {
        cases: cases.unwrap_or(F::MODEL_CASES),
        failure_persistence: None,
        max_shrink_time: SHRINK_MS,
        ..ProptestConfig::default()
    };
    let case = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&prop::collection::vec(any_op(), 1..80), |ops| {
        case.set(case.get() + 1);
        let stream = name(&format!("model:{}", case.get()));
        runtime.block_on(run(&fixture, stream, ops));
        Ok(())
    });
    outcome.unwrap();
}

async fn run<F: Fixture>(fixture: &F, stream: StreamName, ops: Vec<Op>) {
    let mut world = World::new(fixture, stream).await;
    for op in ops {
        world.apply(op).await;
    }
    world.live().await;
    for reader in 0..READERS {
        world.drain(reader, 3).await;
    }
}

/// Every event that was ever added to the present history.
#[derive(Debug, Clone, Default)]
struct Model {
    items: Vec<Item>,
    max_deleted: EntryId,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    id: EntryId,
    value: u64,
    exists: bool,
}

impl Model {
    fn existing(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter().filter(|item| item.exists)
    }

    fn after(&self, id: EntryId) -> impl Iterator<Item = &Item> {
        self.existing().filter(move |item| item.id > id)
    }

    fn added(&self) -> u64 {
        self.items.len() as u64
    }

    fn removed(&self) -> u64 {
        self.added() - self.existing().count() as u64
    }

    fn head(&self) -> Cursor {
        let last = self.items.last().map_or(EntryId::ZERO, |item| item.id);
        Cursor::new(last, self.added())
    }

    /// What makes another history certain, by what a server tells of a stream: `None` if nothing does. The flag
    /// says whether that takes a count of the entries after the cursor.
    fn surely_another(&self, cursor: Cursor) -> Option<bool> {
        let first = self.existing().next().map(|item| item.id);
        let present = self.existing().any(|item| item.id == cursor.id);
        let never_held =
            !present && first.is_some_and(|first| first <= cursor.id) && self.max_deleted < cursor.id;
        let Ordinal(n) = cursor.ordinal.unwrap_or_default();
        if cursor.id > self.head().id {
            return Some(false);
        }
        cursor.ordinal?;
        if n > self.added() || never_held {
            return Some(false);
        }
        (self.after(cursor.id).count() as u64 > self.added() - n).then_some(true)
    }
}

#[derive(Debug, Clone)]
struct Reader {
    cursor: Cursor,
    /// The stream was deleted or rolled back since it last stood at the tail.
    doubtful: bool,
    /// Its ordinal, if it was known, when it last stood at the tail or began; and what it got and was told since.
    base: Option<u64>,
    delivered: u64,
    lost: u64,
}

impl Reader {
    fn at(cursor: Cursor) -> Self {
        Self {
            cursor,
            doubtful: false,
            base: cursor.ordinal.map(|Ordinal(n)| n),
            delivered: 0,
            lost: 0,
        }
    }
}

struct World<'f, F: Fixture> {
    fixture: &'f F,
    log: Arc<dyn Log>,
    stream: StreamName,
    model: Model,
    snapshot: Option<(Model, F::Snapshot)>,
    readers: Vec<Reader>,
    tail: Tail,
    /// Where the stream ended when the subscriber had last taken everything, and the position it had then: its last
    /// event may lie before the end, if those behind it were deleted.
    tail_rest: (Cursor, Cursor),
    /// The stream was deleted or rolled back, and the subscriber may not know yet.
    tail_doubtful: bool,
    next_value: u64,
}

impl<'f, F: Fixture> World<'f, F> {
    async fn new(fixture: &'f F, stream: StreamName) -> Self {
        let log = fixture.log();
        let mut tail = Tail::new(&log).taking(200);
        tail.follow(&stream, From::Start).await;
        Self {
            fixture,
            log,
            stream,
            model: Model::default(),
            snapshot: None,
            readers: vec![Reader::at(Cursor::START); READERS],
            tail,
            tail_rest: (Cursor::START, Cursor::START),
            tail_doubtful: false,
            next_value: 1,
        }
    }

    async fn apply(&mut self, op: Op) {
        match op {
            Op::Publish(count) => self.publish(u64::from(count)).await,
            Op::Raw => self.raw().await,
            Op::Trim(part) => self.trim(part).await,
            Op::Delete(pick) => {
                let existing: Vec<_> = self.model.existing().map(|item| item.id).collect();
                if let Some(id) = existing.get(usize::from(pick) % existing.len().max(1)) {
                    self.delete(*id).await;
                }
            }
            Op::DeleteLast => {
                let last = self.model.existing().next_back().map(|item| item.id);
                if let Some(id) = last {
                    self.delete(id).await;
                }
            }
            Op::DeleteStream => {
                self.fixture.delete_stream(&self.stream).await;
                self.replaced(Model::default()).await;
            }
            Op::Snapshot => {
                let snapshot = self.fixture.snapshot(&self.stream).await;
                self.snapshot = Some((self.model.clone(), snapshot));
            }
            Op::Restore => {
                if let Some((model, snapshot)) = self.snapshot.clone() {
                    self.fixture.restore(&self.stream, snapshot).await;
                    self.replaced(model).await;
                }
            }
            Op::Page(reader, limit) => {
                self.page(usize::from(reader) % READERS, usize::from(limit)).await;
            }
            Op::Drain(reader, limit) => {
                self.drain(usize::from(reader) % READERS, usize::from(limit))
                    .await
            }
            Op::Begin(reader, begin) => self.begin(usize::from(reader) % READERS, begin).await,
            Op::Backward(limit) => self.backward(usize::from(limit)).await,
            Op::Live => self.live().await,
        }
    }

    async fn publish(&mut self, count: u64) {
        let numbers = self.next_value..self.next_value + count;
        self.next_value += count;
        let answered = publish(&self.log, &self.stream, numbers.clone()).await;
        for (cursor, value) in answered.into_iter().zip(numbers) {
            self.added(cursor.id, value);
            assert_eq!(cursor, self.model.head(), "the answer names the entry's place");
        }
    }

    async fn raw(&mut self) {
        let field = (Bytes::from_static(b"d"), Bytes::from(self.next_value.to_string()));
        let id = self.fixture.append_raw(&self.stream, None, &[field]).await;
        self.added(id, self.next_value);
        self.next_value += 1;
    }

    fn added(&mut self, id: EntryId, value: u64) {
        assert!(id > self.model.head().id);
        self.model.items.push(Item {
            id,
            value,
            exists: true,
        });
    }

    async fn trim(&mut self, part: u8) {
        let length = self.model.existing().count();
        let keep = length * usize::from(part) / 255;
        self.fixture.trim(&self.stream, keep as u64).await;
        let trimmed = self
            .model
            .items
            .iter_mut()
            .filter(|item| item.exists)
            .take(length - keep);
        trimmed.for_each(|item| item.exists = false);
    }

    async fn delete(&mut self, id: EntryId) {
        self.fixture.delete_entry(&self.stream, id).await;
        let item = self.model.items.iter_mut().find(|item| item.id == id).unwrap();
        item.exists = false;
        self.model.max_deleted = self.model.max_deleted.max(id);
    }

    async fn replaced(&mut self, model: Model) {
        self.model = model;
        self.tail_doubtful = true;
        self.readers.iter_mut().for_each(|reader| reader.doubtful = true);
        self.fixture.advance(TICK).await;
    }

    async fn begin(&mut self, reader: usize, begin: Begin) {
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

    fn at_tail(&self, page: &Page) {
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
    async fn page(&mut self, index: usize, limit: usize) -> bool {
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
    fn judge(&self, reader: &Reader, page: &Page, after: u64) {
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

    async fn drain(&mut self, reader: usize, limit: usize) {
        while !self.page(reader, limit).await {}
    }

    async fn backward(&self, limit: usize) {
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

    /// The subscriber takes everything there is.
    async fn live(&mut self) {
        if self.tail_doubtful {
            // The tail may hold what the stream held before it was replaced until it has seen the new one; what comes
            // behind an event that is added after that is of the new one for sure.
            self.take_all().await;
            in_time("the tail to see the new history", async {
                let head = || {
                    self.log
                        .hub()
                        .channel(&self.stream)
                        .and_then(|channel| channel.head())
                };
                while head() != Some(self.model.head()) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            self.publish(1).await;
            self.take_all().await;
            self.tail_doubtful = false;
        }
        self.take_all().await;
    }

    /// Each event that exists after the subscriber's place must come, and be it after a reset.
    async fn take_all(&mut self) {
        let start = self.tail.position(&self.stream);
        let due: Vec<_> = self
            .model
            .after(self.tail_reach())
            .map(|item| item.value)
            .collect();
        let (mut numbers, mut lost_sum, mut reset) = (Vec::new(), 0, false);
        while !self.tail_is_at_head() {
            match self.tail.next().await {
                Delivery::Event(entry) => numbers.push(value(&entry)),
                Delivery::Gap { lost, .. } => lost_sum += lost,
                Delivery::Reset { .. } => reset = true,
                Delivery::CaughtUp { .. } => {}
                other => panic!("{other:?} was not asked for"),
            }
        }
        let missed: Vec<_> = due.iter().filter(|value| !numbers.contains(value)).collect();
        assert!(missed.is_empty(), "{missed:?} after {start}: got {numbers:?}");
        if !self.tail_doubtful {
            assert!(!reset, "nobody is sent back without a reason");
            let Ordinal(n) = start.ordinal.unwrap();
            assert_eq!(
                n + numbers.len() as u64 + lost_sum,
                self.model.added(),
                "came or was told lost"
            );
        }
        self.tail_rest = (self.model.head(), self.tail.position(&self.stream));
    }

    /// Up to where the subscriber has everything.
    fn tail_reach(&self) -> EntryId {
        let at = self.tail.position(&self.stream);
        let (end, then) = self.tail_rest;
        if at == then { end.id.max(at.id) } else { at.id }
    }

    fn tail_is_at_head(&self) -> bool {
        let (at, head) = (self.tail.position(&self.stream), self.model.head());
        at.ordinal == head.ordinal && at.id <= head.id && self.model.after(self.tail_reach()).next().is_none()
    }
}

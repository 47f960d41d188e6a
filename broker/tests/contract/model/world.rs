//! The log under test and the model, side by side: what is done to one is done to the other.

use std::sync::Arc;
use std::time::Duration;

use broker::{From, Log};
use bytes::Bytes;
use shared::{Cursor, EntryId, StreamName};

use super::history::{Item, Model};
use super::readers::Reader;
use super::{Op, READERS};
use crate::tail::Tail;
use crate::{Fixture, publish};

/// More than the length of a millisecond: what is added after it gets a later time.
const TICK: Duration = Duration::from_millis(2);

pub(super) struct World<'f, F: Fixture> {
    pub(super) fixture: &'f F,
    pub(super) log: Arc<dyn Log>,
    pub(super) stream: StreamName,
    pub(super) model: Model,
    pub(super) snapshot: Option<(Model, F::Snapshot)>,
    pub(super) readers: Vec<Reader>,
    pub(super) tail: Tail,
    /// Where the stream ended when the subscriber had last taken everything, and the position it had then: its last
    /// event may lie before the end, if those behind it were deleted.
    pub(super) tail_rest: (Cursor, Cursor),
    /// The stream was deleted or rolled back, and the subscriber may not know yet.
    pub(super) tail_doubtful: bool,
    pub(super) next_value: u64,
}

impl<'f, F: Fixture> World<'f, F> {
    pub(super) async fn new(fixture: &'f F, stream: StreamName) -> Self {
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

    pub(super) async fn apply(&mut self, op: Op) {
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

    pub(super) async fn publish(&mut self, count: u64) {
        let numbers = self.next_value..self.next_value + count;
        self.next_value += count;
        let answered = publish(&self.log, &self.stream, numbers.clone()).await;
        for (cursor, value) in answered.into_iter().zip(numbers) {
            self.added(cursor.id, value);
            assert_eq!(cursor, self.model.head(), "the answer names the entry's place");
        }
    }

    pub(super) async fn raw(&mut self) {
        let field = (Bytes::from_static(b"d"), Bytes::from(self.next_value.to_string()));
        let id = self.fixture.append_raw(&self.stream, None, &[field]).await;
        self.added(id, self.next_value);
        self.next_value += 1;
    }

    pub(super) fn added(&mut self, id: EntryId, value: u64) {
        assert!(id > self.model.head().id);
        self.model.items.push(Item {
            id,
            value,
            exists: true,
        });
    }

    pub(super) async fn trim(&mut self, part: u8) {
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

    pub(super) async fn delete(&mut self, id: EntryId) {
        self.fixture.delete_entry(&self.stream, id).await;
        let item = self.model.items.iter_mut().find(|item| item.id == id).unwrap();
        item.exists = false;
        self.model.max_deleted = self.model.max_deleted.max(id);
    }

    pub(super) async fn replaced(&mut self, model: Model) {
        self.model = model;
        self.tail_doubtful = true;
        self.readers.iter_mut().for_each(|reader| reader.doubtful = true);
        self.fixture.advance(TICK).await;
    }
}

//! The in-memory engine under the suite, and what only it promises: its bounds.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::{Log, MemoryClock, MemoryConfig, MemoryLog, MemorySnapshot};
use shared::{EntryId, StreamName};

use crate::{Fields, Fixture, Settings};

pub(crate) struct Memory {
    log: Arc<MemoryLog>,
    clock: MemoryClock,
}

#[async_trait]
impl Fixture for Memory {
    type Snapshot = MemorySnapshot;
    const MODEL_CASES: u32 = 192;

    async fn start(settings: Settings) -> Self {
        // Near the machine's clock, by which a subscription's `until` is judged.
        let clock = MemoryClock::manual(shared::time::now_ms());
        let log = MemoryLog::new(MemoryConfig {
            limits: settings.limits,
            retention: settings.retention,
            hub: settings.hub,
            clock: clock.clone(),
            ..MemoryConfig::default()
        });
        Self { log, clock }
    }

    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    async fn append_raw(&self, stream: &StreamName, id: Option<EntryId>, fields: &Fields) -> EntryId {
        self.log.append_raw(stream, id, fields).unwrap()
    }

    async fn trim(&self, stream: &StreamName, keep: u64) {
        self.log.trim(stream, keep);
    }

    async fn delete_entry(&self, stream: &StreamName, id: EntryId) {
        assert_eq!(self.log.delete_entries(stream, &[id]), 1);
    }

    async fn delete_stream(&self, stream: &StreamName) {
        self.log.delete_stream(stream);
    }

    async fn snapshot(&self, stream: &StreamName) -> MemorySnapshot {
        self.log.snapshot(stream)
    }

    async fn restore(&self, stream: &StreamName, snapshot: MemorySnapshot) {
        self.log.restore(stream, snapshot);
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        tokio::task::yield_now().await;
    }
}

contract_suite!(crate::memory::Memory);

mod bounds;

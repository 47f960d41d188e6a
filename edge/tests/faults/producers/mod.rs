//! Producers: over HTTP with idempotency keys, sending again what was not acknowledged, in order; and by raw `XADD`,
//! sending nothing again. They record what was acknowledged.

mod http;
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::{EntryId, StreamName};
use tokio::sync::watch;

pub use http::publish_http;
pub use raw::{RawForm, connect_redis, publish_raw};

/// Pause before a producer comes back.
const PAUSE: Duration = Duration::from_millis(20);

/// How much a producer may have published by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Its events 0 to `events - 1`.
    pub events: u32,
    /// No more will follow.
    pub last: bool,
}

/// Who publishes what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Identifies the producer in its events.
    pub number: u16,
    /// Where it publishes.
    pub stream: StreamName,
    /// How much it may publish.
    pub quota: watch::Receiver<Quota>,
    /// Counts what was acknowledged or given up, of all producers.
    pub published: Arc<AtomicU64>,
}

/// What a producer was told.
#[derive(Debug)]
pub struct Record {
    /// Who.
    pub plan: Plan,
    /// What was acknowledged: the number of the event, and the ID of its entry.
    pub acknowledged: Vec<(u32, EntryId)>,
    /// Events that were sent and never acknowledged.
    pub unknown: u64,
    /// Connections used.
    pub connections: u64,
    /// Lines that were sent more than once.
    pub repeated: u64,
    /// Lines that were answered with an error, and sent again.
    pub refused: u64,
}

impl Record {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            acknowledged: Vec::new(),
            unknown: 0,
            connections: 0,
            repeated: 0,
            refused: 0,
        }
    }

    fn acknowledge(&mut self, number: u32, id: EntryId) {
        self.acknowledged.push((number, id));
        self.plan.published.fetch_add(1, Ordering::Relaxed);
    }
}

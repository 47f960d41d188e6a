//! Producers: over HTTP with idempotency keys, sending again what was not acknowledged, in order; and by raw `XADD`,
//! sending nothing again. They record what was acknowledged.

mod http;
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::{EntryId, StreamName};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Cluster;

pub use http::publish_http;
pub use raw::{RawForm, publish_raw};

/// Pause before a producer comes back.
const PAUSE: Duration = Duration::from_millis(20);

/// How a producer publishes.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// Over HTTP with idempotency keys.
    Http,
    /// By `XADD`.
    Raw(RawForm),
}

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

/// Starts a producer for each source, numbered from 1 on.
pub fn start(
    sources: &[(StreamName, Source)],
    cluster: &Cluster,
    quota: &watch::Receiver<Quota>,
    published: &Arc<AtomicU64>,
    seed: u64,
) -> JoinSet<Record> {
    let mut tasks = JoinSet::new();
    for (index, (stream, source)) in sources.iter().enumerate() {
        let number = index as u16 + 1;
        let plan = Plan {
            number,
            stream: stream.clone(),
            quota: quota.clone(),
            published: published.clone(),
        };
        match source {
            Source::Http => tasks.spawn(publish_http(plan, cluster.addresses(), seed ^ u64::from(number))),
            Source::Raw(form) => tasks.spawn(publish_raw(plan, cluster.redis.socket(), *form)),
        };
    }
    tasks
}

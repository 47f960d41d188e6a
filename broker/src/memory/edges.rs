//! The edges of a log that lives in one process: as a rule just the one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::ready;
use shared::EdgeId;

use super::clock::{MemoryClock, whole_ms};
use crate::edges::{ClusterSecret, EdgeCall, Edges};
use crate::hub::lock;

/// What edges of this process have announced. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryEdges {
    clock: MemoryClock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Address, and when the announcement ends.
    edges: HashMap<EdgeId, (String, u64)>,
    secret: Option<ClusterSecret>,
}

impl MemoryEdges {
    /// No edges yet.
    pub fn new(clock: MemoryClock) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    /// A call that is done when it is polled first.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State, u64) -> T + Send + 'static,
    ) -> EdgeCall<T> {
        let edges = self.clone();
        ready(())
            .map(move |()| Ok(work(&mut lock(&edges.state), edges.clock.now_ms())))
            .boxed()
    }
}

impl Edges for MemoryEdges {
    fn announce(&self, edge: EdgeId, address: &str, ttl: Duration) -> EdgeCall<()> {
        let address = address.to_owned();
        self.call(move |state, now_ms| {
            state.edges.retain(|_, (_, ends_ms)| *ends_ms > now_ms);
            let ends_ms = now_ms.saturating_add(whole_ms(ttl).max(1));
            state.edges.insert(edge, (address, ends_ms));
        })
    }

    fn find(&self, edge: EdgeId) -> EdgeCall<Option<String>> {
        self.call(move |state, now_ms| {
            let found = state.edges.get(&edge);
            found
                .filter(|(_, ends_ms)| *ends_ms > now_ms)
                .map(|(address, _)| address.clone())
        })
    }

    fn withdraw(&self, edge: EdgeId) -> EdgeCall<()> {
        self.call(move |state, _| drop(state.edges.remove(&edge)))
    }

    fn cluster_secret(&self, proposed: ClusterSecret) -> EdgeCall<ClusterSecret> {
        self.call(move |state, _| *state.secret.get_or_insert(proposed))
    }
}

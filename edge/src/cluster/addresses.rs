//! Where the other edges are. What the log said is remembered for a short while, because clients that poll ask often,
//! and longer if the log is away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use broker::Edges;
use shared::EdgeId;
use shared::limits::{CLUSTER_ADDRESS_MEMORY, CLUSTER_ADDRESSES_MAX};

pub(super) struct Addresses {
    edges: Arc<dyn Edges>,
    known: Mutex<HashMap<EdgeId, Known>>,
}

#[derive(Clone)]
struct Known {
    address: String,
    at: Instant,
}

impl Addresses {
    pub(super) fn new(edges: Arc<dyn Edges>) -> Self {
        Self {
            edges,
            known: Mutex::default(),
        }
    }

    /// The address of an edge; `None` if it is gone or never was.
    pub(super) async fn of(&self, edge: EdgeId) -> Option<String> {
        let known = self.known().get(&edge).cloned();
        if let Some(known) = &known
            && known.at.elapsed() < CLUSTER_ADDRESS_MEMORY
        {
            return Some(known.address.clone());
        }
        match self.edges.find(edge).await {
            Ok(Some(address)) => {
                self.remember(edge, &address);
                Some(address)
            }
            Ok(None) => {
                self.forget(edge);
                None
            }
            // The log is away. The edge need not be.
            Err(_) => known.map(|known| known.address),
        }
    }

    /// An edge was not found where it should be.
    pub(super) fn forget(&self, edge: EdgeId) {
        self.known().remove(&edge);
    }

    fn remember(&self, edge: EdgeId, address: &str) {
        let mut known = self.known();
        if known.len() >= CLUSTER_ADDRESSES_MAX {
            known.clear();
        }
        let address = address.to_owned();
        let at = Instant::now();
        known.insert(edge, Known { address, at });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<EdgeId, Known>> {
        // A map is whole between any two calls.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where the other edges are. What the log said is remembered for a short while, because clients that poll ask often,
//! and longer if the log is away or has nothing better to say.

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

    /// The address of an edge, or where it was last; `None` if it never was anywhere, as far as is known here.
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
            // The edge may be cut off from the log, which forgets it then, or the log is away, or has lost its data. The
            // edge need not be gone; if it is, it will not be found there, and is forgotten.
            Ok(None) | Err(_) => known.map(|known| known.address),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use broker::{Log, MemoryLog};
    use shared::limits::CLUSTER_ANNOUNCE_TTL;

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn an_edge_that_the_log_has_forgotten_is_where_it_was_until_it_is_not_found_there() {
        let log = MemoryLog::new(Config::default().memory_config());
        let addresses = Addresses::new(log.edges().clone());
        let edge = EdgeId::from_random([7; 6]);
        assert_eq!(addresses.of(edge).await, None);
        let announced = log.edges().announce(edge, "127.0.0.1:1", CLUSTER_ANNOUNCE_TTL);
        announced.await.unwrap();
        let there = Some("127.0.0.1:1".to_owned());
        assert_eq!(addresses.of(edge).await, there);

        log.edges().withdraw(edge).await.unwrap();
        let long_ago = Instant::now().checked_sub(2 * CLUSTER_ADDRESS_MEMORY).unwrap();
        addresses.known().get_mut(&edge).unwrap().at = long_ago;
        assert_eq!(addresses.of(edge).await, there);
        addresses.forget(edge);
        assert_eq!(addresses.of(edge).await, None);
    }
}

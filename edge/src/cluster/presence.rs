//! Tells the other edges where this one is, for as long as it runs, and learns the secret that they share.

use std::sync::Arc;

use broker::{ClusterSecret, Unavailable};
use shared::EdgeId;
use shared::limits::{CLUSTER_ANNOUNCE_INTERVAL, CLUSTER_ANNOUNCE_RETRY, CLUSTER_ANNOUNCE_TTL};
use tracing::{debug, error, warn};

use super::Cluster;
use crate::random;

/// One edge, as the others find it.
pub struct Presence {
    /// Its name.
    pub edge: EdgeId,
    /// Where others reach it: host and port.
    pub address: String,
    /// The secret that the operator has set; `None`: one is agreed on through the log.
    pub secret: Option<Vec<u8>>,
}

impl Presence {
    /// Announces the edge until it stops; then it withdraws.
    pub async fn keep(self, cluster: Arc<Cluster>) {
        if let Some(secret) = &self.secret {
            cluster.set_secret(secret);
        }
        let mut agreed = match self.secret {
            Some(_) => None,
            None => match random::secret() {
                Some(bytes) => Some(ClusterSecret::from_random(bytes)),
                None => {
                    return error!(
                        "the system has no random numbers to give; sessions cannot move between edges"
                    );
                }
            },
        };
        let drain = cluster.host.drain.clone();
        let mut away = false;
        loop {
            let announced = self.announce(&cluster, &mut agreed).await;
            if let Err(error) = &announced
                && !away
            {
                warn!(%error, "cannot tell the other edges where this one is; trying again");
            }
            away = announced.is_err();
            let pause = if away {
                CLUSTER_ANNOUNCE_RETRY
            } else {
                CLUSTER_ANNOUNCE_INTERVAL
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drain.cancelled() => break,
            }
        }
        if let Err(error) = cluster.edges.withdraw(self.edge).await {
            debug!(%error, "could not withdraw; the announcement ends by itself");
        }
    }

    async fn announce(
        &self,
        cluster: &Cluster,
        agreed: &mut Option<ClusterSecret>,
    ) -> Result<(), Unavailable> {
        if let Some(known) = agreed {
            // The one that all know; and if the log has lost it, it gets it back.
            let secret = cluster.edges.cluster_secret(*known).await?;
            cluster.set_secret(secret.as_bytes());
            *known = secret;
        }
        let announcing = cluster
            .edges
            .announce(self.edge, &self.address, CLUSTER_ANNOUNCE_TTL);
        announcing.await
    }
}

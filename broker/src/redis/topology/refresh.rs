//! Asks the cluster which node has which slot: now and then, and soon when somebody doubts what is known.
//!
//! Any node can answer, also one that is behind the others for a moment; so each time another one is asked, and what it
//! says is put right by redirections.

use std::sync::{Arc, Weak};

use redis::cmd;
use shared::limits::{
    CONNECT_TIMEOUT, REDIS_CLUSTER_ASK_INTERVAL, REDIS_CLUSTER_ASK_INTERVAL_DOUBTED,
    REDIS_CLUSTER_RETRY_PAUSE,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Topology;
use super::nodes::{Address, Range, ranges};
use crate::redis::ConnectError;
use crate::redis::connect::{Connector, Purpose};
use crate::redis::fault::Fault;

/// What the first of these nodes says that can be asked.
pub(in crate::redis) async fn first_view(
    connector: &Connector,
    seeds: &[Address],
) -> Result<Vec<Range>, ConnectError> {
    let mut refused = ConnectError("the URL names no node of the cluster".into());
    for seed in seeds {
        match ask(connector, seed).await {
            Ok(view) => return Ok(view),
            Err(fault) => {
                let why = fault.into_unavailable().0;
                refused = ConnectError(format!("cannot use the Redis Cluster at {seed}: {why}"));
            }
        }
    }
    Err(refused)
}

/// Keeps what is known of the cluster true until `stop` is cancelled.
pub(in crate::redis) async fn run(topology: Weak<Topology>, seeds: Arc<[Address]>, stop: CancellationToken) {
    let work = async {
        let mut failed = false;
        while let Some(topology) = topology.upgrade() {
            let Some(cluster) = &topology.cluster else { return };
            let interval = if failed {
                REDIS_CLUSTER_ASK_INTERVAL_DOUBTED
            } else {
                REDIS_CLUSTER_ASK_INTERVAL
            };
            // Nobody keeps what is only waited for.
            let _ = timeout(interval, cluster.doubted.notified()).await;
            failed = !look(&topology, &cluster.connector, &seeds).await;
            // Whoever doubts does so again and again; and all edges do when a node is lost.
            sleep(REDIS_CLUSTER_RETRY_PAUSE.mul_f64(1.0 + fastrand::f64())).await;
        }
    };
    let _ = stop.run_until_cancelled(work).await;
}

/// Asks one node after the other, in any order, until one answers. Whether every node that is known seems to be there.
async fn look(topology: &Topology, connector: &Connector, seeds: &[Address]) -> bool {
    let nodes = topology.present();
    let known = nodes.all().iter().filter_map(|node| node.address().cloned());
    let mut addresses: Vec<Address> = known.collect();
    fastrand::shuffle(&mut addresses);
    let mut asked_in_vain = false;
    for address in addresses.iter().chain(seeds) {
        match ask(connector, address).await {
            Ok(view) => {
                topology.told(&view);
                return !asked_in_vain;
            }
            Err(fault) => {
                debug!(node = %address, ?fault, "a node of the Redis Cluster does not say who has which slot");
                asked_in_vain = true;
            }
        }
    }
    warn!("no node of the Redis Cluster says who has which slot");
    false
}

async fn ask(connector: &Connector, address: &Address) -> Result<Vec<Range>, Fault> {
    let answer = async {
        let mut connection = connector
            .at(&address.host, address.port)
            .open(&Purpose::default())
            .await
            .map_err(|error| Fault::of(&error))?;
        let command = cmd("CLUSTER").arg("SLOTS").take();
        let reply = connection.send_packed_command(&command).await;
        ranges(reply.map_err(|error| Fault::of(&error))?, address)
    };
    match timeout(CONNECT_TIMEOUT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::Lost("Redis does not answer")),
    }
}

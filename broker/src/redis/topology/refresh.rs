//! Asks the cluster which node has which slot: now and then, and soon when somebody doubts what is known.
//!
//! Any node can answer, also one that is behind the others for a moment; so each time another one is asked, and what it
//! says is put right by redirections.

use std::sync::Arc;

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
pub(in crate::redis) async fn run(topology: Arc<Topology>, seeds: Arc<[Address]>, stop: CancellationToken) {
    let work = async {
        let Some(cluster) = &topology.cluster else { return };
        let mut failed = false;
        let mut told = false;
        loop {
            let interval = if failed {
                REDIS_CLUSTER_ASK_INTERVAL_DOUBTED
            } else {
                REDIS_CLUSTER_ASK_INTERVAL
            };
            // Whether it is doubted or only time does not matter.
            let _ = timeout(interval, cluster.doubted.notified()).await;
            let answer = look(&topology, &cluster.connector, &seeds).await;
            failed = answer != Answer::First;
            if answer != Answer::None {
                told = false;
            } else if !std::mem::replace(&mut told, true) {
                warn!("no node of the Redis Cluster says who has which slot");
            }
            // Whoever doubts does so again and again; and all edges do when a node is lost.
            sleep(REDIS_CLUSTER_RETRY_PAUSE.mul_f64(1.0 + fastrand::f64())).await;
        }
    };
    let _ = stop.run_until_cancelled(work).await;
}

/// Who has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The node that was asked first.
    First,
    /// One that was asked after another, which is away.
    Later,
    None,
}

/// Asks one node after the other, in any order, until one answers.
async fn look(topology: &Topology, connector: &Connector, seeds: &[Address]) -> Answer {
    let nodes = topology.present();
    let known = nodes.all().iter().filter_map(|node| node.address().cloned());
    let mut addresses: Vec<Address> = known.collect();
    fastrand::shuffle(&mut addresses);
    let mut answer = Answer::First;
    for address in addresses.iter().chain(seeds) {
        match ask(connector, address).await {
            Ok(view) => {
                topology.told(&view);
                return answer;
            }
            Err(fault) => {
                debug!(node = %address, ?fault, "a node of the Redis Cluster does not say who has which slot");
                answer = Answer::Later;
            }
        }
    }
    Answer::None
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

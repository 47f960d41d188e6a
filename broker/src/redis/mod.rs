//! The Redis engine: streams in Redis, over a few shared connections. One server, a master that Sentinels name, or the
//! masters of a Redis Cluster: everything below [`topology`] works with one node at a time.
//!
//! | module | owns |
//! |---|---|
//! | [`topology`] | the nodes, and which stream is on which |
//! | [`append`] | the lanes that take appends, each with one connection per node |
//! | [`read`] | page reads, over a pool per node |
//! | [`tail`] | the live side: one connection per node |
//! | [`ephemeral`] | ephemeral events between edges: one connection per node |
//! | [`records`] | session records and the edge registry: one connection per node |
//! | [`durability`] | how Redis is asked whether an append is safe |
//! | [`connect`] | how connections are opened, and to which servers: Sentinels, TLS |
//! | [`link`], [`absence`] | a connection that comes back, and since when it has been missing |
//! | [`keys`], [`slot`] | what keys are called, and their slots |
//! | [`wire`] | our own connections: requests and replies as bytes |
//! | [`parse`], [`fault`] | what replies mean |
//! | [`memory_watch`] | how full the server is |

mod absence;
mod append;
mod config;
mod connect;
mod durability;
mod ephemeral;
mod fault;
mod gauge;
mod keys;
mod link;
mod memory_watch;
mod parse;
mod read;
mod records;
mod slot;
mod tail;
mod topology;
mod wire;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use shared::limits::{CONNECT_TIMEOUT, HUB_SWEEP_INTERVAL, LIVE_POLL};
use shared::{Event, StreamName};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

pub use config::{ConnectError, RedisConfig, TailMode, TlsFiles};

use crate::{
    AppendError, Edges, EphemeralError, Feed, Hub, Log, NewEvent, Page, Part, ReadError, ReadRequest,
    Receipt, Sessions, Unavailable,
};
use append::Lanes;
use connect::Deployment;
use keys::KeyTemplate;
use records::{Records, RedisEdges, RedisSessions};
use topology::{Starter, Topology};

/// The Redis engine. Dropping it ends its tasks after what was queued is appended; [`RedisLog::shutdown`] waits for
/// that.
pub struct RedisLog {
    keys: KeyTemplate,
    topology: Arc<Topology>,
    lanes: Lanes,
    hub: Arc<Hub>,
    sessions: Arc<dyn Sessions>,
    edges: Arc<dyn Edges>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl RedisLog {
    /// Connects, checks the server's version, and starts the tail. Fails if the server cannot be reached now; once
    /// it has been up, the engine keeps trying for ever.
    pub async fn connect(config: RedisConfig) -> Result<Arc<Self>, ConnectError> {
        let keys = KeyTemplate::parse(&config.key_template).map_err(|e| ConnectError(e.to_string()))?;
        let connector = config.connector()?;
        connector.check_server().await?;
        connector.check_durability(config.durability).await?;
        let in_cluster = matches!(connector.deployment(), Deployment::Cluster { .. });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let starter = Starter::new(&config, &keys, in_cluster, &tasks, &stop);
        let topology = match connector.deployment().clone() {
            Deployment::Single(_) => Topology::single(connector, starter)?,
            Deployment::Sentinel(sentinels) => {
                let stop = stop.clone();
                tasks.spawn(async move { sentinels.watch(stop).await });
                Topology::single(connector, starter)?
            }
            Deployment::Cluster { seeds } => {
                let view = topology::first_view(&connector, &seeds).await?;
                let topology = Topology::cluster(connector, starter, &view)?;
                tasks.spawn(topology::refresh(topology.clone(), seeds, stop.clone()));
                topology
            }
        };
        tasks.spawn(memory_watch::run(topology.clone(), stop.clone()));
        let lanes = Lanes::start(&topology, &keys, &config, &tasks, stop.clone());
        let records = Arc::new(Records::new(topology.clone()));
        tasks.close();
        let feed: Weak<dyn Feed> = Arc::downgrade(&(topology.clone() as Arc<dyn Feed>));
        let hub = Hub::new(config.hub, feed);
        tasks.spawn(sweep(Arc::downgrade(&hub), stop.clone()));
        let log = Arc::new(Self {
            lanes,
            hub,
            topology,
            sessions: Arc::new(RedisSessions::new(records.clone(), keys.clone())),
            edges: Arc::new(RedisEdges::new(records, keys.clone())),
            keys,
            tasks,
            stop,
        });
        log.ready().await;
        Ok(log)
    }

    /// Takes no more appends, completes what is queued, and ends the tail.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// Waits, but not for long, until everything is connected: so that what is asked first is answered well.
    async fn ready(&self) {
        let ready = async {
            while let Err(error) = self.topology.check_every().await {
                debug!(%error, "not ready yet");
                tokio::time::sleep(LIVE_POLL).await;
            }
        };
        // Else the engine tries on, and says so by `check`.
        let _ = timeout(CONNECT_TIMEOUT, ready).await;
    }
}

/// Lets the hub give up what nobody uses, for as long as there is a hub.
async fn sweep(hub: Weak<Hub>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HUB_SWEEP_INTERVAL) => {}
        }
        let Some(hub) = hub.upgrade() else { return };
        hub.sweep();
    }
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Log for RedisLog {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        self.lanes.submit(stream, events).await
    }

    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        read::read(&self.topology, &self.keys, stream, request).await
    }

    fn send_ephemeral(&self, stream: &StreamName, event: Event) -> Result<(), EphemeralError> {
        self.topology.owner(stream).ephemerals().send(stream, &event)
    }

    fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }

    fn edges(&self) -> &Arc<dyn Edges> {
        &self.edges
    }

    async fn check(&self) -> Result<(), Unavailable> {
        self.topology.check().await
    }

    fn parts(&self) -> Vec<Part> {
        self.topology.parts()
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

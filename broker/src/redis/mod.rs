//! The Redis engine: streams in Redis, over a few shared connections.
//!
//! | module | owns |
//! |---|---|
//! | [`append`] | the lanes that take appends, each with one connection |
//! | [`read`] | page reads, over a pool |
//! | [`tail`] | the live side: one connection per node |
//! | [`ephemeral`] | ephemeral events between edges: one connection |
//! | [`records`] | session records and the edge registry: one connection |
//! | [`connect`] | how connections are opened, and to which servers: Sentinels, TLS |
//! | [`link`] | a connection that comes back |
//! | [`keys`] | what keys are called |
//! | [`parse`], [`fault`] | what replies mean |
//! | [`memory_watch`] | how full the server is |

mod append;
mod config;
mod connect;
mod ephemeral;
mod fault;
mod gauge;
mod keys;
mod link;
mod memory_watch;
mod parse;
mod read;
mod records;
mod tail;

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
    AppendError, Channel, Edges, EphemeralError, Feed, Hub, Log, NewEvent, Page, ReadError, ReadRequest,
    Receipt, Sessions, Unavailable,
};
use append::Lanes;
use connect::{Connector, Deployment};
use ephemeral::Ephemerals;
use keys::KeyTemplate;
use read::Reader;
use records::{Calls, RedisEdges, RedisSessions};
use tail::Tail;

/// The Redis engine. Dropping it ends its tasks after what was queued is appended; [`RedisLog::shutdown`] waits for
/// that.
pub struct RedisLog {
    lanes: Lanes,
    reader: Reader,
    live: Arc<Live>,
    hub: Arc<Hub>,
    records: Arc<Calls>,
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
        let connector = Connector::new(&config)?;
        connector.check_server().await?;
        if let Deployment::Cluster { .. } = connector.deployment() {
            let why =
                "the Redis URL cannot be used: Redis Cluster is not supported yet; use a server or Sentinels";
            return Err(ConnectError(why.into()));
        }
        let reader = Reader::new(config.read_connections, &connector, keys.clone())?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        if let Deployment::Sentinel(sentinels) = connector.deployment() {
            let (sentinels, stop) = (Arc::clone(sentinels), stop.clone());
            tasks.spawn(async move { sentinels.watch(stop).await });
        }
        tasks.spawn(memory_watch::run(connector.clone(), stop.clone()));
        let lanes = Lanes::start(
            config.append_connections,
            &connector,
            &keys,
            config.retention,
            &config.limits,
            &tasks,
            stop.clone(),
        );
        let records = Arc::new(Calls::start(&connector, &keys, &tasks, stop.clone()));
        let live = Arc::new(Live {
            ephemerals: Ephemerals::start(connector.clone(), keys.clone(), &tasks, stop.clone()),
            tail: Tail::start(connector, keys.clone(), config.tail, &tasks, stop.clone()),
        });
        tasks.close();
        let feed: Weak<dyn Feed> = Arc::downgrade(&(live.clone() as Arc<dyn Feed>));
        let hub = Hub::new(config.hub, feed);
        tasks.spawn(sweep(Arc::downgrade(&hub), stop.clone()));
        let log = Arc::new(Self {
            lanes,
            reader,
            hub,
            live,
            sessions: Arc::new(RedisSessions::new(records.clone(), keys.clone())),
            edges: Arc::new(RedisEdges::new(records.clone(), keys)),
            records,
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
            while let Err(error) = self.check().await {
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
        self.reader.read(stream, request).await
    }

    fn send_ephemeral(&self, stream: &StreamName, event: Event) -> Result<(), EphemeralError> {
        self.live.ephemerals.send(stream, &event)
    }

    fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }

    fn edges(&self) -> &Arc<dyn Edges> {
        &self.edges
    }

    async fn check(&self) -> Result<(), Unavailable> {
        self.lanes.check().await?;
        self.records.check().map_err(|why| Unavailable(why.into()))?;
        if !self.live.tail.is_live() {
            return Err(Unavailable("the live tail has no connection to Redis".into()));
        }
        if !self.live.ephemerals.is_up() {
            let why = "there is no connection to Redis for ephemeral events";
            return Err(Unavailable(why.into()));
        }
        Ok(())
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

/// What feeds the hub.
struct Live {
    tail: Tail,
    ephemerals: Ephemerals,
}

impl Feed for Live {
    fn watch(&self, channel: &Arc<Channel>) {
        self.tail.watch(channel);
    }

    fn unwatch(&self, channel: &Arc<Channel>) {
        self.tail.unwatch(channel);
    }

    fn listen(&self, channel: &Arc<Channel>) {
        self.ephemerals.listen(channel);
    }

    fn unlisten(&self, channel: &Arc<Channel>) {
        self.ephemerals.unlisten(channel);
    }
}

//! One node: a server that has streams, and everything that is kept up to use it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use shared::limits::CONNECT_TIMEOUT;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Topology;
use super::guide::Guide;
use super::nodes::Address;
use crate::hub::lock;
use crate::redis::connect::Connector;
use crate::redis::ephemeral::Ephemerals;
use crate::redis::fault::Fault;
use crate::redis::keys::KeyTemplate;
use crate::redis::link::{self, Link, LinkState};
use crate::redis::read::Reader;
use crate::redis::records::Calls;
use crate::redis::tail::Tail;
use crate::redis::{ConnectError, RedisConfig, TailMode};
use crate::{Away, Durability, Part, Unavailable};

/// How long a node is kept that has no slot: it may get some.
const YOUNG: Duration = Duration::from_secs(60);

/// Tells nodes apart; never used again in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::redis) struct NodeId(pub(in crate::redis) u32);

/// Tells lanes of appends apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum LaneId {
    /// One of those that wait for nothing but the answer.
    Plain(usize),
    /// The one that waits until appends are this durable.
    Durable(Durability),
}

/// A server that has streams.
pub(in crate::redis) struct Node {
    id: NodeId,
    /// Where it is in a cluster; a single server may be anywhere.
    address: Option<Address>,
    /// What each lane of appends sees of its connection.
    appends: Vec<watch::Receiver<LinkState>>,
    /// The same for lanes of durable appends, which come when they are needed.
    durable_appends: Mutex<HashMap<Durability, watch::Receiver<LinkState>>>,
    /// The connections themselves, until the lanes take them.
    append_links: Mutex<Vec<Option<Link>>>,
    keys: KeyTemplate,
    probe: redis::Cmd,
    reader: Reader,
    calls: Calls,
    tail: Tail,
    ephemerals: Ephemerals,
    connector: Connector,
    started_at: Instant,
    stop: CancellationToken,
}

/// What every node is started with.
pub(in crate::redis) struct Starter {
    keys: KeyTemplate,
    lanes: usize,
    read_connections: usize,
    tail: TailMode,
    in_cluster: bool,
    tasks: TaskTracker,
    stop: CancellationToken,
    next_id: AtomicU32,
}

impl Starter {
    /// Nodes whose tasks are tracked by `tasks` and end when `stop` is cancelled.
    pub(in crate::redis) fn new(
        config: &RedisConfig,
        keys: &KeyTemplate,
        in_cluster: bool,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            keys: keys.clone(),
            lanes: config.append_connections.max(1),
            read_connections: config.read_connections,
            tail: config.tail,
            in_cluster,
            tasks: tasks.clone(),
            stop: stop.clone(),
            next_id: AtomicU32::new(0),
        }
    }

    pub(super) fn keys(&self) -> &KeyTemplate {
        &self.keys
    }

    /// Begins to connect to a node. Fails only if what is needed for that cannot be set up here.
    pub(super) fn start(
        &self,
        connector: Connector,
        address: Option<Address>,
        topology: Weak<Topology>,
    ) -> Result<Arc<Node>, ConnectError> {
        let id = NodeId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (keys, tasks, stop) = (&self.keys, &self.tasks, self.stop.child_token());
        let link = |_| Link::new(connector.clone(), keys, "appends");
        let (append_links, appends) = (0..self.lanes)
            .map(link)
            .map(|(link, seen)| (Some(link), seen))
            .unzip();
        let guide = Guide::new(topology, id, self.in_cluster);
        Ok(Arc::new(Node {
            id,
            address,
            appends,
            durable_appends: Mutex::default(),
            append_links: Mutex::new(append_links),
            keys: keys.clone(),
            probe: link::probe(keys),
            reader: Reader::new(self.read_connections, &connector, keys.clone())?,
            calls: Calls::start(&connector, keys, tasks, stop.clone()),
            ephemerals: Ephemerals::start(
                connector.clone(),
                guide.clone(),
                keys.clone(),
                tasks,
                stop.clone(),
            ),
            tail: Tail::start(
                connector.clone(),
                guide,
                keys.clone(),
                self.tail,
                tasks,
                stop.clone(),
            ),
            connector,
            started_at: Instant::now(),
            stop,
        }))
    }
}

impl Node {
    pub(in crate::redis) fn id(&self) -> NodeId {
        self.id
    }

    /// Where it is in a cluster.
    pub(in crate::redis) fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// The connection for one lane of appends, once.
    pub(in crate::redis) fn take_append_link(&self, lane: usize) -> Option<Link> {
        lock(&self.append_links).get_mut(lane)?.take()
    }

    /// A connection for the lane of appends that are to be this durable.
    pub(in crate::redis) fn open_durable_append_link(&self, durability: Durability) -> Link {
        let (link, seen) = Link::new(self.connector.clone(), &self.keys, "durable appends");
        lock(&self.durable_appends).insert(durability, seen);
        link
    }

    /// Why one lane of appends cannot send; `None` if it can.
    pub(in crate::redis) fn appends_away(&self, lane: LaneId) -> Option<&'static str> {
        let away = |seen: &watch::Receiver<LinkState>| seen.borrow().as_ref().err().map(|away| away.why);
        match lane {
            LaneId::Plain(index) => away(self.appends.get(index)?),
            LaneId::Durable(durability) => away(lock(&self.durable_appends).get(&durability)?),
        }
    }

    pub(in crate::redis) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(in crate::redis) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(in crate::redis) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(in crate::redis) fn ephemerals(&self) -> &Ephemerals {
        &self.ephemerals
    }

    /// Opens connections to it.
    pub(in crate::redis) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Whether it has not been known for long.
    pub(super) fn is_young(&self) -> bool {
        self.started_at.elapsed() < YOUNG
    }

    /// It is not used any more. What was sent to it is still answered.
    pub(super) fn retire(&self) {
        self.stop.cancel();
    }

    /// Whether this process can append to it and tail it right now.
    pub(super) async fn check(&self) -> Result<(), Unavailable> {
        // What is known comes first: nobody waits for an answer then.
        if let Some(away) = self.aways().into_iter().find_map(|(_, away)| away) {
            return Err(Unavailable(away.why.into()));
        }
        for seen in &self.appends {
            let link = seen.borrow().clone();
            let link = link.map_err(|away| Unavailable(away.why.into()))?;
            match link::run_probe(&link.pipe, &self.probe, CONNECT_TIMEOUT).await {
                // Another node would take the write: this one answers.
                Ok(()) | Err(Fault::Moved(_)) => {}
                Err(fault) => return Err(fault.into_unavailable()),
            }
        }
        // It may have gone while that was asked.
        match self.aways().into_iter().find_map(|(_, away)| away) {
            Some(away) => Err(Unavailable(away.why.into())),
            None => Ok(()),
        }
    }

    /// What of it works, as far as is known.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        let node = self.address.as_ref().map(Address::to_string);
        self.aways().into_iter().map(move |(name, away)| Part {
            name,
            node: node.clone(),
            away,
        })
    }

    fn aways(&self) -> [(&'static str, Option<Away>); 4] {
        let mut appends = self.appends.iter();
        [
            (
                "appends",
                appends.find_map(|seen| seen.borrow().as_ref().err().copied()),
            ),
            ("tail", self.tail.away()),
            ("sessions", self.calls.away()),
            ("ephemeral", self.ephemerals.away()),
        ]
    }
}

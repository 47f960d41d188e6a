//! The nodes that hold the streams: one server, or the masters of a Redis Cluster, and which stream is on which.
//!
//! One stream is on one node, with everything that is kept beside it. Every module of the engine that talks to Redis works
//! with one node at a time and asks here which one. When a node says that it has a stream no more ([`Fault::Moved`]), the
//! map is put right at once ([`Topology::redirected`]), and the cluster is asked for all of it soon after ([`refresh`]).
//! Streams that are followed move to the tail of their new node.
//!
//! | module | owns |
//! |---|---|
//! | [`node`] | what is kept up for one node: its connections and its tail |
//! | [`nodes`] | which node has which slot |
//! | [`followed`] | at which node each channel is followed |
//! | [`guide`] | whom a node's tasks tell that something is elsewhere |
//! | [`refresh`] | when the cluster is asked |

mod followed;
mod guide;
mod node;
mod nodes;
mod refresh;

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures_util::future::select_ok;
use redis::{Pipeline, cmd};
use shared::StreamName;
use shared::limits::{
    REDIS_CLUSTER_REDIRECTS_AT_ONCE, REDIS_CLUSTER_REDIRECTS_MAX, REDIS_CLUSTER_RETRY_PAUSE,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

pub(super) use guide::Guide;
pub(super) use node::{LaneId, Node, NodeId, Starter};
pub(super) use nodes::{Address, Nodes, Range};
pub(super) use refresh::{first_view, run as refresh};

use super::ConnectError;
use super::connect::Connector;
use super::fault::{Fault, Redirect};
use super::keys::KeyTemplate;
use crate::hub::lock;
use crate::{Channel, Feed, Part, Unavailable};
use followed::Followings;

/// Begins the commands for a node that has a key but not yet its slot: it is told that another one sends us.
pub(super) fn ask_first(commands: &mut Pipeline, asking: bool) {
    if asking {
        commands.add_command(cmd("ASKING"));
    }
}

/// All nodes, and what is known of them.
pub(super) struct Topology {
    keys: KeyTemplate,
    starter: Starter,
    nodes: watch::Sender<Arc<Nodes>>,
    /// Only of a cluster: a single server has everything.
    cluster: Option<Cluster>,
    itself: Weak<Self>,
}

struct Cluster {
    /// Gives a connector for each node.
    connector: Connector,
    /// Held while the map is changed, so that what is followed is always where the map says.
    changing: Mutex<Changing>,
    /// Somebody has reason to believe that the map is not right.
    doubted: Notify,
}

#[derive(Default)]
struct Changing {
    followings: Followings,
    /// When a redirection changed the map last, and for which slot.
    redirected: Option<(u16, Instant)>,
}

impl Topology {
    /// One server, or whichever the Sentinels name.
    pub(super) fn single(connector: Connector, starter: Starter) -> Result<Arc<Self>, ConnectError> {
        Self::start(starter, None, |starter, topology| {
            let node = starter.start(connector, None, topology.clone())?;
            Ok(Nodes::single(node))
        })
    }

    /// A cluster, of which one node has told this `view`.
    pub(super) fn cluster(
        connector: Connector,
        starter: Starter,
        view: &[Range],
    ) -> Result<Arc<Self>, ConnectError> {
        let cluster = Cluster {
            connector: connector.clone(),
            changing: Mutex::default(),
            doubted: Notify::new(),
        };
        Self::start(starter, Some(cluster), |starter, topology| {
            Nodes::of_cluster(view, None, |address| {
                let connector = connector.at(&address.host, address.port);
                starter.start(connector, Some(address.clone()), topology.clone())
            })
        })
    }

    fn start(
        starter: Starter,
        cluster: Option<Cluster>,
        nodes: impl FnOnce(&Starter, &Weak<Self>) -> Result<Nodes, ConnectError>,
    ) -> Result<Arc<Self>, ConnectError> {
        let mut refused = None;
        let topology = Arc::new_cyclic(|itself| {
            let nodes = nodes(&starter, itself).unwrap_or_else(|error| {
                refused = Some(error);
                Nodes::none()
            });
            Self {
                keys: starter.keys().clone(),
                starter,
                nodes: watch::Sender::new(Arc::new(nodes)),
                cluster,
                itself: itself.clone(),
            }
        });
        match refused {
            None => Ok(topology),
            Some(error) => Err(error),
        }
    }

    /// Follows which node has what.
    pub(super) fn nodes(&self) -> watch::Receiver<Arc<Nodes>> {
        self.nodes.subscribe()
    }

    /// The nodes as they are known now.
    pub(super) fn present(&self) -> Arc<Nodes> {
        self.nodes.borrow().clone()
    }

    /// The node that has a stream.
    pub(super) fn owner(&self, stream: &StreamName) -> Arc<Node> {
        self.nodes.borrow().owner(&self.keys, stream).clone()
    }

    /// Whether this process can append and tail right now, at one of the nodes at least: what is on another one may be
    /// away.
    pub(super) async fn check(&self) -> Result<(), Unavailable> {
        let nodes = self.present();
        let checks = nodes.all().iter().map(|node| Box::pin(node.check()));
        select_ok(checks).await.map(drop)
    }

    /// What of each node works, as far as is known.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.present()
            .all()
            .iter()
            .flat_map(|node| node.parts())
            .collect()
    }

    /// Whether that is so at every node.
    pub(super) async fn check_every(&self) -> Result<(), Unavailable> {
        for node in self.present().all() {
            node.check().await?;
        }
        Ok(())
    }

    /// Something may have changed: the cluster is asked.
    pub(super) fn look(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.doubted.notify_one();
        }
    }

    /// A node has said that another one is to be asked. Brings that one.
    pub(super) fn redirected(&self, by: &Node, redirect: &Redirect) -> Option<Arc<Node>> {
        let cluster = self.cluster.as_ref()?;
        let address = Address {
            host: match redirect.host.as_str() {
                "" => by.address()?.host.clone(),
                host => host.to_owned(),
            },
            port: redirect.port,
        };
        let mut changing = lock(&cluster.changing);
        let nodes = self.present();
        let known = nodes.by_address(&address).cloned();
        let node = match known {
            Some(node) => node,
            None => self.start_node(cluster, &address)?,
        };
        cluster.doubted.notify_one();
        // Two nodes may each believe that the other has the slot, until they have heard of each other.
        let just_changed = changing
            .redirected
            .is_some_and(|(slot, at)| slot == redirect.slot && at.elapsed() < REDIS_CLUSTER_RETRY_PAUSE);
        if redirect.ask || just_changed {
            if nodes.by_id(node.id()).is_none() {
                self.change(&mut changing, nodes.and(node.clone()));
            }
        } else if nodes.of_slot(redirect.slot).id() != node.id() {
            changing.redirected = Some((redirect.slot, Instant::now()));
            self.change(
                &mut changing,
                nodes.and(node.clone()).with_slot(redirect.slot, &node),
            );
        }
        Some(node)
    }

    fn start_node(&self, cluster: &Cluster, address: &Address) -> Option<Arc<Node>> {
        let connector = cluster.connector.at(&address.host, address.port);
        let started = self
            .starter
            .start(connector, Some(address.clone()), self.itself.clone());
        started
            .inspect(|_| info!(node = %address, "a node of the Redis Cluster is used from now on"))
            .inspect_err(|error| warn!(%error, "a node of the Redis Cluster cannot be used"))
            .ok()
    }

    /// What one node has told of the whole cluster.
    fn told(&self, view: &[Range]) {
        let Some(cluster) = &self.cluster else { return };
        let mut changing = lock(&cluster.changing);
        let before = self.present();
        let nodes = Nodes::of_cluster(view, Some(&before), |address| {
            self.start_node(cluster, address)
                .ok_or_else(|| ConnectError(format!("the node {address} cannot be used")))
        });
        let Ok(mut nodes) = nodes else { return };
        // What has no slot may be about to get some: streams of a slot that is being moved are there already.
        for node in before.all() {
            if nodes.by_id(node.id()).is_none() && (node.is_young() || changing.followings.uses(node)) {
                nodes = nodes.and(node.clone());
            }
        }
        if !nodes.is_like(&before) {
            self.change(&mut changing, nodes);
        }
    }

    fn change(&self, changing: &mut MutexGuard<'_, Changing>, nodes: Nodes) {
        let nodes = Arc::new(nodes);
        let before = self.nodes.send_replace(nodes.clone());
        changing.followings.move_to_owners(&nodes);
        for node in before.all() {
            if nodes.by_id(node.id()).is_none() {
                info!(node = ?node.address(), "a node of the Redis Cluster is not used any more");
                node.retire();
            }
        }
    }

    /// The tail of a node cannot read this channel's stream: it is at another node.
    pub(super) fn misplaced(&self, channel: &Arc<Channel>, at: &Node, redirect: &Redirect) {
        let Some(node) = self.redirected(at, redirect) else {
            return;
        };
        if let Some(cluster) = &self.cluster {
            lock(&cluster.changing)
                .followings
                .follow_at(channel, at, &node, redirect.ask);
        }
    }

    /// Does something at the node that has `key`, and wherever that sends it. The second argument of `attempt`: whether
    /// the command has to be preceded by `ASKING`. A redirected attempt has done nothing.
    pub(super) async fn at_owner<T, F>(
        &self,
        key: &[u8],
        mut attempt: impl FnMut(Arc<Node>, bool) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let owner = || (self.nodes.borrow().of_key(key).clone(), false);
        let (mut node, mut asking) = owner();
        for tried in 1..=REDIS_CLUSTER_REDIRECTS_MAX {
            let next = match attempt(node.clone(), asking).await {
                Err(Fault::Moved(redirect)) => {
                    self.redirected(&node, &redirect).map(|node| (node, redirect.ask))
                }
                Err(Fault::TryAgain) => None,
                done => {
                    if matches!(done, Err(Fault::Lost(_))) {
                        self.look();
                    }
                    return done;
                }
            };
            if next.is_none() || tried > REDIS_CLUSTER_REDIRECTS_AT_ONCE {
                sleep(REDIS_CLUSTER_RETRY_PAUSE).await;
            }
            (node, asking) = next.unwrap_or_else(owner);
        }
        Err(Fault::TryAgain)
    }
}

impl Feed for Topology {
    fn watch(&self, channel: &Arc<Channel>) {
        match &self.cluster {
            None => self.owner(channel.stream()).tail().watch(channel, false),
            Some(cluster) => {
                let mut changing = lock(&cluster.changing);
                let slot = self.nodes.borrow().slot(&self.keys, channel.stream());
                let owner = self.owner(channel.stream());
                changing.followings.watch(channel, slot, owner);
            }
        }
    }

    fn unwatch(&self, channel: &Arc<Channel>) {
        match &self.cluster {
            None => self.owner(channel.stream()).tail().unwatch(channel),
            Some(cluster) => lock(&cluster.changing).followings.unwatch(channel),
        }
    }

    fn listen(&self, channel: &Arc<Channel>) {
        match &self.cluster {
            None => self.owner(channel.stream()).ephemerals().listen(channel),
            Some(cluster) => lock(&cluster.changing).followings.listen(channel),
        }
    }

    fn unlisten(&self, channel: &Arc<Channel>) {
        match &self.cluster {
            None => self.owner(channel.stream()).ephemerals().unlisten(channel),
            Some(cluster) => lock(&cluster.changing).followings.unlisten(channel),
        }
    }
}

//! What the tail and the ephemeral events of a node know of it, and whom they tell that something is elsewhere.

use std::sync::{Arc, Weak};

use super::{NodeId, Topology};
use crate::Channel;
use crate::redis::fault::Redirect;

/// Of one node.
#[derive(Clone)]
pub(in crate::redis) struct Guide {
    topology: Weak<Topology>,
    node: NodeId,
    in_cluster: bool,
}

impl Guide {
    pub(in crate::redis) fn new(topology: Weak<Topology>, node: NodeId, in_cluster: bool) -> Self {
        Self {
            topology,
            node,
            in_cluster,
        }
    }

    /// Whether a command may only name keys of one slot.
    pub(in crate::redis) fn in_cluster(&self) -> bool {
        self.in_cluster
    }

    /// The node says that it does not have the channel's stream.
    pub(in crate::redis) fn misplaced(&self, channel: &Arc<Channel>, redirect: &Redirect) {
        if let Some(topology) = self.topology.upgrade()
            && let Some(node) = topology.present().by_id(self.node)
        {
            topology.misplaced(channel, node, redirect);
        }
    }

    /// The node says that it does not have a slot.
    pub(in crate::redis) fn redirected(&self, redirect: &Redirect) {
        if let Some(topology) = self.topology.upgrade()
            && let Some(node) = topology.present().by_id(self.node)
        {
            topology.redirected(node, redirect);
        }
    }

    /// The node cannot be reached.
    pub(in crate::redis) fn lost(&self) {
        if let Some(topology) = self.topology.upgrade() {
            topology.look();
        }
    }
}

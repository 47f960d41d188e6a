//! At which node of a cluster each channel is followed, so that it can be moved when its slot moves.

use std::collections::HashMap;
use std::sync::Arc;

use shared::StreamName;

use super::node::Node;
use super::nodes::Nodes;
use crate::Channel;

/// Every channel that is followed.
#[derive(Default)]
pub(super) struct Followings(HashMap<StreamName, Following>);

struct Following {
    channel: Arc<Channel>,
    slot: u16,
    /// Has the slot; ephemeral events come from there.
    owner: Arc<Node>,
    /// Has the stream: another node than the owner while the slot is being moved.
    reader: Arc<Node>,
    listens: bool,
}

impl Followings {
    /// See [`crate::Feed::watch`]. The slot of the stream is at `owner`.
    pub(super) fn watch(&mut self, channel: &Arc<Channel>, slot: u16, owner: Arc<Node>) {
        owner.tail().watch(channel, false);
        let following = Following {
            channel: channel.clone(),
            slot,
            reader: owner.clone(),
            owner,
            listens: false,
        };
        self.0.insert(channel.stream().clone(), following);
    }

    /// See [`crate::Feed::unwatch`].
    pub(super) fn unwatch(&mut self, channel: &Arc<Channel>) {
        if self.of(channel).is_some()
            && let Some(following) = self.0.remove(channel.stream())
        {
            following.reader.tail().unwatch(channel);
        }
    }

    /// See [`crate::Feed::listen`].
    pub(super) fn listen(&mut self, channel: &Arc<Channel>) {
        match self.of(channel) {
            Some(following) => {
                following.listens = true;
                following.owner.ephemerals().listen(channel);
            }
            None => channel.listening(),
        }
    }

    /// See [`crate::Feed::unlisten`].
    pub(super) fn unlisten(&mut self, channel: &Arc<Channel>) {
        if let Some(following) = self.of(channel) {
            following.listens = false;
            following.owner.ephemerals().unlisten(channel);
        }
    }

    /// The stream is to be followed at another node than `at`, if it still is there.
    pub(super) fn follow_at(&mut self, channel: &Arc<Channel>, at: &Node, reader: &Arc<Node>, asking: bool) {
        if let Some(following) = self.of(channel)
            && following.reader.id() == at.id()
        {
            following.read_at(reader, asking);
        }
    }

    /// What is not with the owner of its slot any more moves there.
    pub(super) fn move_to_owners(&mut self, nodes: &Nodes) {
        for following in self.0.values_mut() {
            let owner = nodes.of_slot(following.slot);
            if owner.id() == following.owner.id() {
                continue;
            }
            let channel = &following.channel;
            if following.listens {
                following.owner.ephemerals().unlisten(channel);
                owner.ephemerals().listen(channel);
            }
            following.owner = owner.clone();
            following.read_at(owner, false);
        }
    }

    /// Whether a stream is followed at this node.
    pub(super) fn uses(&self, node: &Node) -> bool {
        self.0
            .values()
            .any(|following| following.reader.id() == node.id())
    }

    fn of(&mut self, channel: &Arc<Channel>) -> Option<&mut Following> {
        self.0
            .get_mut(channel.stream())
            .filter(|following| Arc::ptr_eq(&following.channel, channel))
    }
}

impl Following {
    fn read_at(&mut self, reader: &Arc<Node>, asking: bool) {
        if self.reader.id() != reader.id() {
            self.reader.tail().unwatch(&self.channel);
            reader.tail().watch(&self.channel, asking);
            self.reader = reader.clone();
        }
    }
}

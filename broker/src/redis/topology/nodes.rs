//! Which node has which slot. A value that never changes: a new one is made instead.

use std::collections::HashMap;
use std::sync::Arc;

use redis::Value;
use shared::StreamName;

use super::node::{Node, NodeId};
use crate::redis::ConnectError;
pub(in crate::redis) use crate::redis::connect::Node as Address;
use crate::redis::fault::Fault;
use crate::redis::keys::KeyTemplate;
use crate::redis::{parse, slot};

/// Slots that one master has, as a node of the cluster tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct Range {
    first: u16,
    last: u16,
    master: Address,
}

/// The nodes, and which slots each has.
#[derive(Clone)]
pub(in crate::redis) struct Nodes {
    all: Vec<Arc<Node>>,
    /// The place in `all` of the owner of each slot; none where there is one node that has everything.
    owners: Option<Box<[u16]>>,
}

impl Nodes {
    /// Of a server that could not be used. It has no owner of anything.
    pub(super) fn none() -> Self {
        Self {
            all: Vec::new(),
            owners: None,
        }
    }

    /// One that has everything.
    pub(super) fn single(node: Arc<Node>) -> Self {
        Self {
            all: vec![node],
            owners: None,
        }
    }

    /// As `view` tells. Slots that nobody has stay where they were `before`, where an attempt will tell what is wrong.
    /// Nodes that were known before go on; the others are started.
    pub(super) fn of_cluster(
        view: &[Range],
        before: Option<&Self>,
        mut start: impl FnMut(&Address) -> Result<Arc<Node>, ConnectError>,
    ) -> Result<Self, ConnectError> {
        let mut all: Vec<Arc<Node>> = Vec::new();
        let mut place_of: HashMap<NodeId, u16> = HashMap::new();
        let mut started: HashMap<Address, Arc<Node>> = HashMap::new();
        let mut place = |all: &mut Vec<Arc<Node>>, node: &Arc<Node>| {
            *place_of.entry(node.id()).or_insert_with(|| {
                all.push(node.clone());
                u16::try_from(all.len() - 1).unwrap_or(u16::MAX)
            })
        };
        let mut owners: Vec<Option<u16>> = vec![None; usize::from(slot::SLOTS)];
        for range in view {
            let known = before.and_then(|before| before.by_address(&range.master));
            let node = match known.or(started.get(&range.master)) {
                Some(node) => node.clone(),
                None => start(&range.master)?,
            };
            started.insert(range.master.clone(), node.clone());
            let owner = place(&mut all, &node);
            owners[usize::from(range.first)..=usize::from(range.last)].fill(Some(owner));
        }
        if all.is_empty() {
            return Err(ConnectError(
                "the Redis Cluster serves no slots; create it with redis-cli --cluster create".into(),
            ));
        }
        let unserved = |number: usize| before.map(|before| before.of_slot(number as u16).clone());
        let owners = owners.into_iter().enumerate().map(|(number, owner)| {
            owner
                .or_else(|| unserved(number).map(|node| place(&mut all, &node)))
                .unwrap_or(0)
        });
        let owners = Some(owners.collect());
        Ok(Self { all, owners })
    }

    /// With one node more, which has no slot yet.
    pub(super) fn and(&self, node: Arc<Node>) -> Self {
        let mut nodes = self.clone();
        if nodes.by_id(node.id()).is_none() {
            nodes.all.push(node);
        }
        nodes
    }

    /// With a slot at a node that is among them.
    pub(super) fn with_slot(mut self, slot: u16, node: &Node) -> Self {
        let place = self.all.iter().position(|known| known.id() == node.id());
        if let (Some(owners), Some(place)) = (&mut self.owners, place) {
            owners[usize::from(slot)] = u16::try_from(place).unwrap_or_default();
        }
        self
    }

    /// Every node.
    pub(in crate::redis) fn all(&self) -> &[Arc<Node>] {
        &self.all
    }

    pub(in crate::redis) fn by_id(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.all.iter().find(|node| node.id() == id)
    }

    pub(super) fn by_address(&self, address: &Address) -> Option<&Arc<Node>> {
        self.all.iter().find(|node| node.address() == Some(address))
    }

    /// The node that has a stream.
    pub(in crate::redis) fn owner(&self, keys: &KeyTemplate, stream: &StreamName) -> &Arc<Node> {
        self.of_slot(self.slot(keys, stream))
    }

    /// The slot of a stream; 0 where there are none.
    pub(super) fn slot(&self, keys: &KeyTemplate, stream: &StreamName) -> u16 {
        match self.owners {
            Some(_) => slot::of(keys.stream_key(stream).as_bytes()),
            None => 0,
        }
    }

    /// The node that has a key.
    pub(super) fn of_key(&self, key: &[u8]) -> &Arc<Node> {
        self.of_slot(self.owners.as_ref().map_or(0, |_| slot::of(key)))
    }

    /// The node that has a slot.
    pub(super) fn of_slot(&self, slot: u16) -> &Arc<Node> {
        let place = self.owners.as_ref().map_or(0, |owners| owners[usize::from(slot)]);
        &self.all[usize::from(place)]
    }

    /// Whether these are the same nodes with the same slots.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let owner = |nodes: &Self, slot| nodes.of_slot(slot).id();
        self.all.len() == other.all.len()
            && self.all.iter().all(|node| other.by_id(node.id()).is_some())
            && (0..slot::SLOTS).all(|slot| owner(self, slot) == owner(other, slot))
    }
}

/// Takes apart the reply to `CLUSTER SLOTS` of the node at `asked`.
pub(super) fn ranges(reply: Value, asked: &Address) -> Result<Vec<Range>, Fault> {
    parse::array(reply)?
        .into_iter()
        .map(|range| {
            let mut parts = parse::array(range)?.into_iter();
            let mut number = || parse::count(&parts.next().ok_or(Fault::Malformed)?);
            let (first, last) = (slot_number(number()?)?, slot_number(number()?)?);
            if first > last {
                return Err(Fault::Malformed);
            }
            let mut master = parse::array(parts.next().ok_or(Fault::Malformed)?)?.into_iter();
            let host = match master.next() {
                // The one that was asked does not know what it is called, but it was found.
                None | Some(Value::Nil) => asked.host.clone(),
                Some(Value::BulkString(host)) if host.is_empty() => asked.host.clone(),
                Some(Value::BulkString(host)) => String::from_utf8(host).map_err(|_| Fault::Malformed)?,
                Some(_) => return Err(Fault::Malformed),
            };
            let port = parse::count(&master.next().ok_or(Fault::Malformed)?)?;
            let port = u16::try_from(port).map_err(|_| Fault::Malformed)?;
            let master = Address { host, port };
            Ok(Range { first, last, master })
        })
        .collect()
}

fn slot_number(number: u64) -> Result<u16, Fault> {
    let number = u16::try_from(number).ok().filter(|number| *number < slot::SLOTS);
    number.ok_or(Fault::Malformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Value {
        redis::parse_redis_value(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_masters_of_ranges_are_read() {
        let asked = Address {
            host: "seed".into(),
            port: 1,
        };
        let text = "*2\r\n*4\r\n:0\r\n:8191\r\n\
            *4\r\n$9\r\n127.0.0.1\r\n:7001\r\n$2\r\nid\r\n*0\r\n\
            *4\r\n$9\r\n127.0.0.1\r\n:7004\r\n$2\r\nid\r\n*0\r\n\
            *3\r\n:8192\r\n:16383\r\n*4\r\n$0\r\n\r\n:7002\r\n$2\r\nid\r\n*0\r\n";
        let range = |first, last, host: &str, port| Range {
            first,
            last,
            master: Address {
                host: host.into(),
                port,
            },
        };
        let expected = [
            range(0, 8191, "127.0.0.1", 7001),
            range(8192, 16383, "seed", 7002),
        ];
        assert_eq!(ranges(reply(text), &asked).unwrap(), expected);
        for text in [
            "*1\r\n*2\r\n:0\r\n:5\r\n",
            "*1\r\n*3\r\n:9\r\n:5\r\n*2\r\n$1\r\na\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\na\r\n:70000\r\n",
            "+OK\r\n",
        ] {
            assert!(ranges(reply(text), &asked).is_err(), "{text}");
        }
    }
}

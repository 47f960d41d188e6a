//! The other doorbell: blocking `XREAD`s over groups of streams, for servers that refuse client tracking (some
//! proxies and managed services). They only ring; the tail reads and verifies as always.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cmd;
use shared::EntryId;
use shared::limits::{BLOCKING_GROUP_STREAMS, BLOCKING_GROUPS_MAX, BLOCKING_READ_WAIT, TAIL_TIMEOUT};
use tokio_util::task::AbortOnDropHandle;

use super::super::connect::{Connector, Purpose};
use super::super::fault::Fault;
use super::super::parse;
use super::doorbell::Doorbell;
use super::run::{Key, Streams};
use crate::backoff::Backoff;
use crate::hub::lock;

/// Pause between two rings of the same entry, while the tail has yet to read it.
const RING_AGAIN_PAUSE: Duration = Duration::from_millis(2);

/// The streams of one group, with the last entry that the tail has read of each.
type Positions = Arc<Mutex<HashMap<Key, EntryId>>>;

/// The groups, each with a task and a connection of its own.
pub(super) struct Blocking {
    connector: Connector,
    doorbell: Arc<Doorbell>,
    groups: Vec<(Positions, AbortOnDropHandle<()>)>,
    group_of: HashMap<Key, usize>,
}

impl Blocking {
    pub(super) fn new(connector: Connector, doorbell: Arc<Doorbell>) -> Self {
        Self {
            connector,
            doorbell,
            groups: Vec::new(),
            group_of: HashMap::new(),
        }
    }

    /// Brings the groups up to date with the streams that are followed and how far each has been read.
    pub(super) fn follow(&mut self, streams: &Streams) {
        self.group_of.retain(|key, group| {
            let keep = streams.contains_key(key);
            if !keep {
                lock(&self.groups[*group].0).remove(key);
            }
            keep
        });
        for (key, followed) in streams {
            let Some(position) = followed.position() else {
                continue;
            };
            let group = match self.group_of.get(key) {
                Some(group) => *group,
                None => self.group_with_room(),
            };
            self.group_of.insert(key.clone(), group);
            lock(&self.groups[group].0).insert(key.clone(), position);
        }
    }

    /// The group with the fewest streams, or a new one while there is room for more connections.
    fn group_with_room(&mut self) -> usize {
        let sizes = self
            .groups
            .iter()
            .map(|(positions, _)| lock(positions).len())
            .enumerate();
        match sizes.min_by_key(|(_, size)| *size) {
            Some((group, size))
                if size < BLOCKING_GROUP_STREAMS || self.groups.len() >= BLOCKING_GROUPS_MAX =>
            {
                group
            }
            _ => {
                let positions = Positions::default();
                let task = ring(self.connector.clone(), self.doorbell.clone(), positions.clone());
                self.groups
                    .push((positions, AbortOnDropHandle::new(tokio::spawn(task))));
                self.groups.len() - 1
            }
        }
    }
}

/// Rings for one group for as long as it is wanted.
async fn ring(connector: Connector, doorbell: Arc<Doorbell>, positions: Positions) {
    let mut backoff = Backoff::new();
    loop {
        let purpose = Purpose {
            response_timeout: BLOCKING_READ_WAIT + TAIL_TIMEOUT,
            ..Purpose::default()
        };
        if let Ok(mut connection) = connector.open(&purpose).await {
            let mut rung = HashSet::new();
            while let Ok(found) = wait(&mut connection, &positions).await {
                backoff.reset();
                // What rang a moment ago and rings again has yet to be read.
                if found.iter().any(|key| rung.contains(key)) {
                    tokio::time::sleep(RING_AGAIN_PAUSE).await;
                }
                rung = found.iter().cloned().collect();
                found.into_iter().for_each(|key| doorbell.ring(key));
            }
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

/// Waits for an entry in any stream of the group; brings the keys of those that have one.
async fn wait(connection: &mut MultiplexedConnection, positions: &Positions) -> Result<Vec<Vec<u8>>, Fault> {
    let (keys, ids): (Vec<Key>, Vec<String>) = lock(positions)
        .iter()
        .map(|(key, id)| (key.clone(), id.to_string()))
        .unzip();
    if keys.is_empty() {
        tokio::time::sleep(BLOCKING_READ_WAIT).await;
        return Ok(Vec::new());
    }
    let wait_ms = BLOCKING_READ_WAIT.as_millis() as u64;
    let mut command = cmd("XREAD");
    command
        .arg("COUNT")
        .arg(1)
        .arg("BLOCK")
        .arg(wait_ms)
        .arg("STREAMS")
        .arg(&keys)
        .arg(&ids);
    let reply = connection
        .req_packed_command(&command)
        .await
        .map_err(|e| Fault::of(&e))?;
    match parse::streams(reply) {
        Ok(found) => Ok(found.into_iter().map(|(key, _)| key).collect()),
        // One of the keys holds something else; the tail finds out which. Until then all are looked at.
        Err(Fault::WrongType) => {
            tokio::time::sleep(BLOCKING_READ_WAIT).await;
            Ok(keys.iter().map(|key| key.to_vec()).collect())
        }
        Err(fault) => Err(fault),
    }
}

//! Which channels this edge wants, and where what comes in goes. Shared by the connection, whose messages it takes, the
//! task, which subscribes, and the hub, which says what is wanted.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redis::aio::{AsyncPushSender, SendError};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tracing::debug;

use super::super::absence::Absence;
use super::code;
use crate::hub::lock;
use crate::{Away, Channel};

/// The channels that are wanted.
#[derive(Default)]
pub(super) struct Directory {
    state: Mutex<State>,
    changed: Notify,
    absence: Absence,
}

#[derive(Default)]
struct State {
    wanted: HashMap<Arc<str>, Arc<Channel>>,
    /// What was wanted or ceased to be since the task looked last. Bounded: only kept while there is a connection.
    changed: HashSet<Arc<str>>,
    /// Which connection speaks at present.
    connection: u64,
    lost: bool,
}

/// What the task is to do.
pub(super) struct Changes {
    /// Channels to subscribe to.
    pub(super) listen: Vec<(Arc<str>, Arc<Channel>)>,
    /// Channels to leave.
    pub(super) unlisten: Vec<Arc<str>>,
    /// The connection is lost.
    pub(super) lost: bool,
}

impl Directory {
    /// A channel is wanted.
    pub(super) fn listen(&self, name: String, channel: &Arc<Channel>) {
        let name: Arc<str> = name.into();
        let mut state = lock(&self.state);
        state.wanted.insert(name.clone(), channel.clone());
        if self.is_up() {
            state.changed.insert(name);
            self.changed.notify_one();
        } else {
            // Nobody shall wait for a connection that may not come.
            channel.listening();
        }
    }

    /// A channel is not wanted any more.
    pub(super) fn unlisten(&self, name: &str, channel: &Arc<Channel>) {
        let mut state = lock(&self.state);
        let ours = state
            .wanted
            .get(name)
            .is_some_and(|wanted| Arc::ptr_eq(wanted, channel));
        if !ours {
            return;
        }
        if let (Some((name, _)), true) = (state.wanted.remove_entry(name), self.is_up()) {
            state.changed.insert(name);
            self.changed.notify_one();
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        self.absence.is_over()
    }

    /// Why there is none, if so.
    pub(super) fn away(&self) -> Option<Away> {
        self.absence
            .away("there is no connection to Redis for ephemeral events")
    }

    /// Takes what the next connection brings. That the one before it is lost does not matter from now on.
    pub(super) fn ear(self: &Arc<Self>) -> Arc<dyn AsyncPushSender> {
        let mut state = lock(&self.state);
        state.connection += 1;
        state.lost = false;
        Arc::new(Ear {
            directory: self.clone(),
            connection: state.connection,
        })
    }

    /// There is a connection, and nothing is subscribed on it yet.
    pub(super) fn up(&self) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        self.absence.end();
        state.changed = state.wanted.keys().cloned().collect();
        self.changed.notify_one();
    }

    /// There is none any more.
    pub(super) fn down(&self) {
        let mut state = lock(&self.state);
        self.absence.begin();
        state.changed = HashSet::new();
        for channel in state.wanted.values() {
            channel.listening();
        }
    }

    /// Waits until there may be changes. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// At most `max` of the changes; the rest is said to be there by [`Directory::changed`].
    pub(super) fn take(&self, max: usize) -> Changes {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let names: Vec<Arc<str>> = state.changed.iter().take(max).cloned().collect();
        let (mut listen, mut unlisten) = (Vec::new(), Vec::new());
        for name in names {
            state.changed.remove(&name);
            match state.wanted.get(&name) {
                Some(channel) => listen.push((name, channel.clone())),
                None => unlisten.push(name),
            }
        }
        if state.changed.is_empty() {
            state.changed = HashSet::new();
        } else {
            self.changed.notify_one();
        }
        Changes {
            listen,
            unlisten,
            lost: state.lost,
        }
    }

    fn heard(&self, channel: &[u8], payload: Vec<u8>) {
        let wanted = std::str::from_utf8(channel)
            .ok()
            .and_then(|name| lock(&self.state).wanted.get(name).cloned());
        let Some(channel) = wanted else { return };
        match code::decode(Bytes::from(payload)) {
            Some(event) => channel.publish_ephemeral(event),
            None => {
                debug!(stream = %channel.stream(), "an ephemeral event that this edge does not understand")
            }
        }
    }
}

/// Takes what one connection brings. It does not block: an event goes into a small ring and wakes who waits for it.
struct Ear {
    directory: Arc<Directory>,
    connection: u64,
}

impl AsyncPushSender for Ear {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        match push.kind {
            PushKind::SMessage => {
                let mut parts = push.data.into_iter();
                if let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
                    (parts.next(), parts.next())
                {
                    self.directory.heard(&channel, payload);
                }
            }
            // The node has its slot no more. Of what was left on purpose nobody needs to hear.
            PushKind::SUnsubscribe => {
                let name = match push.data.first() {
                    Some(Value::BulkString(name)) => std::str::from_utf8(name).unwrap_or_default(),
                    _ => "",
                };
                let mut state = lock(&self.directory.state);
                if state.connection == self.connection && state.wanted.contains_key(name) {
                    state.lost = true;
                    self.directory.changed.notify_one();
                }
            }
            PushKind::Disconnection => {
                let mut state = lock(&self.directory.state);
                if state.connection == self.connection {
                    state.lost = true;
                    self.directory.changed.notify_one();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

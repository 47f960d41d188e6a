//! The doorbell: which keys may have news. Rung by Redis's invalidation messages (or by blocking reads), answered by
//! the tail's loop. It coalesces: a key that rings many times before it is read is read once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redis::aio::{AsyncPushSender, SendError};
use redis::{PushInfo, PushKind, Value};
use shared::limits::TAIL_RUNG_KEYS_MAX;
use tokio::sync::Notify;

use crate::Channel;
use crate::hub::lock;

/// What has happened since the tail looked last.
#[derive(Default)]
pub(super) struct News {
    /// Keys that may have changed. At most one entry a key, and [`TAIL_RUNG_KEYS_MAX`] of them: beyond that all count as
    /// changed.
    pub(super) dirty: HashSet<Vec<u8>>,
    /// Every key may have changed (`FLUSHALL`).
    pub(super) all_dirty: bool,
    /// The connection that rings is lost.
    pub(super) lost: bool,
    /// Streams to follow or to let go, in the order in which that was said.
    pub(super) changes: Vec<(Wish, Arc<Channel>)>,
}

/// What is to be done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Follow it. `asking`: as one whose slot is being moved to this node.
    Follow { asking: bool },
    /// Follow it no more.
    LetGo,
}

/// Shared by everyone who may have news for one tail.
#[derive(Default)]
pub(super) struct Doorbell {
    news: Mutex<News>,
    notify: Notify,
    /// Which connection rings at present.
    connection: AtomicU64,
}

/// What one connection rings with.
struct Button {
    doorbell: Arc<Doorbell>,
    connection: u64,
}

impl Doorbell {
    /// What the next connection rings with. That the one before it is lost does not matter from now on.
    pub(super) fn button(self: &Arc<Self>) -> Arc<dyn AsyncPushSender> {
        let mut news = lock(&self.news);
        let connection = self.connection.fetch_add(1, Ordering::Relaxed) + 1;
        news.lost = false;
        Arc::new(Button {
            doorbell: self.clone(),
            connection,
        })
    }

    /// Says that `key` may have changed.
    pub(super) fn ring(&self, key: Vec<u8>) {
        lock(&self.news).dirty.insert(key);
        self.notify.notify_one();
    }

    /// Says what is to be done with a stream.
    pub(super) fn change(&self, wish: Wish, channel: Arc<Channel>) {
        lock(&self.news).changes.push((wish, channel));
        self.notify.notify_one();
    }

    /// Takes what there is.
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *lock(&self.news))
    }

    /// Takes only what is to be done with streams: for a tail that has no connection, and reads everything when it has.
    pub(super) fn take_changes(&self) -> Vec<(Wish, Arc<Channel>)> {
        std::mem::take(&mut lock(&self.news).changes)
    }

    /// Waits until there is something to take; may also return for nothing. Cancel-safe.
    pub(super) async fn rung(&self) {
        self.notify.notified().await;
    }
}

impl AsyncPushSender for Button {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        let mut news = lock(&self.doorbell.news);
        match push.kind {
            PushKind::Invalidate => match push.data.into_iter().next() {
                Some(Value::Array(keys)) => news.dirty.extend(keys.into_iter().filter_map(|key| match key {
                    Value::BulkString(key) => Some(key),
                    _ => None,
                })),
                _ => news.all_dirty = true,
            },
            PushKind::Disconnection => {
                news.lost |= self.doorbell.connection.load(Ordering::Relaxed) == self.connection;
            }
            _ => return Ok(()),
        }
        if news.dirty.len() > TAIL_RUNG_KEYS_MAX {
            news.dirty = HashSet::new();
            news.all_dirty = true;
        }
        drop(news);
        self.doorbell.notify.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(data: Vec<Value>) -> PushInfo {
        PushInfo {
            kind: PushKind::Invalidate,
            data,
        }
    }

    #[test]
    fn many_rings_of_a_key_are_one_and_a_flush_is_all() {
        let bell = Arc::<Doorbell>::default();
        let button = bell.button();
        for _ in 0..3 {
            let keys = vec![Value::BulkString(b"a".to_vec()), Value::BulkString(b"b".to_vec())];
            assert!(button.send(push(vec![Value::Array(keys)])).is_ok());
        }
        let news = bell.take();
        assert_eq!((news.dirty.len(), news.all_dirty, news.lost), (2, false, false));
        assert!(button.send(push(vec![Value::Nil])).is_ok());
        assert!(bell.take().all_dirty);
        assert!(bell.take().dirty.is_empty());
    }

    #[test]
    fn the_loss_of_an_earlier_connection_is_no_loss() {
        let bell = Arc::<Doorbell>::default();
        let loss = || PushInfo {
            kind: PushKind::Disconnection,
            data: Vec::new(),
        };
        let (earlier, present) = (bell.button(), bell.button());
        assert!(earlier.send(loss()).is_ok());
        assert!(!bell.take().lost);
        assert!(present.send(loss()).is_ok());
        assert!(bell.take().lost);
    }
}

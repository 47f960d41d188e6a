//! The doorbell: which keys may have news. Rung by Redis's invalidation messages (or by blocking reads), answered by
//! the tail's loop. It coalesces: a key that rings many times before it is read is read once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use shared::limits::TAIL_RUNG_KEYS_MAX;
use tokio::sync::Notify;

use super::super::wire::{Pushes, reply};
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
}

impl Doorbell {
    /// What a connection rings with.
    pub(super) fn button(self: &Arc<Self>) -> Pushes {
        let doorbell = Arc::clone(self);
        Box::new(move |push| doorbell.pushed(push))
    }

    fn pushed(&self, push: &[u8]) {
        let mut news = lock(&self.news);
        match reply::invalidated(push) {
            Some(keys) => news.dirty.extend(keys.into_iter().map(<[u8]>::to_vec)),
            None => news.all_dirty = true,
        }
        if news.dirty.len() > TAIL_RUNG_KEYS_MAX {
            news.dirty = HashSet::new();
            news.all_dirty = true;
        }
        drop(news);
        self.notify.notify_one();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rings_of_a_key_are_one_and_a_flush_is_all() {
        let bell = Arc::<Doorbell>::default();
        let mut button = bell.button();
        for _ in 0..3 {
            button(b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        }
        let news = bell.take();
        assert_eq!((news.dirty.len(), news.all_dirty), (2, false));
        button(b">2\r\n$10\r\ninvalidate\r\n_\r\n");
        assert!(bell.take().all_dirty);
        button(b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
        let news = bell.take();
        assert!(news.dirty.is_empty() && !news.all_dirty);
    }
}

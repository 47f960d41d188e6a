//! How channels wake a subscriber: one bell per subscriber, one registration per stream it follows.
//!
//! A bell holds slot numbers, not events: it says where to look, never what is there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::lock;

/// Wakes one subscriber and remembers which of its slots have news. Bounded by the number of slots.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<Vec<usize>>,
    notify: Notify,
}

impl Bell {
    /// Moves the slots that have news into `slots`.
    pub(crate) fn take(&self, slots: &mut Vec<usize>) {
        slots.append(&mut lock(&self.rung));
    }

    /// Waits until a slot has news. Cancel-safe.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }
}

/// One stream of one subscriber, as its channel knows it.
pub(crate) struct Registration {
    bell: Arc<Bell>,
    slot: usize,
    pending: AtomicBool,
    /// Where the channel keeps it, so that leaving needs no search.
    pub(super) place: AtomicUsize,
}

impl Registration {
    pub(super) fn new(bell: Arc<Bell>, slot: usize) -> Self {
        Self {
            bell,
            slot,
            pending: AtomicBool::new(false),
            place: AtomicUsize::new(usize::MAX),
        }
    }

    /// Tells the subscriber to look at this stream. Many rings before it looks are one.
    pub(crate) fn ring(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.bell.rung).push(self.slot);
        self.bell.notify.notify_one();
    }

    /// The subscriber is about to look: rings from now on count anew. Call it before looking.
    pub(crate) fn answered(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

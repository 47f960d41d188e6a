//! How channels wake a subscriber: one bell per subscriber, one registration per stream it follows.
//!
//! A bell holds slot numbers, not events: it says where to look, never what is there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::lock;

/// Wakes one subscriber and remembers which of its slots have news. Bounded by the number of slots.
#[derive(Default)]
pub(crate) struct Bell(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    slots: Vec<usize>,
    /// The task that waits, since it last looked.
    waker: Option<Waker>,
}

impl Bell {
    /// Moves the slots that have news into `slots`.
    pub(crate) fn take(&self, slots: &mut Vec<usize>) {
        slots.append(&mut lock(&self.0).slots);
    }

    /// `Ready` if a slot has news; otherwise the task is woken when one has.
    pub(crate) fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        let mut rung = lock(&self.0);
        if !rung.slots.is_empty() {
            return Poll::Ready(());
        }
        match &mut rung.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn ring(&self, slot: usize) {
        let mut rung = lock(&self.0);
        rung.slots.push(slot);
        let waker = rung.waker.take();
        drop(rung);
        if let Some(waker) = waker {
            waker.wake();
        }
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
        self.bell.ring(self.slot);
    }

    /// The subscriber is about to look: rings from now on count anew. Call it before looking.
    pub(crate) fn answered(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

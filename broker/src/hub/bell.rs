//! How channels wake a subscriber: one bell per subscriber, one registration per stream it follows.
//!
//! A bell holds slot numbers, not events: it says where to look, never what is there.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::lock;

/// Wakes one subscriber and remembers which of its slots have news. Bounded by the number of slots.
#[derive(Default)]
pub(crate) struct Bell(Mutex<State>);

#[derive(Default)]
struct State {
    rung: Vec<u32>,
    waker: Option<Waker>,
}

impl Bell {
    /// Takes the slots that have news.
    pub(crate) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut lock(&self.0).rung)
    }

    /// Ready as soon as a slot has news. Whoever polled last is woken.
    pub(crate) fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if !state.rung.is_empty() {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn ring(&self, slot: u32) {
        let waker = {
            let mut state = lock(&self.0);
            state.rung.push(slot);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One stream of one subscriber, as its channel knows it.
pub(crate) struct Registration {
    bell: Arc<Bell>,
    slot: u32,
    /// Where the channel keeps it, so that leaving needs no search.
    pub(super) place: AtomicU32,
    pending: AtomicBool,
    /// Whether it is to hear of ephemeral events too.
    pub(super) listens: bool,
}

impl Registration {
    pub(super) fn new(bell: Arc<Bell>, slot: u32, listens: bool) -> Self {
        Self {
            bell,
            slot,
            place: AtomicU32::new(u32::MAX),
            pending: AtomicBool::new(false),
            listens,
        }
    }

    /// Tells the subscriber to look at this stream. Many rings before it looks are one.
    pub(crate) fn ring(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.bell.ring(self.slot);
        }
    }

    /// The subscriber is about to look: rings from now on count anew. Call it before looking.
    pub(crate) fn answered(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

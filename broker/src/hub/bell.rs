//! How channels wake a subscriber: one bell per subscriber, one registration per stream it follows.
//!
//! A bell holds slot numbers, not events: it says where to look, never what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Wakes one subscriber and remembers which of its slots may have news.
///
/// One bit stands for every 64th slot: few subscribers have more, and for those it is cheaper to look at some slots in
/// vain than for all others to keep a list.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicU64,
    waker: AtomicWaker,
}

impl Bell {
    /// Takes the slots that may have news, of `slots` that there are. Rings from now on count anew, so it is to be called
    /// before looking.
    pub(crate) fn take(&self, slots: usize) -> impl Iterator<Item = usize> + use<> {
        let mut rung = self.rung.swap(0, Ordering::AcqRel);
        let bits = std::iter::from_fn(move || {
            let bit = rung.trailing_zeros();
            rung &= rung.checked_sub(1)?;
            Some(bit as usize)
        });
        bits.flat_map(move |bit| (bit..slots).step_by(u64::BITS as usize))
    }

    /// Ready as soon as a slot has news. Whoever polled last is woken.
    pub(crate) fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        let rung = || self.rung.load(Ordering::Acquire) != 0;
        if rung() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // Again, for a ring that found no waker yet.
        if rung() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn ring(&self, slot: u32) {
        // Where something has rung already, the task was woken and has yet to look.
        if self.rung.fetch_or(1 << (slot % u64::BITS), Ordering::AcqRel) == 0 {
            self.waker.wake();
        }
    }
}

/// One stream of one subscriber, as its channel knows it.
pub(crate) struct Registration {
    bell: Arc<Bell>,
    slot: u32,
    /// Where the channel keeps it, so that leaving needs no search.
    pub(super) place: AtomicU32,
    listens: bool,
}

impl Registration {
    pub(super) fn new(bell: Arc<Bell>, slot: u32, listens: bool) -> Self {
        Self {
            bell,
            slot,
            place: AtomicU32::new(u32::MAX),
            listens,
        }
    }

    /// Tells the subscriber to look at this stream. Many rings before it looks are one.
    pub(crate) fn ring(&self) {
        self.bell.ring(self.slot);
    }

    /// Whether it is to hear of ephemeral events too.
    pub(crate) fn listens(&self) -> bool {
        self.listens
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;

    use super::*;

    fn rung(bell: &Bell, slots: usize) -> Vec<usize> {
        bell.take(slots).collect()
    }

    #[test]
    fn what_rang_is_told_once() {
        let bell = Bell::default();
        let cx = Context::from_waker(noop_waker_ref());
        assert!(bell.poll_rung(&cx).is_pending());
        for slot in [5, 0, 63, 5] {
            bell.ring(slot);
        }
        assert!(bell.poll_rung(&cx).is_ready());
        assert_eq!(rung(&bell, 64), [0, 5, 63]);
        assert!(bell.poll_rung(&cx).is_pending());
        assert_eq!(rung(&bell, 64), [] as [usize; 0]);
    }

    #[test]
    fn of_many_slots_some_are_looked_at_in_vain() {
        let bell = Bell::default();
        bell.ring(64 + 3);
        assert_eq!(rung(&bell, 200), [3, 67, 131, 195]);
        bell.ring(3);
        assert_eq!(rung(&bell, 3), [] as [usize; 0], "gone by now");
    }
}

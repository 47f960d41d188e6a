//! The ephemeral events of one stream that its subscribers are just being woken for. Like the ring of entries it has no
//! queue per subscriber: whoever looks too late finds nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shared::Event;
use shared::limits::{EPHEMERAL_RING_BYTES_MAX, EPHEMERAL_RING_EVENTS_MAX};

use super::{Channel, lock};
use crate::EphemeralEvent;

impl Channel {
    /// Engine: an ephemeral event of this stream has come. Subscribers that ask for such events are woken.
    pub fn publish_ephemeral(&self, event: Event) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        if let (Some(ephemerals), 1..) = (&mut state.ephemerals, state.listeners) {
            ephemerals.push(Arc::new(EphemeralEvent::new(self.stream.clone(), event)));
            self.ephemeral_end.store(ephemerals.end(), Ordering::Release);
            for registration in &state.waiting[..state.listeners] {
                registration.ring();
            }
        }
    }

    /// Engine: ephemeral events come from now on, or it has turned out that they cannot for the moment. Wakes whoever
    /// waits for that.
    pub fn listening(&self) {
        if let Some(ephemerals) = &mut lock(&self.state).ephemerals {
            ephemerals.arranged = true;
        }
        self.opened.notify_waiters();
    }

    /// Waits for that. Cancel-safe.
    pub(crate) async fn arranged(&self) {
        loop {
            let told = self.opened.notified();
            let arranged = |ephemerals: &Ephemerals| ephemerals.arranged;
            if lock(&self.state).ephemerals.as_deref().is_none_or(arranged) {
                return;
            }
            told.await;
        }
    }

    /// The number of the ephemeral event that comes next.
    pub(crate) fn ephemeral_end(&self) -> u64 {
        let end = |ephemerals: &Ephemerals| ephemerals.end();
        lock(&self.state).ephemerals.as_deref().map_or(0, end)
    }

    /// Takes the ephemeral events from `number` on that fit into `bytes_max`, the newest if there are more. Returns the
    /// number to go on at.
    pub(crate) fn pull_ephemeral(
        &self,
        number: u64,
        bytes_max: usize,
        take: impl FnMut(&Arc<EphemeralEvent>),
    ) -> u64 {
        if self.ephemeral_end.load(Ordering::Acquire) == number {
            return number;
        }
        let state = lock(&self.state);
        let Some(ephemerals) = &state.ephemerals else {
            return number;
        };
        ephemerals.since(number, bytes_max).for_each(take);
        ephemerals.end()
    }
}

/// The newest ephemeral events, numbered. Exists while the engine listens for them.
#[derive(Default)]
pub(super) struct Ephemerals {
    ring: VecDeque<Arc<EphemeralEvent>>,
    bytes: usize,
    /// The number of `ring[0]`.
    base: u64,
    /// What comes from this number on is newer than the last sweep.
    swept: u64,
    /// Whether the engine has arranged for them to come, or has found that it cannot at the moment.
    pub(super) arranged: bool,
}

impl Ephemerals {
    /// The number of the event that comes next.
    pub(super) fn end(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    pub(super) fn push(&mut self, event: Arc<EphemeralEvent>) {
        self.bytes += event.event.size_bytes();
        self.ring.push_back(event);
        while self.ring.len() > EPHEMERAL_RING_EVENTS_MAX
            || (self.ring.len() > 1 && self.bytes > EPHEMERAL_RING_BYTES_MAX)
        {
            self.pop();
        }
    }

    /// The events from `number` on that fit into `bytes_max`, at least one: the newest, if there are more.
    pub(super) fn since(&self, number: u64, bytes_max: usize) -> impl Iterator<Item = &Arc<EphemeralEvent>> {
        let first = usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let (mut start, mut bytes) = (self.ring.len(), 0);
        while start > first {
            bytes += self.ring[start - 1].event.size_bytes();
            if bytes > bytes_max && start < self.ring.len() {
                break;
            }
            start -= 1;
        }
        self.ring.range(start..)
    }

    /// Drops what was here at the last sweep already: whoever has not taken it by now shall not get it any more.
    pub(super) fn sweep(&mut self) {
        while self.base < self.swept && !self.ring.is_empty() {
            self.pop();
        }
        if self.ring.is_empty() {
            self.ring = VecDeque::new();
        }
        self.swept = self.end();
    }

    fn pop(&mut self) {
        if let Some(event) = self.ring.pop_front() {
            self.bytes -= event.event.size_bytes();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::{Event, Payload, StreamName};

    use super::*;

    fn event(size: usize) -> Arc<EphemeralEvent> {
        let stream: StreamName = "s".parse().unwrap_or_else(|_| unreachable!("a name"));
        let data = Payload::Bytes(Bytes::from(vec![0; size]));
        Arc::new(EphemeralEvent::new(stream, Event::new(data)))
    }

    fn sizes(ring: &Ephemerals, number: u64, bytes_max: usize) -> Vec<usize> {
        ring.since(number, bytes_max)
            .map(|e| e.event.size_bytes())
            .collect()
    }

    #[test]
    fn the_newest_that_fit_come_in_order() {
        let mut ring = Ephemerals::default();
        for size in [1, 2, 3, 4] {
            ring.push(event(size));
        }
        assert_eq!(sizes(&ring, 0, 100), [1, 2, 3, 4]);
        assert_eq!(sizes(&ring, 2, 100), [3, 4]);
        assert_eq!(sizes(&ring, 0, 7), [3, 4]);
        assert_eq!(sizes(&ring, 0, 0), [4], "one in any case");
        assert_eq!(sizes(&ring, 4, 100), [] as [usize; 0]);
        assert_eq!(sizes(&ring, 9, 100), [] as [usize; 0]);
        assert_eq!(ring.end(), 4);
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut ring = Ephemerals::default();
        for _ in 0..EPHEMERAL_RING_EVENTS_MAX + 10 {
            ring.push(event(1));
        }
        assert_eq!(ring.ring.len(), EPHEMERAL_RING_EVENTS_MAX);
        assert_eq!(ring.end(), EPHEMERAL_RING_EVENTS_MAX as u64 + 10);
        for _ in 0..10 {
            ring.push(event(EPHEMERAL_RING_BYTES_MAX / 4));
        }
        assert_eq!((ring.ring.len(), ring.bytes), (4, EPHEMERAL_RING_BYTES_MAX));
        ring.push(event(EPHEMERAL_RING_BYTES_MAX + 1));
        assert_eq!(ring.ring.len(), 1);
    }

    #[test]
    fn what_is_not_taken_in_time_goes() {
        let mut ring = Ephemerals::default();
        ring.push(event(1));
        ring.sweep();
        ring.push(event(2));
        assert_eq!(
            sizes(&ring, 0, 100),
            [1, 2],
            "it lives from one sweep to the next"
        );
        ring.sweep();
        assert_eq!(sizes(&ring, 0, 100), [2]);
        ring.sweep();
        assert_eq!((ring.end(), ring.bytes, ring.ring.capacity()), (2, 0, 0));
    }
}

//! Who is subscribed to a channel. Those that ask for ephemeral events stand first, so that nobody else is looked at when
//! one comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Channel, Registration, State, lock};

impl Channel {
    /// Adds a subscriber. Returns whether the engine has to begin to listen for ephemeral events.
    pub(in crate::hub) fn register(&self, registration: Arc<Registration>) -> bool {
        let mut state = lock(&self.state);
        let listens = registration.listens();
        let last = state.waiting.len();
        state.waiting.push(registration);
        state.place(last);
        if !listens {
            return false;
        }
        let listeners = state.listeners;
        state.swap(last, listeners);
        state.listeners += 1;
        let begin = state.ephemerals.is_none();
        state.ephemerals.get_or_insert_default();
        begin
    }

    pub(in crate::hub) fn deregister(&self, registration: &Arc<Registration>) {
        let mut state = lock(&self.state);
        let mut place = registration.place.load(Ordering::Relaxed) as usize;
        if registration.listens() {
            state.listeners -= 1;
            let last_listener = state.listeners;
            state.swap(place, last_listener);
            place = last_listener;
        }
        state.waiting.swap_remove(place);
        state.place(place);
        if state.waiting.is_empty() {
            state.unattended_since = Instant::now();
            state.waiting = Vec::new();
        }
    }
}

impl State {
    /// Exchanges two subscribers.
    fn swap(&mut self, a: usize, b: usize) {
        if a != b {
            self.waiting.swap(a, b);
            self.place(a);
            self.place(b);
        }
    }

    /// Tells the subscriber at `index`, if there is one, where it is.
    fn place(&self, index: usize) {
        if let (Some(registration), Ok(place)) = (self.waiting.get(index), u32::try_from(index)) {
            registration.place.store(place, Ordering::Relaxed);
        }
    }

    /// Tells everybody to look.
    pub(super) fn ring_all(&self) {
        for registration in &self.waiting {
            registration.ring();
        }
    }
}

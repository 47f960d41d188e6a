//! Memory that all sockets of a thread use while they deliver, one at a time: an idle socket needs none of its own, and a
//! delivery asks the allocator for none.

use std::cell::RefCell;

use broker::Delivery;

/// Places for deliveries that are kept for the next socket.
const DELIVERIES_KEPT_MAX: usize = 1_024;

/// What is lent. It is empty.
#[derive(Default)]
pub(super) struct Scratch {
    /// What a subscriber has brought.
    pub(super) deliveries: Vec<Delivery>,
    /// For a text that is put together.
    pub(super) text: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends the memory of this thread. What is left in it is dropped.
///
/// Must not be called within `f`.
pub(super) fn with<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        let result = f(scratch);
        scratch.deliveries.clear();
        scratch.deliveries.shrink_to(DELIVERIES_KEPT_MAX);
        scratch.text.clear();
        result
    })
}

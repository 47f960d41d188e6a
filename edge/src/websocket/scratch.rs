//! Memory that all sockets of a thread read into, one at a time: an idle socket needs none of its own.

use std::cell::RefCell;

use shared::limits::SCRATCH_BYTES;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the memory of this thread. What `f` wants to keep it must copy.
///
/// Must not be called within `f`.
pub(crate) fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(SCRATCH_BYTES, 0);
        f(scratch)
    })
}

//! A task that asks over a connection and drives it too.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use shared::limits::REDIS_DRIVE_ROUNDS_MAX;

use super::super::fault::Fault;
use super::pipe::Driver;

/// Does `work`, which asks over the connection of `driver`, and drives that meanwhile. What is asked needs no
/// [`Pipe::wake`](super::Pipe::wake) then.
pub(in crate::redis) async fn drive<T>(
    driver: &mut Driver,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut work = pin!(work);
    let bell = Arc::<Bell>::default();
    let waker = Waker::from(Arc::clone(&bell));
    poll_fn(|cx| {
        bell.task.register(cx.waker());
        for _ in 0..REDIS_DRIVE_ROUNDS_MAX {
            bell.awake();
            // For what has come in, and again for what is sent because of it.
            if let Poll::Ready(lost) = driver.poll(cx) {
                return Poll::Ready(Err(lost));
            }
            bell.awake();
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(done);
            }
            if let Poll::Ready(lost) = driver.poll(cx) {
                return Poll::Ready(Err(lost));
            }
            if !bell.leave() {
                return Poll::Pending;
            }
        }
        // Others on this thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Wakes the task, unless that looks at its work anyway. The answer to what a task asks is brought by the task itself; to be woken by
/// that would have it run again for nothing, and another thread woken to take over what else there is to do.
#[derive(Default)]
struct Bell {
    task: AtomicWaker,
    state: AtomicU8,
}

/// Nobody looks: whoever rings wakes the task.
const ASLEEP: u8 = 0;
/// The task runs, and looks at its work.
const AWAKE: u8 = 1;
/// The task runs, and has to look again.
const RUNG: u8 = 2;

impl Bell {
    /// What has rung is seen to by the look that follows: so this must be a swap, which sees what was done before the ring.
    fn awake(&self) {
        self.state.swap(AWAKE, Ordering::SeqCst);
    }

    /// Returns whether something rang meanwhile. If not, whoever rings from now on wakes the task.
    fn leave(&self) -> bool {
        self.state.swap(ASLEEP, Ordering::SeqCst) == RUNG
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let seen = |state| (state != ASLEEP).then_some(RUNG);
        let awake = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, seen)
            .is_ok();
        if !awake {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests;

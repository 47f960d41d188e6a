//! Batches that were sent, and their answers to come. Answers come in the order in which batches were sent, so only
//! the oldest is ever looked at.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::super::fault::Fault;
use super::super::wire::Answer;
use super::backlog::Batch;

/// The replies to what was sent, as they came in, errors of the server among them. Only a connection that is gone makes it a
/// fault, [`Fault::Lost`].
pub(super) type Replies = Result<Vec<u8>, Fault>;

/// A batch, and its answer to come.
pub(super) struct InFlight {
    pub(super) batch: Batch,
    pub(super) sent_at: Instant,
    pub(super) answer: Answer,
}

/// The answer, if it is there. Nobody is woken when it comes: it is brought by the driver of the connection, which the lane polls
/// itself, and looks behind that. Waking a task that runs has it run again, and another thread woken to take over the others.
pub(super) fn so_far(answer: &mut Answer) -> Option<Replies> {
    use tokio::sync::oneshot::error::TryRecvError;
    match answer.try_recv() {
        Ok(replies) => Some(Ok(replies)),
        Err(TryRecvError::Closed) => Some(Err(Fault::CONNECTION_LOST)),
        Err(TryRecvError::Empty) => None,
    }
}

/// The answer to the oldest batch, if it is there.
pub(super) fn of_oldest(in_flight: &mut VecDeque<InFlight>) -> Option<Replies> {
    so_far(&mut in_flight.front_mut()?.answer)
}

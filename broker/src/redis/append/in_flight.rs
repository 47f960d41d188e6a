//! Batches that were sent, and their answers to come. Answers come in the order in which batches were sent, so only
//! the oldest is ever waited for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

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

/// The answer, if it is there.
pub(super) fn so_far(answer: &mut Answer) -> Option<Replies> {
    use tokio::sync::oneshot::error::TryRecvError;
    match answer.try_recv() {
        Ok(replies) => Some(Ok(replies)),
        Err(TryRecvError::Closed) => Some(Err(Fault::CONNECTION_LOST)),
        Err(TryRecvError::Empty) => None,
    }
}

/// The answer, when it is there.
pub(super) fn poll(answer: &mut Answer, cx: &mut Context<'_>) -> Poll<Replies> {
    use std::future::Future as _;
    Pin::new(answer).poll(cx).map_err(|_| Fault::CONNECTION_LOST)
}

/// The answer to the oldest batch.
pub(super) fn poll_oldest(in_flight: &mut VecDeque<InFlight>, cx: &mut Context<'_>) -> Poll<Replies> {
    match in_flight.front_mut() {
        Some(oldest) => poll(&mut oldest.answer, cx),
        None => Poll::Pending,
    }
}

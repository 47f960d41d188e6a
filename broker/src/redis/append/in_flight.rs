//! Batches that were sent, and their answers to come. Answers come in the order in which batches were sent, so only
//! the oldest is ever waited for.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use tokio::time::Instant;

use super::super::fault::Fault;
use super::backlog::Batch;

/// The replies to what was sent. Only a connection that is gone makes it a fault, [`Fault::Lost`]; errors of the
/// server are among the replies.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Vec<Value>, Fault>> + Send>>;

/// A batch, and its answer to come.
pub(super) struct InFlight {
    pub(super) batch: Batch,
    pub(super) sent_at: Instant,
    answer: Answer,
}

impl InFlight {
    /// Sends what [`ask`] made: it is in the connection's queue when this returns, so the order in which batches are
    /// sent is the order of these calls.
    pub(super) fn new(batch: Batch, mut answer: Answer, sent_at: Instant) -> Self {
        if let Some(answered) = answer.as_mut().now_or_never() {
            answer = Box::pin(std::future::ready(answered));
        }
        Self {
            batch,
            sent_at,
            answer,
        }
    }

    /// The answer, if it is there.
    pub(super) fn answer_so_far(&mut self) -> Option<Result<Vec<Value>, Fault>> {
        self.answer.as_mut().now_or_never()
    }
}

/// Makes the question; nothing is sent yet.
pub(super) fn ask(mut connection: MultiplexedConnection, commands: Pipeline) -> Answer {
    let asked = async move {
        let replies = connection
            .send_packed_commands(&commands, 0, commands.len())
            .await;
        replies.map_err(|error| match Fault::of(&error) {
            lost @ Fault::Lost(_) => lost,
            _ => Fault::Lost("the connection to Redis was lost"),
        })
    };
    // Tokio's budget could keep the first poll from handing the commands over, and so change their order.
    Box::pin(tokio::task::unconstrained(asked))
}

/// The answer to the oldest batch.
pub(super) fn poll_oldest(
    in_flight: &mut VecDeque<InFlight>,
    cx: &mut Context<'_>,
) -> Poll<Result<Vec<Value>, Fault>> {
    match in_flight.front_mut() {
        Some(oldest) => oldest.answer.as_mut().poll(cx),
        None => Poll::Pending,
    }
}

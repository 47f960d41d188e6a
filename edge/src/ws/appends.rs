//! A publish on its way: first it waits for its place in the log's queue, then for its outcome.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use broker::{AppendError, Appended, Log, NewEvent, Receipt};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::session::Publishing;
use crate::rate::{Client, RateLimits};

/// An event that waits for its place in the log's queue.
pub(crate) type Submit = BoxFuture<'static, (Publishing, Result<Receipt, AppendError>)>;

/// Hands an event to the log, as soon as the publisher may publish again.
pub(crate) fn submit(
    log: Arc<dyn Log>,
    publisher: Option<(Arc<RateLimits>, Client)>,
    publishing: Publishing,
    new: NewEvent,
) -> Submit {
    async move {
        if let Some((limits, client)) = publisher {
            while let Err(pause) = limits.publish_or_wait(client) {
                tokio::time::sleep(pause).await;
            }
        }
        let receipt = log.submit(&publishing.stream, vec![new]).await;
        (publishing, receipt)
    }
    .boxed()
}

/// A publish that is in the log's queue, until its outcome is known.
pub(crate) struct Ack {
    publishing: Option<Publishing>,
    receipt: Receipt,
}

impl Ack {
    /// Waits for the receipt.
    pub(crate) fn new(publishing: Publishing, receipt: Receipt) -> Self {
        Self {
            publishing: Some(publishing),
            receipt,
        }
    }
}

impl Future for Ack {
    type Output = (Publishing, Result<Appended, AppendError>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcomes = ready!(Pin::new(&mut self.receipt).poll(cx));
        let outcome = outcomes.pop().unwrap_or(Err(AppendError::Unconfirmed));
        match self.publishing.take() {
            Some(publishing) => Poll::Ready((publishing, outcome)),
            None => Poll::Pending,
        }
    }
}

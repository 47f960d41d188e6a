//! A publish on its way: first it waits for its place in the log's queue, then for its outcome. What the transport
//! knows it by goes with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use broker::{AppendError, Appended, Log, NewEvent, Receipt};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::StreamName;
use tracing::debug;

use crate::error::ApiError;
use crate::metrics;
use crate::rate::{Client, RateLimits};
use crate::spans::{self, Published};

/// An event that waits for its place in the log's queue.
pub(crate) type Submit<P> = BoxFuture<'static, (P, Result<Receipt, AppendError>)>;

/// Hands an event to the log, as soon as the publisher may publish again.
pub(crate) fn submit<P: Send + 'static>(
    log: Arc<dyn Log>,
    publisher: Option<(Arc<RateLimits>, Client)>,
    stream: StreamName,
    publishing: P,
    new: NewEvent,
) -> Submit<P> {
    async move {
        if let Some((limits, client)) = publisher {
            while let Err(pause) = limits.publish_or_wait(client) {
                tokio::time::sleep(pause).await;
            }
        }
        let receipt = log.submit(&stream, vec![new]).await;
        (publishing, receipt)
    }
    .boxed()
}

/// The outcome of a publish is known: counts it, and writes it to the trace and to the log of this process.
pub(crate) fn report(publish: &Published<'_>, outcome: &Result<Appended, ApiError>) {
    let label = match outcome {
        Ok(Appended { duplicate: true, .. }) => "duplicate",
        Ok(_) => "ok",
        Err(error) => error.code().as_str(),
    };
    metrics::published(publish.transport, label, 1);
    spans::published(publish, label);
    let id = outcome.as_ref().ok().map(|appended| appended.cursor.id);
    let id = id.map(tracing::field::display);
    debug!(stream = %publish.stream, trace = %publish.trace, outcome = label, id, "publish");
}

/// A publish that is in the log's queue, until its outcome is known.
pub(crate) struct Ack<P> {
    publishing: Option<P>,
    receipt: Receipt,
}

impl<P> Ack<P> {
    /// Waits for the receipt.
    pub(crate) fn new(publishing: P, receipt: Receipt) -> Self {
        Self {
            publishing: Some(publishing),
            receipt,
        }
    }
}

impl<P: Unpin> Future for Ack<P> {
    type Output = (P, Result<Appended, AppendError>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcomes = ready!(Pin::new(&mut self.receipt).poll(cx));
        let outcome = outcomes.pop().unwrap_or(Err(AppendError::Unconfirmed));
        match self.publishing.take() {
            Some(publishing) => Poll::Ready((publishing, outcome)),
            None => Poll::Pending,
        }
    }
}

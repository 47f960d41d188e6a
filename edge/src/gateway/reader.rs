//! The subscriber of one socket, for a task that polls. Beginning to follow a stream asks the log, which takes its
//! time; meanwhile the subscriber is away and the socket goes on. A socket that follows nothing has none.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use broker::{Delivery, Joined, Log, Order, ReadError, Subscriber, SubscriberConfig};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::StreamName;

use super::session::Wanted;

/// A subscriber, or what will give it back.
pub(super) enum Reader {
    /// Nothing is followed.
    None,
    /// Ready to deliver.
    Idle(Box<Subscriber>),
    /// Beginning to follow a stream.
    Busy(BoxFuture<'static, (Box<Subscriber>, Result<Joined, ReadError>)>),
}

impl Reader {
    /// Begins to follow a stream; [`Reader::poll_joined`] tells the outcome. The session asks for one at a time.
    pub(super) fn join(&mut self, log: &Arc<dyn Log>, streams_max: usize, wanted: Wanted) {
        let mut subscriber = match std::mem::replace(self, Self::None) {
            Self::Idle(subscriber) => subscriber,
            Self::None | Self::Busy(_) => {
                let config = SubscriberConfig {
                    order: Order::ByTime,
                    streams_max,
                    ephemeral: true,
                };
                Box::new(Subscriber::new(Arc::clone(log), config))
            }
        };
        let join = async move {
            let Wanted { stream, from, filter } = wanted;
            let joined = match filter.compile() {
                Ok(filter) => subscriber.subscribe(stream, from, None, filter).await,
                // One that another edge has stored, and could compile.
                Err(problem) => Err(ReadError::Refused(problem.to_string())),
            };
            (subscriber, joined)
        };
        *self = Self::Busy(join.boxed());
    }

    /// Waits for the outcome of the last [`Reader::join`].
    pub(super) fn poll_joined(&mut self, cx: &mut Context<'_>) -> Poll<Result<Joined, ReadError>> {
        let Self::Busy(join) = self else {
            return Poll::Pending;
        };
        let (subscriber, joined) = ready!(join.poll_unpin(cx));
        *self = Self::Idle(subscriber);
        Poll::Ready(joined)
    }

    /// Stops following a stream.
    pub(super) fn leave(&mut self, stream: &StreamName) {
        if let Self::Idle(subscriber) = self {
            subscriber.unsubscribe(stream);
            if subscriber.positions().next().is_none() {
                *self = Self::None;
            }
        }
    }

    /// Waits for something to deliver; see [`Subscriber::poll_next`].
    pub(super) fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
        out: &mut Vec<Delivery>,
    ) -> Poll<()> {
        match self {
            Self::Idle(subscriber) => subscriber.poll_next(cx, bytes_max, out),
            Self::None | Self::Busy(_) => Poll::Pending,
        }
    }

    /// After deliveries: whether there are more at once; see [`Subscriber::poll_left`].
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Idle(subscriber) => subscriber.poll_left(cx),
            Self::None | Self::Busy(_) => Poll::Pending,
        }
    }

    /// What was sent around the log so far is not news any more.
    pub(super) fn skip_ephemeral(&mut self) {
        if let Self::Idle(subscriber) = self {
            subscriber.skip_ephemeral();
        }
    }
}

//! The subscriber of one socket. Beginning to follow a stream asks the log, which takes its time; meanwhile the
//! subscriber is away and the socket goes on.

use std::sync::Arc;

use broker::{Delivery, Joined, Log, Order, ReadError, Subscriber, SubscriberConfig};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::StreamName;

use super::session::Joining;

/// A subscriber, or what will give it back.
pub(crate) enum Reader {
    /// Ready to deliver.
    Idle(Subscriber),
    /// Beginning to follow a stream.
    Busy(BoxFuture<'static, (Subscriber, Result<Joined, ReadError>)>),
    /// In between; never seen from outside.
    Away,
}

/// What a reader has come to.
pub(crate) enum ReaderEvent {
    /// Something was appended to the buffer.
    Delivered,
    /// The stream is followed, or not.
    Joined(Result<Joined, ReadError>),
}

impl Reader {
    /// A reader that follows nothing.
    pub(crate) fn new(log: Arc<dyn Log>, streams_max: usize) -> Self {
        let config = SubscriberConfig {
            order: Order::PerStream,
            streams_max,
            ephemeral: false,
        };
        Self::Idle(Subscriber::new(log, config))
    }

    /// Begins to follow a stream; [`Reader::next`] tells the outcome.
    pub(crate) fn join(&mut self, joining: Joining) {
        match std::mem::replace(self, Self::Away) {
            Self::Idle(mut subscriber) => {
                let join = async move {
                    let Joining {
                        stream,
                        from,
                        until,
                        filter,
                        ..
                    } = joining;
                    let joined = subscriber.subscribe(stream, from, until, filter).await;
                    (subscriber, joined)
                };
                *self = Self::Busy(join.boxed());
            }
            // The session hands out one at a time.
            busy => *self = busy,
        }
    }

    /// Stops following a stream.
    pub(crate) fn leave(&mut self, stream: &StreamName) {
        if let Self::Idle(subscriber) = self {
            subscriber.unsubscribe(stream);
        }
    }

    /// Waits for what is under way; else, if `deliver`, for something to deliver. Cancel-safe.
    pub(crate) async fn next(
        &mut self,
        deliver: bool,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> ReaderEvent {
        match self {
            Self::Idle(subscriber) if deliver => {
                subscriber.next(max_bytes, out).await;
                ReaderEvent::Delivered
            }
            Self::Busy(join) => {
                let (subscriber, joined) = join.await;
                *self = Self::Idle(subscriber);
                ReaderEvent::Joined(joined)
            }
            Self::Idle(_) | Self::Away => std::future::pending().await,
        }
    }
}

//! What one socket has asked of the log and has no answer to yet.

use std::task::{Context, Poll};

use broker::{Generation, Page, ReadError, Saved, SessionCall, SessionError, Taken, Touched};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::appends::{Publishes, Settled, Target};
use crate::gateway::session::Reading;
use crate::socketio::AckId;

/// What one socket has asked of the log.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) take_over: Option<SessionCall<Option<Taken>>>,
    pub(super) create: Option<SessionCall<Generation>>,
    pub(super) save: Option<SessionCall<Saved>>,
    pub(super) touch: Option<SessionCall<Touched>>,
    pub(super) publishes: Publishes<Option<AckId>>,
    pub(super) pages: FuturesUnordered<BoxFuture<'static, (Reading, Result<Page, ReadError>)>>,
}

/// An answer of the log.
pub(super) enum Answered {
    TakenOver(Result<Option<Taken>, SessionError>),
    Created(Result<Generation, SessionError>),
    Saved(Result<Saved, SessionError>),
    Touched(Result<Touched, SessionError>),
    Published(Settled<Option<AckId>>),
    Page(Reading, Result<Page, ReadError>),
}

impl UnderWay {
    /// Whether everything is answered.
    pub(super) fn is_empty(&self) -> bool {
        self.take_over.is_none()
            && self.create.is_none()
            && self.save.is_none()
            && self.touch.is_none()
            && self.publishes.is_empty()
            && self.pages.is_empty()
    }

    /// Waits for the next answer.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>, target: Target<'_>) -> Poll<Answered> {
        let answered = poll_call(&mut self.take_over, cx)
            .map(Answered::TakenOver)
            .or_else(|| poll_call(&mut self.create, cx).map(Answered::Created))
            .or_else(|| poll_call(&mut self.save, cx).map(Answered::Saved))
            .or_else(|| poll_call(&mut self.touch, cx).map(Answered::Touched));
        if let Some(answered) = answered {
            return Poll::Ready(answered);
        }
        if let Poll::Ready(settled) = self.publishes.poll(cx, target) {
            return Poll::Ready(Answered::Published(settled));
        }
        if let Poll::Ready(Some((reading, page))) = self.pages.poll_next_unpin(cx) {
            return Poll::Ready(Answered::Page(reading, page));
        }
        Poll::Pending
    }
}

/// The answer to a call, if there is one; then the call is over.
fn poll_call<T>(call: &mut Option<BoxFuture<'static, T>>, cx: &mut Context<'_>) -> Option<T> {
    match call.as_mut()?.poll_unpin(cx) {
        Poll::Ready(answer) => {
            *call = None;
            Some(answer)
        }
        Poll::Pending => None,
    }
}

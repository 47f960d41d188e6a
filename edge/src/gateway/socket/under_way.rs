//! What one socket has asked of the log and has no answer to yet.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use broker::{
    AppendError, Appended, Generation, NewEvent, Page, ReadError, Receipt, Saved, SessionCall, SessionError,
    Taken, Touched,
};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::appends::{Ack, Submit};
use crate::gateway::session::{Publishing, Reading};

/// What one socket has asked of the log.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) take_over: Option<SessionCall<Option<Taken>>>,
    pub(super) create: Option<SessionCall<Generation>>,
    pub(super) save: Option<SessionCall<Saved>>,
    pub(super) touch: Option<SessionCall<Touched>>,
    /// An event that waits for its place in the log's queue; no other is taken meanwhile.
    pub(super) submitting: Option<Submit<Publishing>>,
    /// Events behind that one: announcements to several streams come at once.
    pub(super) waiting: VecDeque<(Publishing, NewEvent)>,
    pub(super) acks: FuturesUnordered<Ack<Publishing>>,
    pub(super) pages: FuturesUnordered<BoxFuture<'static, (Reading, Result<Page, ReadError>)>>,
}

/// An answer of the log.
pub(super) enum Answered {
    TakenOver(Result<Option<Taken>, SessionError>),
    Created(Result<Generation, SessionError>),
    Saved(Result<Saved, SessionError>),
    Touched(Result<Touched, SessionError>),
    Submitted(Publishing, Result<Receipt, AppendError>),
    Acknowledged(Publishing, Result<Appended, AppendError>),
    Page(Reading, Result<Page, ReadError>),
}

impl UnderWay {
    /// Whether an event waits for its place in the log's queue.
    pub(super) fn is_submitting(&self) -> bool {
        self.submitting.is_some()
    }

    /// Whether everything is answered.
    pub(super) fn is_empty(&self) -> bool {
        self.take_over.is_none()
            && self.create.is_none()
            && self.save.is_none()
            && self.touch.is_none()
            && self.submitting.is_none()
            && self.waiting.is_empty()
            && self.acks.is_empty()
            && self.pages.is_empty()
    }

    /// Waits for the next answer.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answered> {
        let answered = poll_call(&mut self.take_over, cx)
            .map(Answered::TakenOver)
            .or_else(|| poll_call(&mut self.create, cx).map(Answered::Created))
            .or_else(|| poll_call(&mut self.save, cx).map(Answered::Saved))
            .or_else(|| poll_call(&mut self.touch, cx).map(Answered::Touched))
            .or_else(|| {
                let (publishing, receipt) = poll_call(&mut self.submitting, cx)?;
                Some(Answered::Submitted(publishing, receipt))
            });
        if let Some(answered) = answered {
            return Poll::Ready(answered);
        }
        if let Poll::Ready(Some((publishing, outcome))) = self.acks.poll_next_unpin(cx) {
            return Poll::Ready(Answered::Acknowledged(publishing, outcome));
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

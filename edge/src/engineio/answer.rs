//! The answer to a GET: its payload, and a body that shows how far the client has taken it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use shared::limits::ENGINE_ANSWER_CHUNK_BYTES;

/// What a GET is answered with.
#[derive(Debug)]
pub(crate) enum GetAnswer {
    /// A payload.
    Payload(Bytes, Transfer),
    /// It should not have been sent.
    Refused,
}

/// How far the client of a session has taken its large answers: whoever takes one slowly is not dead. That it fetches
/// small ones is no answer to a ping. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transfer(Arc<AtomicU64>);

impl Transfer {
    /// Grows while a large answer is taken.
    pub(crate) fn taken(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The response of a payload.
pub(crate) fn payload(bytes: Bytes, transfer: Transfer) -> Response {
    text(Body::new(Chunks {
        rest: bytes,
        begun: false,
        transfer,
    }))
}

/// A short text that no cache may keep.
pub(crate) fn text(body: impl Into<Body>) -> Response {
    let mut response = body.into().into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=UTF-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Hands out a payload piece by piece, as the connection has room.
struct Chunks {
    rest: Bytes,
    begun: bool,
    transfer: Transfer,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let count = self.rest.len().min(ENGINE_ANSWER_CHUNK_BYTES);
        let chunk = self.rest.split_to(count);
        if std::mem::replace(&mut self.begun, true) {
            self.transfer.0.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

//! Publishing a stream of lines: each line of the body is appended as it arrives and answered with a line of its
//! own, for as long as the client likes.
//!
//! * [`lines`]: from chunks to whole lines;
//! * [`batch`]: some lines, their events, their answers;
//! * [`pump`]: reads, appends and answers, all three at the pace of the slowest.
//!
//! It is back-pressure from end to end: the body is read only as fast as the log accepts appends and the client
//! takes answers, and what is under way in between is bounded.

mod batch;
mod lines;
mod pump;

use std::convert::Infallible;
use std::task::Poll;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use shared::StreamName;
use shared::limits::INGEST_ANSWERS_QUEUED_MAX;
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span};

use super::accept::Format;
use super::publish::{IDEMPOTENCY_KEY, durability};
use crate::app::AppState;
use crate::error::{ApiError, Code};
use crate::rate::Client;
use crate::trace::RequestTrace;
use pump::{Given, Pump};

/// Answers at once with a response whose lines follow as the lines of the body are appended.
pub(super) async fn ingest(
    state: &AppState,
    stream: StreamName,
    client: Client,
    trace: RequestTrace,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let message = "one Idempotency-Key cannot name many events; give each line a \"key\"";
        return Err(ApiError::new(Code::InvalidKey, message));
    }
    if state.drain.is_cancelled() {
        return Err(ApiError::new(
            Code::Closing,
            "this edge is shutting down; publish to another one",
        ));
    }
    let (answers, mut outgoing) = mpsc::channel::<Bytes>(INGEST_ANSWERS_QUEUED_MAX);
    let given = Given {
        trace: trace.received.map(shared::trace::TraceParent::to_text),
        durability: durability(headers)?,
    };
    let mut pump = Pump::new(state.clone(), stream, client, given, body, answers);
    // A client that sent `Expect: 100-continue` is told to go on only if its body is asked for before the answer
    // begins: so ask, and let the connection look once before this answer is handed over.
    pump.ask_for_body().await;
    tokio::task::yield_now().await;
    state.tasks.spawn(pump.run().instrument(Span::current()));

    let lines = futures_util::stream::poll_fn(move |cx| match outgoing.poll_recv(cx) {
        Poll::Ready(line) => Poll::Ready(line.map(Ok::<_, Infallible>)),
        Poll::Pending => Poll::Pending,
    });
    let headers = [
        (header::CONTENT_TYPE, Format::Ndjson.media_type()),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// The next data of a body: `None` at its end, an error if it was cut.
async fn next_chunk(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                // Trailers say nothing here.
                Err(_) => continue,
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

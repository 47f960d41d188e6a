//! Live tails over HTTP: server-sent events and NDJSON, of one stream or of several in one.
//!
//! * `format`: the pieces of the two formats, `sse` and `ndjson`;
//! * `encoder`: deliveries to bytes, sans-IO; it keeps the client's position (`resume_point`);
//! * `chunks`: the bytes, joined or shared;
//! * `body`: pulls from the subscriber when the connection can take more;
//! * `start`: where a tail begins, from what the client asks for.
//!
//! Nothing in here knows how history is joined to live, or what was lost: that is [`broker::Subscriber`]'s.

mod body;
mod chunks;
mod encoder;
mod format;
mod gauges;
mod ndjson;
mod resume_point;
mod sse;
mod start;

#[cfg(test)]
mod body_tests;
#[cfg(test)]
mod encoder_properties;
#[cfg(test)]
mod encoder_tests;
#[cfg(test)]
#[allow(dead_code, unreachable_pub)]
#[path = "../../../tests/tails/sse_parser.rs"]
mod sse_parser;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use shared::StreamName;

use super::query::TailQuery;
use crate::app::AppState;
use crate::error::ApiError;
use body::{Pace, Tail};
use chunks::Chunks;
use encoder::Encoder;
use format::Format;
use gauges::Gauges;
use ndjson::Ndjson;
use sse::Sse;
use start::Start;

/// Proxies of the nginx family pass such an answer on as it comes, without a buffer of their own.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An entry as a server-sent event.
#[cfg(feature = "measuring")]
pub(crate) fn event_as_sse(entry: &shared::Entry) -> bytes::Bytes {
    encoder::whole_event::<Sse>(entry)
}

/// An entry as a line of JSON.
#[cfg(feature = "measuring")]
pub(crate) fn event_as_ndjson(entry: &shared::Entry) -> bytes::Bytes {
    encoder::whole_event::<Ndjson>(entry)
}

/// Follows `streams` as server-sent events. A `Last-Event-ID` header beats the query's `from`.
///
/// A client that comes back after a tail with an `until` has ended gets 204, which makes it stop: without it, an
/// `EventSource` would ask again for ever. Nothing else is answered with 204.
///
/// An `EventSource` also gives up for ever on any status of an error. So where the log is away only for the moment, a
/// client that comes back is not refused but asked to come back later: an empty tail that ends.
pub async fn sse(
    state: AppState,
    streams: Vec<StreamName>,
    mut query: TailQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last_event_id = start::last_event_id(&headers)?;
    if let Some(last_event_id) = &last_event_id {
        query.position = Some(last_event_id.position.clone());
    }
    let mut start = match (Start::begin(&state, streams, &query).await, &last_event_id) {
        (Ok(start), _) => start,
        (Err(error), Some(id)) if error.code().status() == StatusCode::SERVICE_UNAVAILABLE => {
            tracing::debug!(%error, "an event source is asked to come back later");
            return Ok(come_back_later(&state, &id.text));
        }
        (Err(error), _) => return Err(error),
    };
    if last_event_id.is_some() && start.has_ended(&query).await {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(respond::<Sse>(&state, start, "sse"))
}

/// Follows `streams` as lines of JSON.
pub async fn ndjson(
    state: AppState,
    streams: Vec<StreamName>,
    query: TailQuery,
    _headers: HeaderMap,
) -> Result<Response, ApiError> {
    let start = Start::begin(&state, streams, &query).await?;
    Ok(respond::<Ndjson>(&state, start, "ndjson"))
}

fn respond<F: Format>(state: &AppState, start: Start, transport: &'static str) -> Response {
    let settings = &state.config.tail;
    let pace = Pace {
        batch_bytes: settings.outbox_bytes_max,
        heartbeat: settings.heartbeat,
        farewell_retry_ms: scattered_retry_ms(state),
    };
    let gauges = Gauges::new(transport, start.positions.len());
    let mut encoder = Encoder::<F>::new(start.positions, start.unjudged);
    let mut chunks = Chunks::default();
    encoder.open(retry_ms(state), &mut chunks);
    let tail = Tail::new(
        start.subscriber,
        encoder,
        chunks,
        pace,
        state.drain.clone(),
        gauges,
    )
    .with_first(start.first);
    (headers::<F>(), tail.into_body()).into_response()
}

fn come_back_later(state: &AppState, last_event_id: &str) -> Response {
    let mut body = Vec::new();
    Sse::push_farewell(&mut body, scattered_retry_ms(state), last_event_id.as_bytes());
    (headers::<Sse>(), Body::from(body)).into_response()
}

fn headers<F: Format>() -> [(HeaderName, HeaderValue); 3] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(F::CONTENT_TYPE)),
        // Not to be kept, and not to be compressed or otherwise held back on the way.
        (CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (NO_BUFFERING, HeaderValue::from_static("no")),
    ]
}

fn retry_ms(state: &AppState) -> u64 {
    u64::try_from(state.config.tail.retry.as_millis()).unwrap_or(u64::MAX)
}

/// Up to twice the usual pause, for when many clients are to come back at the same time.
fn scattered_retry_ms(state: &AppState) -> u64 {
    let retry_ms = retry_ms(state);
    retry_ms.saturating_add(fastrand::u64(0..=retry_ms))
}

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
mod encoder_properties;
#[cfg(test)]
mod encoder_tests;
#[cfg(test)]
#[allow(unreachable_pub)]
#[path = "../../../tests/tails/sse_parser.rs"]
mod sse_parser;

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

/// Follows `streams` as server-sent events. A `Last-Event-ID` header beats the query's `from`.
///
/// A client that comes back after a tail with an `until` has ended gets 204, which makes it stop: without it, an
/// `EventSource` would ask again for ever. Nothing else is answered with 204.
pub async fn sse(
    state: AppState,
    streams: Vec<StreamName>,
    mut query: TailQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last_event_id = start::last_event_id(&headers)?;
    let comes_back = last_event_id.is_some();
    query.position = last_event_id.or(query.position);
    let mut start = Start::begin(&state, streams, &query).await?;
    if comes_back && start.has_ended(&query).await {
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
    let retry_ms = u64::try_from(settings.retry.as_millis()).unwrap_or(u64::MAX);
    let pace = Pace {
        batch_bytes: settings.outbox_bytes_max,
        heartbeat: settings.heartbeat,
        // Spread over twice the usual pause: all clients of this edge go to the others.
        farewell_retry_ms: retry_ms.saturating_add(fastrand::u64(0..=retry_ms)),
    };
    let gauges = Gauges::new(transport, start.positions.len());
    let mut encoder = Encoder::<F>::new(start.positions, start.unjudged);
    let mut chunks = Chunks::default();
    encoder.open(retry_ms, &mut chunks);
    let tail = Tail::new(
        start.subscriber,
        encoder,
        chunks,
        pace,
        state.drain.clone(),
        gauges,
    )
    .with_first(start.first);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(F::CONTENT_TYPE)),
        // Not to be kept, and not to be compressed or otherwise held back on the way.
        (CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (NO_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, tail.into_body()).into_response()
}

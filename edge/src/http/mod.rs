//! HTTP: `/v1/streams/{name}`, `/v1/tail`, and what operators ask (`/healthz`, `/readyz`, `/metrics`).
//!
//! This file leads a request to the one who answers it: a GET by the form the client accepts, a POST or PUT by the
//! form of its body.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use shared::time::now_ms;

use crate::app::AppState;
use crate::error::{ApiError, Code};
use accept::{Format, negotiate};
pub(crate) use event::check_event_name;
#[cfg(feature = "measuring")]
pub(crate) use event::parse as parse_event;
pub(crate) use observe::{observe, observe_engine};
use query::{PageQuery, StreamPath, TailQuery};

pub mod accept;
mod event;
mod ingest;
mod observe;
mod ops;
mod page;
mod publish;
pub mod query;
pub mod tail;

/// The routes of the HTTP interface.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route(
            "/v1/streams/{name}",
            get(read)
                .post(publish::publish)
                .put(publish::publish)
                .options(allow_stream),
        )
        .route("/v1/streams/{name}/{*rest}", axum::routing::any(not_one_segment))
        .route("/v1/tail", get(merged).options(allow_read))
        .route("/healthz", get(ops::health).options(allow_read))
        .route("/readyz", get(ops::ready).options(allow_read))
        .route("/metrics", get(ops::metrics).options(allow_read))
}

/// GET and HEAD of a stream: a page, or a tail.
async fn read(
    State(state): State<AppState>,
    StreamPath(stream): StreamPath,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format =
        negotiate(&headers, &[Format::Json, Format::Ndjson, Format::Sse]).ok_or_else(not_acceptable)?;
    match format {
        Format::Json => page::page(state, stream.clone(), PageQuery::parse(&uri, now_ms(), &stream)?).await,
        Format::Ndjson | Format::Sse => {
            let query = TailQuery::parse(&uri, now_ms())?;
            follow(state, vec![stream], query, format, &method, headers).await
        }
    }
}

/// GET and HEAD of several streams: always a tail.
async fn merged(
    State(state): State<AppState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = negotiate(&headers, &[Format::Ndjson, Format::Sse]).ok_or_else(not_acceptable)?;
    let (streams, query) = TailQuery::parse_merged(&uri, now_ms())?;
    for stream in &streams {
        state.stream_name(stream.as_str())?;
    }
    let max = state.config.limits.subscriptions_max;
    if streams.len() > max {
        return Err(broker::ReadError::TooManySubscriptions(max).into());
    }
    follow(state, streams, query, format, &method, headers).await
}

async fn follow(
    state: AppState,
    streams: Vec<shared::StreamName>,
    query: TailQuery,
    format: Format,
    method: &Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if method == Method::HEAD {
        // Nothing would ever be sent: do not subscribe for it.
        return Ok(([(header::CONTENT_TYPE, format.media_type())], ()).into_response());
    }
    if state.drain.is_cancelled() {
        return Err(ApiError::new(
            Code::Closing,
            "this edge is shutting down; come back to another one",
        ));
    }
    match format {
        Format::Sse => tail::sse(state, streams, query, headers).await,
        Format::Ndjson | Format::Json => tail::ndjson(state, streams, query, headers).await,
    }
}

fn not_acceptable() -> ApiError {
    ApiError::new(
        Code::NotAcceptable,
        "this can be had as application/json (a page), application/x-ndjson or text/event-stream (a tail)",
    )
}

async fn not_one_segment(request: Request) -> ApiError {
    let message = format!(
        "there is nothing at {}; a stream name is one path segment, write \"/\" in it as %2F",
        request.uri().path()
    );
    ApiError::new(Code::NotFound, message)
}

async fn allow_stream() -> Response {
    (
        StatusCode::NO_CONTENT,
        [(header::ALLOW, "GET, HEAD, POST, PUT, OPTIONS")],
    )
        .into_response()
}

async fn allow_read() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, OPTIONS")]).into_response()
}

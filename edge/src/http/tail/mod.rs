//! Live tails over HTTP: server-sent events and NDJSON.

use axum::http::HeaderMap;
use axum::response::Response;
use shared::StreamName;

use super::query::TailQuery;
use crate::app::AppState;
use crate::error::{ApiError, Code};

/// Follows `streams` as server-sent events.
pub async fn sse(
    _state: AppState,
    _streams: Vec<StreamName>,
    _query: TailQuery,
    _headers: HeaderMap,
) -> Result<Response, ApiError> {
    Err(ApiError::new(Code::NotAcceptable, "not served"))
}

/// Follows `streams` as lines of JSON.
pub async fn ndjson(
    _state: AppState,
    _streams: Vec<StreamName>,
    _query: TailQuery,
    _headers: HeaderMap,
) -> Result<Response, ApiError> {
    Err(ApiError::new(Code::NotAcceptable, "not served"))
}

//! What operators and their machines ask: is the process alive, can this edge do its work, and the counters.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shared::limits::READY_TIMEOUT;
use tokio::time::Instant;

use crate::app::AppState;
use crate::error::{ApiError, Code};
use crate::metrics;

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Response {
    json(StatusCode::OK, "{\"status\":\"ok\"}\n")
}

/// `GET /readyz`: whether this edge can append and tail right now, so that a load balancer sends it new clients.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Response, ApiError> {
    check(&state).await?;
    Ok(json(StatusCode::OK, "{\"status\":\"ready\"}\n"))
}

/// Whether this edge is ready; it is noted in the metrics.
async fn check(state: &AppState) -> Result<(), ApiError> {
    let ready = ready_now(state).await;
    metrics::ready(ready.is_ok());
    ready
}

async fn ready_now(state: &AppState) -> Result<(), ApiError> {
    if state.drain.is_cancelled() {
        return Err(ApiError::new(Code::Closing, "this edge is shutting down"));
    }
    let begun = Instant::now();
    let checked = tokio::time::timeout(READY_TIMEOUT, state.log.check()).await;
    metrics::ready_checked(begun.elapsed());
    match checked {
        Ok(checked) => Ok(checked?),
        Err(_) => Err(ApiError::new(
            Code::Unavailable,
            "the log does not answer in time",
        )),
    }
}

/// `GET /metrics`: the counters in the Prometheus text format, with whether this edge is ready at this moment.
pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    // Its outcome is among what is rendered.
    let _ = check(&state).await;
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, metrics::render()).into_response()
}

fn json(status: StatusCode, body: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

//! What operators and their machines ask: is the process alive, can this edge do its work, and the counters.

use std::io::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use broker::Part;
use shared::limits::READY_TIMEOUT;
use shared::wire;
use tokio::time::Instant;

use crate::app::AppState;
use crate::error::{ApiError, Code};
use crate::metrics;

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Response {
    json(StatusCode::OK, "{\"status\":\"ok\"}\n")
}

/// `GET /readyz`: whether this edge can append and tail right now, so that a load balancer sends it new clients; and which
/// parts of the log work, for whoever has to know why not.
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let ready = check(&state).await;
    let parts = Parts(state.log.parts());
    match ready {
        Ok(()) => {
            let mut body = b"{\"status\":\"ready\"".to_vec();
            parts.push_member(&mut body);
            body.extend_from_slice(b"}\n");
            json(StatusCode::OK, body)
        }
        Err(error) => {
            let mut members = Vec::new();
            parts.push_member(&mut members);
            error.into_response_with(&members)
        }
    }
}

/// What is known of the parts of the log.
struct Parts(Vec<Part>);

impl Parts {
    /// Appends `,"parts":[{"part","node"?,"ok","why"?,"since"?}]`; nothing if there are none.
    fn push_member(&self, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        out.extend_from_slice(b",\"parts\":[");
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // Writing into a vector has no way to fail; names have nothing that JSON escapes.
            let _ = write!(out, "{{\"part\":\"{}\"", part.name);
            if let Some(node) = &part.node {
                out.extend_from_slice(b",\"node\":");
                wire::push_json_string(out, node);
            }
            let _ = write!(out, ",\"ok\":{}", part.away.is_none());
            if let Some(away) = part.away {
                out.extend_from_slice(b",\"why\":");
                wire::push_json_string(out, away.why);
                out.extend_from_slice(b",\"since\":");
                wire::push_json_time(out, away.since_ms);
            }
            out.push(b'}');
        }
        out.push(b']');
    }
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

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.into()).into_response()
}

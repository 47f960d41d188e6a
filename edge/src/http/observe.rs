//! What happens around every request: its name in the logs, its admission, and its place in the counters.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info_span};

use crate::app::AppState;
use crate::engineio::Brought;
use crate::error::{ApiError, Code};
use crate::metrics;
use crate::rate::Client;
use crate::server::Peer;
use crate::spans;
use crate::trace::RequestTrace;

/// Names, admits, answers and counts a request.
pub(crate) async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let admitted = admit(&state, &request).and_then(|client| {
        state.origins.check(request.headers())?;
        Ok(client)
    });
    watch(admitted, request, next).await
}

/// As [`observe`], for Engine.IO, which has its own way to say that an origin may not come.
pub(crate) async fn observe_engine(State(state): State<AppState>, request: Request, next: Next) -> Response {
    watch(admit(&state, &request), request, next).await
}

async fn watch(admitted: Result<Client, ApiError>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let trace = RequestTrace::of(request.headers());
    let begun_at = spans::now_if_wanted(trace.own);
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = info_span!("request", trace = %trace.id(), method, path = request.uri().path());
    let mut response = match admitted {
        Ok(client) => {
            request.extensions_mut().insert(trace);
            request.extensions_mut().insert(client);
            next.run(request).instrument(span.clone()).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Ok(value) = HeaderValue::try_from(trace.own.to_string()) {
        response.headers_mut().insert("traceparent", value);
    }
    let status = response.status().as_u16();
    let took = begun.elapsed();
    // Unknown paths are counted together: their number is not bounded.
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    metrics::request(route, method, status, took);
    spans::request(&trace, method, route, status, begun_at);
    span.in_scope(|| debug!(status, took_ms = took.as_secs_f64() * 1e3, "answered"));
    response
}

fn admit(state: &AppState, request: &Request) -> Result<Client, ApiError> {
    let headers = request.headers();
    let max = state.config.limits.header_bytes_max;
    if head_bytes(request.uri().to_string().len(), headers) > max {
        let message = format!("the head of a request may have {max} bytes");
        return Err(ApiError::new(Code::HeadersTooLarge, message));
    }
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    // Every connection of the server has a peer; a request that did not come through it counts as local.
    let peer = peer.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    let client = Client::of(peer, headers, &state.config.rate.trusted_proxies);
    // What another edge brings was counted there.
    if state.cluster.brought(request.method(), request.uri(), headers) != Brought::ByEdge {
        state.rate.request(client)?;
    }
    Ok(client)
}

fn head_bytes(uri: usize, headers: &HeaderMap) -> usize {
    uri + headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum::<usize>()
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

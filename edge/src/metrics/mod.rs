//! Everything that is counted, one function each. The names are the interface to dashboards: keep them.
//!
//! The broker counts what happens below the edge through the same facade. All of it is explained in `families.rs`.

mod families;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use families::Source;

/// Upper ends of the buckets of every duration, in seconds.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts counting; later calls change nothing. Everything whose labels are known is there from now on, as zero: a
/// counter that appears with its first event hides that event from those who watch how it grows.
pub fn install() {
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS_BUCKETS)
            .ok()?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        families::describe();
        families::begin(Source::Edge);
        gauge!("weir_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        metrics_process::Collector::default().describe();
        Some(handle)
    });
}

/// The streams are kept in Redis: what the broker counts about it is there from now on, as zero.
pub fn redis_is_used() {
    families::begin(Source::Redis);
}

/// Everything counted so far, in the Prometheus text format.
pub fn render() -> String {
    metrics_process::Collector::default().collect();
    handle().map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds the samples of durations into their buckets, so that they take no memory when nobody asks for them.
pub fn run_upkeep() {
    if let Some(handle) = handle() {
        handle.run_upkeep();
    }
}

fn handle() -> Option<&'static PrometheusHandle> {
    HANDLE.get().and_then(Option::as_ref)
}

/// A connection was accepted.
pub fn connection_opened() {
    counter!("weir_connections_total").increment(1);
    gauge!("weir_connections").increment(1.0);
}

/// A connection ended.
pub fn connection_closed() {
    gauge!("weir_connections").decrement(1.0);
}

/// So many connections are allowed at the same time.
pub fn connections_allowed(connections: usize) {
    gauge!("weir_connections_max").set(connections as f64);
}

/// This edge can append and tail right now, or cannot.
pub fn ready(ready: bool) {
    gauge!("weir_ready").set(f64::from(u8::from(ready)));
}

/// This edge has begun to shut down.
pub fn draining() {
    gauge!("weir_draining").set(1.0);
}

/// A request's answer has begun.
pub fn request(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!("weir_requests_total", "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!("weir_request_seconds", "route" => route).record(took);
}

/// A subscriber began to follow a stream.
pub fn subscription_opened(transport: &'static str) {
    gauge!("weir_subscriptions", "transport" => transport).increment(1.0);
}

/// A subscriber stopped following a stream.
pub fn subscription_closed(transport: &'static str) {
    gauge!("weir_subscriptions", "transport" => transport).decrement(1.0);
}

/// So many events were handed to a socket.
pub fn delivered(transport: &'static str, events: u64) {
    deliveries(transport).increment(events);
}

/// What counts the events that are handed to sockets, for whoever counts so often that it is not to be looked up each
/// time.
pub fn deliveries(transport: &'static str) -> Counter {
    counter!("weir_deliveries_total", "transport" => transport)
}

/// So many events were published, or refused with this error code (`ok`, `duplicate`, or a code of an error).
pub fn published(transport: &'static str, outcome: &'static str, events: u64) {
    counter!("weir_publishes_total", "transport" => transport, "outcome" => outcome).increment(events);
}

/// So many subscribers were told a verdict: `gap`, `reset` or `unverified`.
pub fn verdicts(kind: &'static str, count: u64) {
    counter!("weir_verdicts_total", "kind" => kind).increment(count);
}

/// A request or publish was refused by the rate limits.
pub fn rate_limited(kind: &'static str) {
    counter!("weir_rate_limited_total", "kind" => kind).increment(1);
}

/// The log answered a readiness check.
pub fn ready_checked(took: Duration) {
    histogram!("weir_ready_seconds").record(took);
}

/// A WebSocket was opened.
pub fn websocket_opened() {
    counter!("weir_websockets_opened_total").increment(1);
    gauge!("weir_websockets").increment(1.0);
}

/// A WebSocket ended; `end` is the name of its close code, or `lost`.
pub fn websocket_closed(end: &'static str) {
    counter!("weir_websockets_closed_total", "end" => end).increment(1);
    gauge!("weir_websockets").decrement(1.0);
}

/// An Engine.IO session began with this transport.
pub fn engine_opened(transport: &'static str) {
    counter!("weir_engine_sessions_opened_total", "transport" => transport).increment(1);
    gauge!("weir_engine_sessions").increment(1.0);
}

/// An Engine.IO session ended, for this reason.
pub fn engine_closed(end: &'static str) {
    counter!("weir_engine_sessions_closed_total", "end" => end).increment(1);
    gauge!("weir_engine_sessions").decrement(1.0);
}

/// An Engine.IO session changed from polling to WebSocket.
pub fn engine_upgraded() {
    counter!("weir_engine_upgrades_total").increment(1);
}

/// A Socket.IO client broke the protocol, in this way.
pub fn socketio_violation(violation: &'static str) {
    counter!("weir_socketio_violations_total", "violation" => violation).increment(1);
}

/// A Socket.IO client has come into a namespace of this kind.
pub fn socket_opened(namespace: &Arc<str>) {
    gauge!("weir_socketio_sockets", "namespace" => Arc::clone(namespace)).increment(1.0);
}

/// A Socket.IO client has left a namespace of this kind.
pub fn socket_closed(namespace: &Arc<str>) {
    gauge!("weir_socketio_sockets", "namespace" => Arc::clone(namespace)).decrement(1.0);
}

/// A Socket.IO client was let in: `fresh`, `recovered` or `lost`.
pub fn session_began(how: &'static str) {
    counter!("weir_socketio_sessions_total", "how" => how).increment(1);
}

/// What counts the events of Socket.IO clients that led to a `route`, to something `built_in`, or were `refused`: there are so
/// many that it is not to be looked up each time.
pub fn socket_events(to: &'static str) -> Counter {
    counter!("weir_socketio_events_total", "to" => to)
}

/// A request, or the opening of a WebSocket, was taken to another edge, which has answered or is gone.
pub fn forwarded(websocket: bool, answered: bool) {
    let kind = if websocket { "websocket" } else { "request" };
    let outcome = if answered { "answered" } else { "gone" };
    counter!("weir_forwarded_total", "kind" => kind, "outcome" => outcome).increment(1);
}

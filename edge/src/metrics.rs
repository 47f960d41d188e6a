//! Everything that is counted, one function each. The names are the interface to dashboards: keep them.
//!
//! The broker counts what happens below the edge through the same facade; [`describe`] explains those too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{
    Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Upper ends of the buckets of every duration, in seconds.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts counting; later calls change nothing.
pub fn install() {
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS_BUCKETS)
            .ok()?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        Some(handle)
    });
}

/// Everything counted so far, in the Prometheus text format.
pub fn render() -> String {
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

fn describe() {
    describe_gauge!("weir_connections", "Open connections, WebSockets included.");
    describe_counter!("weir_connections_total", "Connections accepted since the start.");
    describe_gauge!(
        "weir_subscriptions",
        "Streams followed by subscribers, by transport."
    );
    describe_counter!(
        "weir_deliveries_total",
        "Events handed to subscribers and readers, by transport."
    );
    describe_counter!(
        "weir_publishes_total",
        "Events published through this edge, by transport and outcome."
    );
    describe_counter!(
        "weir_verdicts_total",
        "Verdicts told to readers and subscribers, by kind."
    );
    describe_counter!(
        "weir_requests_total",
        "HTTP requests answered, by route, method and status."
    );
    describe_histogram!(
        "weir_request_seconds",
        Unit::Seconds,
        "Time from a request's head to the head of its answer, by route."
    );
    describe_counter!("weir_websockets_opened_total", "WebSockets opened.");
    describe_counter!(
        "weir_websockets_closed_total",
        "WebSockets ended, by the name of their close code; `lost` had none."
    );
    describe_counter!(
        "weir_forwarded_total",
        "Requests taken to the edge that has their session, by kind (`request` or `websocket`) and outcome: `answered`, or `gone` if that edge is."
    );
    describe_gauge!(
        "weir_socketio_sockets",
        "Socket.IO clients in namespaces, by namespace as it is configured."
    );
    describe_counter!(
        "weir_socketio_sessions_total",
        "Socket.IO clients let in, by how: `fresh`, `recovered`, or `lost` for those whose session was gone."
    );
    describe_counter!(
        "weir_socketio_events_total",
        "Events of Socket.IO clients, by what they led to: `route`, `built_in`, or `refused`."
    );
    describe_counter!(
        "weir_socketio_violations_total",
        "Socket.IO connections that were closed because the client broke the protocol, by how."
    );
    describe_counter!(
        "weir_rate_limited_total",
        "Requests and publishes refused by the rate limits, by kind."
    );
    describe_histogram!(
        "weir_ready_seconds",
        Unit::Seconds,
        "Time the log took to answer a readiness check."
    );
    describe_socketio();
    describe_broker();
}

fn describe_socketio() {
    describe_counter!(
        "weir_engine_sessions_opened_total",
        "Engine.IO sessions opened, by the transport they began with."
    );
    describe_counter!(
        "weir_engine_sessions_closed_total",
        "Engine.IO sessions ended, by why: `client`, `lost`, `broken`, `protocol` or `draining`."
    );
    describe_counter!(
        "weir_engine_upgrades_total",
        "Engine.IO sessions that changed from polling to WebSocket."
    );
}

fn describe_broker() {
    describe_gauge!("weir_tail_streams", "Streams this edge follows in the log.");
    describe_gauge!(
        "weir_redis_memory_used_bytes",
        Unit::Bytes,
        "Memory that Redis uses."
    );
    describe_gauge!(
        "weir_redis_memory_max_bytes",
        Unit::Bytes,
        "Memory that Redis may use; 0 is without bound."
    );
    describe_gauge!("weir_ring_bytes", "Bytes of recent history held in memory.");
    describe_counter!(
        "weir_ring_hits_total",
        "Reads of subscribers served from recent history in memory."
    );
    describe_counter!(
        "weir_catch_up_reads_total",
        "Pages read from the log for subscribers that were behind."
    );
    describe_counter!(
        "weir_shared_page_reads_total",
        "Pages that served several subscribers with one read."
    );
    describe_counter!(
        "weir_fell_behind_total",
        "Subscribers that left live mode because they were slow."
    );
    describe_counter!(
        "weir_tail_reconnects_total",
        "Times the tail lost its connection to Redis."
    );
    describe_counter!(
        "weir_tail_rejoins_total",
        "Times a followed stream no longer joined what was delivered."
    );
    describe_counter!(
        "weir_ephemerals_sent_total",
        "Ephemeral events handed to the connection to Redis."
    );
    describe_counter!(
        "weir_ephemerals_dropped_total",
        "Ephemeral events that were not sent, for want of a connection or of room in its queue."
    );
    describe_histogram!(
        "weir_tail_lag_seconds",
        Unit::Seconds,
        "Age of an event when the tail hands it to subscribers, by the clocks of Redis and of this edge."
    );
    describe_histogram!(
        "weir_redis_latency_seconds",
        Unit::Seconds,
        "Time Redis took to answer, by operation."
    );
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
}

/// A WebSocket ended; `end` is the name of its close code, or `lost`.
pub fn websocket_closed(end: &'static str) {
    counter!("weir_websockets_closed_total", "end" => end).increment(1);
}

/// An Engine.IO session began with this transport.
pub fn engine_opened(transport: &'static str) {
    counter!("weir_engine_sessions_opened_total", "transport" => transport).increment(1);
}

/// An Engine.IO session ended, for this reason.
pub fn engine_closed(end: &'static str) {
    counter!("weir_engine_sessions_closed_total", "end" => end).increment(1);
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

/// An event of a Socket.IO client led to a `route`, to something `built_in`, or was `refused`.
pub fn socket_event(to: &'static str) {
    counter!("weir_socketio_events_total", "to" => to).increment(1);
}

/// A request, or the opening of a WebSocket, was taken to another edge, which has answered or is gone.
pub fn forwarded(websocket: bool, answered: bool) {
    let kind = if websocket { "websocket" } else { "request" };
    let outcome = if answered { "answered" } else { "gone" };
    counter!("weir_forwarded_total", "kind" => kind, "outcome" => outcome).increment(1);
}

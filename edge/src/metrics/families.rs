//! What each metric means, and the labels that it has from the start.

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Who counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Every edge.
    Edge,
    /// The Redis engine of the broker.
    Redis,
    /// Whoever has a value of its labels, which are not known before.
    Event,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Bytes,
    Seconds,
}

/// A label and the values of it that are there from the start.
type Values = (&'static str, &'static [&'static str]);

struct Family {
    name: &'static str,
    kind: Kind,
    source: Source,
    labels: &'static [Values],
    help: &'static str,
}

/// Explains everything.
pub(super) fn describe() {
    for family in FAMILIES {
        match family.kind {
            Kind::Counter => describe_counter!(family.name, family.help),
            Kind::Gauge => describe_gauge!(family.name, family.help),
            Kind::Bytes => describe_gauge!(family.name, Unit::Bytes, family.help),
            Kind::Seconds => describe_histogram!(family.name, Unit::Seconds, family.help),
        }
    }
}

/// Lets everything of a source be there, as zero.
pub(super) fn begin(source: Source) {
    for family in FAMILIES.iter().filter(|family| family.source == source) {
        for labels in combinations(family.labels) {
            match family.kind {
                Kind::Counter => counter!(family.name, labels).increment(0),
                Kind::Gauge | Kind::Bytes => gauge!(family.name, labels).increment(0.0),
                // To be there is all that it takes.
                Kind::Seconds => drop(histogram!(family.name, labels)),
            }
        }
    }
}

/// Each value of each label with each value of the others.
fn combinations(labels: &[Values]) -> Vec<Vec<Label>> {
    let mut combinations = vec![Vec::new()];
    for &(name, values) in labels {
        let with_each = |labels: Vec<Label>| {
            values.iter().map(move |&value| {
                let mut labels = labels.clone();
                labels.push(Label::from_static_parts(name, value));
                labels
            })
        };
        combinations = combinations.into_iter().flat_map(with_each).collect();
    }
    combinations
}

const fn family(
    name: &'static str,
    kind: Kind,
    source: Source,
    labels: &'static [Values],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind,
        source,
        labels,
        help,
    }
}

const FAMILIES: &[Family] = &[
    family(
        "weir_build_info",
        Kind::Gauge,
        Source::Event,
        &[],
        "Always 1; the label says which version runs.",
    ),
    family(
        "weir_ready",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Whether this edge can append and tail right now: 1 or 0, as `/readyz` says.",
    ),
    family(
        "weir_draining",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Whether this edge is shutting down: 1 or 0.",
    ),
    family(
        "weir_connections",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Open connections, WebSockets included.",
    ),
    family(
        "weir_connections_max",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Connections that are allowed at the same time.",
    ),
    family(
        "weir_connections_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "Connections accepted since the start.",
    ),
    family(
        "weir_subscriptions",
        Kind::Gauge,
        Source::Edge,
        &[("transport", &["sse", "ndjson", "websocket", "socketio"])],
        "Streams followed by subscribers, by transport.",
    ),
    family(
        "weir_deliveries_total",
        Kind::Counter,
        Source::Edge,
        &[("transport", &["page", "sse", "ndjson", "websocket", "socketio"])],
        "Events handed to subscribers and readers, by transport.",
    ),
    family(
        "weir_publishes_total",
        Kind::Counter,
        Source::Edge,
        &[
            ("transport", &["http", "ndjson", "websocket", "socketio"]),
            (
                "outcome",
                &[
                    "ok",
                    "duplicate",
                    "not_durable",
                    "unavailable",
                    "unconfirmed",
                    "full",
                    "closing",
                ],
            ),
        ],
        "Events published through this edge, by transport and outcome.",
    ),
    family(
        "weir_verdicts_total",
        Kind::Counter,
        Source::Edge,
        &[("kind", &["gap", "reset", "unverified"])],
        "Verdicts told to readers and subscribers, by kind.",
    ),
    family(
        "weir_requests_total",
        Kind::Counter,
        Source::Event,
        &[],
        "HTTP requests answered, by route, method and status.",
    ),
    family(
        "weir_request_seconds",
        Kind::Seconds,
        Source::Event,
        &[],
        "Time from a request's head to the head of its answer, by route.",
    ),
    family(
        "weir_websockets",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Open WebSockets of `/v1/ws`.",
    ),
    family(
        "weir_websockets_opened_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "WebSockets opened.",
    ),
    family(
        "weir_websockets_closed_total",
        Kind::Counter,
        Source::Edge,
        &[("end", &["normal", "service_restart", "silent", "stuck", "lost"])],
        "WebSockets ended, by the name of their close code; `lost` had none.",
    ),
    family(
        "weir_engine_sessions",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Open Engine.IO sessions, over polling and WebSocket.",
    ),
    family(
        "weir_forwarded_total",
        Kind::Counter,
        Source::Edge,
        &[
            ("kind", &["request", "websocket"]),
            ("outcome", &["answered", "gone"]),
        ],
        "Requests taken to the edge that has their session, by kind (`request` or `websocket`) and outcome: `answered`, or `gone` if that edge is.",
    ),
    family(
        "weir_socketio_sockets",
        Kind::Gauge,
        Source::Event,
        &[],
        "Socket.IO clients in namespaces, by namespace as it is configured.",
    ),
    family(
        "weir_socketio_sessions_total",
        Kind::Counter,
        Source::Edge,
        &[("how", &["fresh", "recovered", "lost"])],
        "Socket.IO clients let in, by how: `fresh`, `recovered`, or `lost` for those whose session was gone.",
    ),
    family(
        "weir_socketio_events_total",
        Kind::Counter,
        Source::Edge,
        &[("to", &["route", "built_in", "refused"])],
        "Events of Socket.IO clients, by what they led to: `route`, `built_in`, or `refused`.",
    ),
    family(
        "weir_socketio_violations_total",
        Kind::Counter,
        Source::Event,
        &[],
        "Socket.IO connections that were closed because the client broke the protocol, by how.",
    ),
    family(
        "weir_rate_limited_total",
        Kind::Counter,
        Source::Edge,
        &[("kind", &["requests", "publishes"])],
        "Requests and publishes refused by the rate limits, by kind.",
    ),
    family(
        "weir_ready_seconds",
        Kind::Seconds,
        Source::Edge,
        &[],
        "Time the log took to answer a readiness check.",
    ),
    family(
        "weir_engine_sessions_opened_total",
        Kind::Counter,
        Source::Edge,
        &[("transport", &["polling", "websocket"])],
        "Engine.IO sessions opened, by the transport they began with.",
    ),
    family(
        "weir_engine_sessions_closed_total",
        Kind::Counter,
        Source::Edge,
        &[("end", &["client", "lost", "broken", "protocol", "draining"])],
        "Engine.IO sessions ended, by why: `client`, `lost`, `broken`, `protocol` or `draining`.",
    ),
    family(
        "weir_engine_upgrades_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "Engine.IO sessions that changed from polling to WebSocket.",
    ),
    family(
        "weir_tail_streams",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Streams this edge follows in the log.",
    ),
    family(
        "weir_degraded_streams",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Streams this edge follows and cannot see at present; their subscribers were told `degraded`.",
    ),
    family(
        "weir_redis_connections",
        Kind::Gauge,
        Source::Redis,
        &[("use", &["appends", "sessions", "tail", "ephemeral"])],
        "Connections to Redis that can be used, by what for. With none, that does not work.",
    ),
    family(
        "weir_redis_memory_used_bytes",
        Kind::Bytes,
        Source::Redis,
        &[],
        "Memory that Redis uses; of a cluster the fullest master.",
    ),
    family(
        "weir_redis_memory_max_bytes",
        Kind::Bytes,
        Source::Redis,
        &[],
        "Memory that Redis may use, of a cluster the fullest master; 0 is without bound.",
    ),
    family(
        "weir_history_bytes",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Bytes of older history held by readers who catch up.",
    ),
    family(
        "weir_ring_bytes",
        Kind::Gauge,
        Source::Edge,
        &[],
        "Bytes of recent history held in memory.",
    ),
    family(
        "weir_ring_hits_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "Reads of subscribers served from recent history in memory.",
    ),
    family(
        "weir_catch_up_reads_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "Pages read from the log for subscribers that were behind.",
    ),
    family(
        "weir_shared_page_reads_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "Pages that served several subscribers with one read.",
    ),
    family(
        "weir_fell_behind_total",
        Kind::Counter,
        Source::Edge,
        &[],
        "Subscribers that left live mode because they were slow.",
    ),
    family(
        "weir_tail_reconnects_total",
        Kind::Counter,
        Source::Redis,
        &[],
        "Times the tail lost its connection to Redis.",
    ),
    family(
        "weir_tail_rejoins_total",
        Kind::Counter,
        Source::Redis,
        &[],
        "Times a followed stream no longer joined what was delivered.",
    ),
    family(
        "weir_ephemerals_sent_total",
        Kind::Counter,
        Source::Redis,
        &[],
        "Ephemeral events handed to the connection to Redis.",
    ),
    family(
        "weir_ephemerals_dropped_total",
        Kind::Counter,
        Source::Redis,
        &[],
        "Ephemeral events that were not sent, for want of a connection or of room in its queue.",
    ),
    family(
        "weir_tail_lag_seconds",
        Kind::Seconds,
        Source::Redis,
        &[],
        "Age of an event when the tail hands it to subscribers, by the clocks of Redis and of this edge.",
    ),
    family(
        "weir_redis_latency_seconds",
        Kind::Seconds,
        Source::Redis,
        &[("op", &["append", "wait", "read", "tail", "record"])],
        "Time Redis took to answer, by operation.",
    ),
];

//! Everything that is counted, one function each. The names are the interface to dashboards: keep them.

use metrics::{counter, gauge};

/// A connection was accepted.
pub fn connection_opened() {
    counter!("weir_connections_total").increment(1);
    gauge!("weir_connections").increment(1.0);
}

/// A connection ended.
pub fn connection_closed() {
    gauge!("weir_connections").decrement(1.0);
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
    counter!("weir_deliveries_total", "transport" => transport).increment(events);
}

/// So many subscribers were told a verdict: `gap`, `reset` or `unverified`.
pub fn verdicts(kind: &'static str, count: u64) {
    counter!("weir_verdicts_total", "kind" => kind).increment(count);
}

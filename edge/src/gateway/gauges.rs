//! What a socket reports about itself while it lives.

use std::sync::Arc;

use broker::Delivery;

use super::session::Arrival;
use crate::metrics;

/// The name of this transport in metrics.
pub(super) const TRANSPORT: &str = "socketio";

/// Counts a socket and what it follows, however it ends, and what it delivers.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    subscriptions: usize,
    /// The namespaces in whose count the socket is.
    namespace: Option<Arc<str>>,
}

impl Gauges {
    /// The client has come into a namespace of this kind.
    pub(super) fn arrived(&mut self, namespace: &Arc<str>, arrival: Arrival) {
        metrics::socket_opened(namespace);
        match arrival {
            Arrival::Fresh => metrics::session_began("fresh"),
            Arrival::Recovered => metrics::session_began("recovered"),
            Arrival::Lost => metrics::session_began("lost"),
        }
        self.namespace = Some(Arc::clone(namespace));
    }

    /// So many streams are followed now.
    pub(super) fn subscriptions(&mut self, count: usize) {
        for _ in self.subscriptions..count {
            metrics::subscription_opened(TRANSPORT);
        }
        for _ in count..self.subscriptions {
            metrics::subscription_closed(TRANSPORT);
        }
        self.subscriptions = count;
    }

    /// These verdicts, and what else was there, were handed to the socket.
    pub(super) fn told(deliveries: &[Delivery]) {
        for delivery in deliveries {
            match delivery {
                Delivery::Gap { .. } => metrics::verdicts("gap", 1),
                Delivery::Reset { .. } => metrics::verdicts("reset", 1),
                Delivery::Unverified { .. } => metrics::verdicts("unverified", 1),
                _ => {}
            }
        }
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.subscriptions(0);
        if let Some(namespace) = &self.namespace {
            metrics::socket_closed(namespace);
        }
    }
}

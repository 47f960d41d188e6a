//! What a socket reports about itself while it lives.

use broker::Delivery;

use crate::metrics;

/// The name of this transport in metrics.
pub(crate) const TRANSPORT: &str = "websocket";

/// Counts a socket's subscriptions, however it ends, and what it delivers.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    subscriptions: usize,
}

impl Gauges {
    /// So many streams are followed now.
    pub(crate) fn subscriptions(&mut self, count: usize) {
        for _ in self.subscriptions..count {
            metrics::subscription_opened(TRANSPORT);
        }
        for _ in count..self.subscriptions {
            metrics::subscription_closed(TRANSPORT);
        }
        self.subscriptions = count;
    }

    /// This was handed to the socket.
    pub(crate) fn delivered(&self, deliveries: &[Delivery]) {
        let mut events = 0;
        for delivery in deliveries {
            match delivery {
                Delivery::Event(_) => events += 1,
                Delivery::Gap { .. } => metrics::verdicts("gap", 1),
                Delivery::Reset { .. } => metrics::verdicts("reset", 1),
                Delivery::Unverified { .. } => metrics::verdicts("unverified", 1),
                Delivery::Ephemeral(_)
                | Delivery::CaughtUp { .. }
                | Delivery::Passed { .. }
                | Delivery::Degraded { .. }
                | Delivery::Restored { .. }
                | Delivery::Ended { .. } => {}
            }
        }
        if events > 0 {
            metrics::delivered(TRANSPORT, events);
        }
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.subscriptions(0);
    }
}

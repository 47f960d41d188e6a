//! What a tail reports about itself while it lives.

use super::encoder::Tally;
use crate::metrics;

/// Counts a tail's subscriptions from its beginning to its end, however it ends, and what it delivers.
#[derive(Debug)]
pub(super) struct Gauges {
    transport: &'static str,
    streams: usize,
}

impl Gauges {
    /// A tail of so many streams begins.
    pub(super) fn new(transport: &'static str, streams: usize) -> Self {
        for _ in 0..streams {
            metrics::subscription_opened(transport);
        }
        Self { transport, streams }
    }

    /// The name of the transport in metrics.
    pub(super) fn transport(&self) -> &'static str {
        self.transport
    }

    /// That much has been encoded for the connection.
    pub(super) fn count(&self, tally: Tally) {
        if tally.events > 0 {
            metrics::delivered(self.transport, tally.events);
        }
        for (kind, count) in [
            ("gap", tally.gaps),
            ("reset", tally.resets),
            ("unverified", tally.unverified),
        ] {
            if count > 0 {
                metrics::verdicts(kind, count);
            }
        }
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        for _ in 0..self.streams {
            metrics::subscription_closed(self.transport);
        }
    }
}

//! What the configuration says about one socket.

use std::time::Duration;

use shared::limits::{SIO_PAGES_IN_FLIGHT_MAX, SIO_PUBLISH_BYTES_IN_FLIGHT_MAX, STREAMS_PER_CURSOR_MAX};

use crate::config::Config;

/// Bounds of one socket.
#[derive(Debug, Clone)]
pub(crate) struct SessionLimits {
    /// Bytes of a stream name.
    pub(crate) name_bytes_max: usize,
    /// Bytes of an event.
    pub(crate) event_bytes_max: usize,
    /// Streams that are followed at the same time. An offset covers no more.
    pub(crate) subscriptions_max: usize,
    /// Publishes that are not acknowledged.
    pub(crate) publishes_max: usize,
    /// Their bytes. One more event may be above it.
    pub(crate) publish_bytes_max: usize,
    /// Pages that are being read.
    pub(crate) pages_max: usize,
    /// How long a drain waits for answers of the log.
    pub(crate) drain_max: Duration,
    /// How long a lost session can be recovered.
    pub(crate) session_ttl: Duration,
}

impl SessionLimits {
    /// The bounds that are set.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            name_bytes_max: config.limits.name_bytes_max,
            event_bytes_max: config.limits.event_bytes_max,
            subscriptions_max: config.limits.subscriptions_max.min(STREAMS_PER_CURSOR_MAX),
            publishes_max: config.socketio.publishes_in_flight_max.max(1),
            publish_bytes_max: SIO_PUBLISH_BYTES_IN_FLIGHT_MAX,
            pages_max: SIO_PAGES_IN_FLIGHT_MAX,
            drain_max: config.drain.deadline / 2,
            session_ttl: config.socketio.session_ttl,
        }
    }

    /// How long a record lives that nobody touches. It is touched four times in that time, so that an edge that is
    /// killed leaves it more than [`Self::session_ttl`].
    pub(crate) fn record_ttl(&self) -> Duration {
        self.session_ttl * 2
    }

    /// Time between two touches, at the most.
    pub(crate) fn touch_interval(&self) -> Duration {
        self.session_ttl / 2
    }

    /// How soon a touch or a save that failed is tried again.
    pub(crate) fn retry_interval(&self) -> Duration {
        (self.session_ttl / 16).clamp(Duration::from_millis(100), Duration::from_secs(5))
    }
}

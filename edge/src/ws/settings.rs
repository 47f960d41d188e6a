//! What the configuration says about one socket.

use std::time::Duration;

use shared::limits::{WS_PAGES_IN_FLIGHT_MAX, WS_PUBLISH_BYTES_IN_FLIGHT_MAX, WS_REFUSED_FRAMES_MAX};

use crate::config::Config;

/// Bounds of one session.
#[derive(Debug, Clone)]
pub(crate) struct SessionLimits {
    /// Bytes of a stream name.
    pub(crate) name_bytes_max: usize,
    /// Streams that are followed at the same time.
    pub(crate) subscriptions_max: usize,
    /// Publishes that are not acknowledged.
    pub(crate) publishes_max: usize,
    /// Their bytes. One more event may be above it.
    pub(crate) publish_bytes_max: usize,
    /// Pages that are being read.
    pub(crate) pages_max: usize,
    /// Frames in a row that cannot be understood.
    pub(crate) refused_max: u32,
    /// How long a drain waits for answers of the log.
    pub(crate) drain_max: Duration,
}

impl SessionLimits {
    /// The bounds that are set.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            name_bytes_max: config.limits.name_bytes_max,
            subscriptions_max: config.limits.subscriptions_max,
            publishes_max: config.ws.publishes_in_flight_max.max(1),
            publish_bytes_max: WS_PUBLISH_BYTES_IN_FLIGHT_MAX,
            pages_max: WS_PAGES_IN_FLIGHT_MAX,
            refused_max: WS_REFUSED_FRAMES_MAX,
            drain_max: config.drain.deadline / 2,
        }
    }
}

/// How patient to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Time between two pings.
    pub(crate) ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub(crate) pong_timeout: Duration,
    /// How long a write may make no progress.
    pub(crate) write_timeout: Duration,
}

impl Patience {
    /// The patience that is set.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            ping_interval: config.ws.ping_interval,
            pong_timeout: config.ws.pong_timeout,
            write_timeout: config.ws.write_timeout,
        }
    }
}

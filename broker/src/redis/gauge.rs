//! Counts the connections that can be used.

/// A connection that can be used, for as long as this lives.
pub(super) struct Usable(metrics::Gauge);

impl Usable {
    /// `purpose` is what the connection is for, as the metrics name it.
    pub(super) fn count(purpose: &'static str) -> Self {
        let gauge = metrics::gauge!("weir_redis_connections", "use" => purpose);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Usable {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

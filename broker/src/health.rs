//! Which parts of a log work, for operators.

/// A part of the log that an edge needs. See [`crate::Log::parts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is for, as the metrics name it: `appends`, `tail`, `sessions` or `ephemeral`.
    pub name: &'static str,
    /// At which node of a Redis Cluster, as `host:port`.
    pub node: Option<String>,
    /// Why it does not work; `None` if it does, as far as is known.
    pub away: Option<Away>,
}

/// Why something does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// What happened. No addresses, and nothing that a server has said.
    pub why: &'static str,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

//! How much of which stream is kept.

use std::time::Duration;

use shared::limits::{RETENTION_AGE_MAX, RETENTION_ENTRIES_MAX, RETENTION_IDLE_MAX};
use shared::{StreamName, StreamPattern};

/// What is kept of one stream. `None` is without bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Entries, approximately: whole nodes of the stream are dropped, so somewhat more may remain.
    pub entries_max: Option<u64>,
    /// Age of an entry.
    pub age_max: Option<Duration>,
    /// Time without an append after which the stream expires as a whole.
    pub idle_max: Option<Duration>,
}

impl Default for Retention {
    /// 100,000 entries, 7 days, and 14 days idle: bounded, so that nobody fills a server unnoticed.
    fn default() -> Self {
        Self {
            entries_max: Some(RETENTION_ENTRIES_MAX),
            age_max: Some(RETENTION_AGE_MAX),
            idle_max: Some(RETENTION_IDLE_MAX),
        }
    }
}

/// A retention for the streams that a pattern covers.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// Which streams.
    pub pattern: StreamPattern,
    /// What is kept of them.
    pub retention: Retention,
}

/// The rules of a log: the first whose pattern covers the stream counts, else the default.
#[derive(Debug, Clone, Default)]
pub struct RetentionRules {
    /// In the order in which they are tried.
    pub rules: Vec<RetentionRule>,
    /// For streams that no rule covers.
    pub default: Retention,
}

impl RetentionRules {
    /// What is kept of `stream`.
    pub fn of(&self, stream: &StreamName) -> &Retention {
        self.rules
            .iter()
            .find(|rule| rule.pattern.matches(stream))
            .map_or(&self.default, |r| &r.retention)
    }
}

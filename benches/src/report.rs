//! Events that were handled, and what that cost.

use std::time::Duration;

use crate::results::{Judgment, Outcome, Unit};

/// One measured way of doing a scenario.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Events handled.
    pub events: u64,
    /// In this time.
    pub took: Duration,
    /// CPU time of Redis over the same time.
    pub redis_cpu: Duration,
    /// CPU time of the edge, where there is one.
    pub edge_cpu: Duration,
    /// Against what, and how.
    pub judgment: Option<Judgment>,
}

impl Row {
    /// Events per second.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// Microseconds of Redis CPU per event.
    pub fn redis_us(&self) -> f64 {
        self.redis_cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    /// Microseconds of the edge's CPU per event.
    pub fn edge_us(&self) -> f64 {
        self.edge_cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    /// As what a scenario found.
    pub fn outcome(self, scenario: &str) -> Outcome {
        let outcome = Outcome::new(scenario, "Weir", env!("CARGO_PKG_VERSION"), self.what.clone())
            .value("events", self.events as f64, Unit::Count)
            .plot("events per second", self.rate(), Unit::PerSecond)
            .value("Redis CPU per event", self.redis_us(), Unit::Microseconds)
            .value("edge CPU per event", self.edge_us(), Unit::Microseconds);
        match self.judgment {
            Some(judgment) => outcome.judge(judgment),
            None => outcome,
        }
    }
}

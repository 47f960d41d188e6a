//! A measurement as a line of a table.

use std::time::Duration;

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
    /// Against what, and how: `0.62 of redis-benchmark (target 0.5)`.
    pub ratio: String,
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

    /// A Markdown table.
    pub fn table(rows: &[Self]) -> String {
        let mut out = String::from(
            "| what | events | events/s | Redis CPU µs/event | edge CPU µs/event | ratio |\n|---|--:|--:|--:|--:|---|\n",
        );
        for row in rows {
            out += &format!(
                "| {} | {} | {:.0} | {:.2} | {:.2} | {} |\n",
                row.what,
                row.events,
                row.rate(),
                row.redis_us(),
                row.edge_us(),
                row.ratio
            );
        }
        out
    }
}

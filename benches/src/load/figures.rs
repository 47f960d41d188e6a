//! What came of a phase of load.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::accounts::Accounts;
use crate::results::{Outcome, Unit};

/// Below this part of what was due, a server does not keep up.
const KEPT_UP: f64 = 0.95;
/// Nor if its 99th percentile is beyond this.
const KEPT_UP_P99_US: u64 = 1_000_000;

/// What came of a phase of load.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What was to be published.
    pub events_per_second: f64,
    /// Deliveries that this made, in the measured time.
    pub due: u64,
    /// Those that came, at the latest two seconds after the end.
    pub delivered: u64,
    /// From when the event was to be sent until it had come, in microseconds; of connections that are never slow.
    pub latency: Histogram<u64>,
    /// Of the others.
    pub latency_slow: Histogram<u64>,
    /// From when an event was to be sent until it was, in microseconds: what the generator itself has been late.
    pub lateness: Histogram<u64>,
    /// Deliveries that came while `used` was used.
    pub arrived: u64,
    /// For so long.
    pub took: Duration,
    /// What the processes have used.
    pub used: Accounts,
    /// Events that a connection passed over, in all phases until now.
    pub missing: u64,
    /// Events that came again, or after a later one, in all phases until now.
    pub doubled: u64,
    /// Publishes that were refused, in all phases until now.
    pub refused: u64,
    /// Connections that ended, in all phases until now.
    pub broken: u64,
}

/// What is known once nothing comes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Deliveries that have not come.
    pub outstanding: u64,
    /// Events that a connection passed over.
    pub missing: u64,
    /// Events that came again, or after a later one.
    pub doubled: u64,
}

impl Settled {
    /// Whether everybody has got everything, once and in order.
    pub fn is_whole(&self) -> bool {
        (self.outstanding, self.missing, self.doubled) == (0, 0, 0)
    }

    /// Adds what is not as it should be.
    #[must_use]
    pub fn show(&self, mut outcome: Outcome) -> Outcome {
        for (number, what) in [
            (self.outstanding, "deliveries never came"),
            (self.missing, "events are missing between others"),
            (self.doubled, "events came twice or in the wrong order"),
        ] {
            if number > 0 {
                outcome = outcome.note(format!("in the end {number} {what}"));
            }
        }
        outcome
    }
}

impl Figures {
    /// Whether the server has kept up with what was published.
    pub fn kept_up(&self) -> bool {
        let enough = self.delivered as f64 >= KEPT_UP * self.due as f64;
        enough && self.broken == 0 && self.refused == 0 && self.quantile_us(0.99) <= KEPT_UP_P99_US as f64
    }

    /// Latency, in microseconds.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        match self.latency.is_empty() {
            true => f64::NAN,
            false => self.latency.value_at_quantile(quantile) as f64,
        }
    }

    /// Processor time of the servers for each delivery, in microseconds.
    pub fn edge_us(&self) -> f64 {
        self.used.edges.cpu_us_per(self.arrived)
    }

    /// Deliveries in a second.
    pub fn deliveries_per_second(&self) -> f64 {
        self.arrived as f64 / self.took.as_secs_f64()
    }

    /// Adds the numbers that every scenario of deliveries shows.
    #[must_use]
    pub fn show(&self, outcome: Outcome) -> Outcome {
        let ms = |us: f64| us / 1_000.0;
        let mut outcome = outcome
            .plot(
                "deliveries per second",
                self.deliveries_per_second(),
                Unit::PerSecond,
            )
            .value(
                "delivered of what was due",
                self.delivered as f64 / self.due as f64,
                Unit::Ratio,
            )
            .plot("edge CPU per delivery", self.edge_us(), Unit::Microseconds)
            .cpu("Redis CPU per delivery", &self.used.redis, self.arrived)
            .cpu("generator CPU per delivery", &self.used.generator, self.arrived)
            .value("p50", ms(self.quantile_us(0.5)), Unit::Milliseconds)
            .plot("p99", ms(self.quantile_us(0.99)), Unit::Milliseconds)
            .value("p99.9", ms(self.quantile_us(0.999)), Unit::Milliseconds)
            .value("max", ms(self.quantile_us(1.0)), Unit::Milliseconds)
            .value(
                "publisher late, p99",
                ms(self.lateness.value_at_quantile(0.99) as f64),
                Unit::Milliseconds,
            )
            .value("resident", self.used.edges.resident as f64, Unit::Mebibytes);
        for (number, what) in [
            (self.refused, "publishes were refused"),
            (self.broken, "connections ended"),
        ] {
            if number > 0 {
                outcome = outcome.note(format!("{number} {what}"));
            }
        }
        outcome
    }
}

//! Slow readers: of 1,000 sockets 100 read at a hundredth of the rate. What the others notice of it, what it costs in
//! memory, and whether the slow ones have everything in the end.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::delivery::Setup;
use crate::Size;
use crate::load::{Figures, Load, Phase, Protocol, Settled, Target};
use crate::peers::Pings;
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::{Cluster, Server, Settings};

/// Bytes of an event on the wire, roughly: a slow reader takes a hundredth of what comes.
const EVENT_BYTES: f64 = 330.0;
const SLOW_PART: f64 = 0.01;
/// No slow reader is to lose its connection because it answers a ping late: that is what some servers' time-outs are for,
/// and not what is measured.
const PINGS: Pings = Pings {
    interval: Duration::from_secs(25),
    timeout: Duration::from_secs(300),
};

struct Run {
    server: Server,
    without: Figures,
    with: Figures,
    /// The most that the servers held while some read slowly.
    peak: u64,
    settled: Settled,
    caught_up: Duration,
}

/// Measures every server.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, rate, pace) = match size {
        Size::Smoke => (
            50,
            200.0,
            (Duration::from_millis(200), Duration::from_millis(500)),
        ),
        Size::Full => (1_000, 50.0, (Duration::from_secs(2), Duration::from_secs(25))),
    };
    let phase = Phase {
        events_per_second: rate,
        warm_up: pace.0,
        measured: pace.1,
    };
    let mut runs = Vec::new();
    for server in Server::ALL {
        // The bare server waits for every socket, so a slow one stops it: it is no limit here.
        if server.needs_redis() {
            runs.push(
                run(server, sockets, &phase)
                    .await
                    .with_context(|| server.name())?,
            );
        }
    }
    runs.into_iter().map(Run::outcome).collect()
}

async fn run(server: Server, sockets: usize, phase: &Phase) -> anyhow::Result<Run> {
    let settings = Settings {
        edges: 2,
        pings: PINGS,
        weir: String::new(),
    };
    let cluster = Cluster::start(server, &settings).await?;
    let setup = Setup {
        edges: settings.edges,
        protocol: Protocol::SocketIo,
        sockets,
        streams: 1,
        publishers: 1,
    };
    let target = Target {
        slow: sockets / 10,
        ..setup.target(&cluster)
    };
    let mut load = Load::open(target).await?;
    let without = load.run(phase, || cluster.accounts()).await?;
    cluster.forget_peaks()?;
    let bytes = EVENT_BYTES * phase.events_per_second * SLOW_PART;
    load.slow_down(Some(bytes as u64))?;
    let with = load.run(phase, || cluster.accounts()).await?;
    let peak = cluster.accounts()?.edges.resident_peak;
    load.slow_down(None)?;
    let began = Instant::now();
    let settled = load.settle().await?;
    let caught_up = began.elapsed();
    ensure!(
        server != Server::Weir || (settled.is_whole() && with.broken == 0),
        "the slow readers have lost something: {settled:?}; {}",
        load.broken().unwrap_or_default()
    );
    Ok(Run {
        server,
        without,
        with,
        peak,
        settled,
        caught_up,
    })
}

impl Run {
    fn outcome(self) -> anyhow::Result<Outcome> {
        let variant = format!("{} events/s, a tenth reads slowly", self.with.events_per_second);
        let outcome = Outcome::new(
            "slow-readers",
            self.server.name(),
            self.server.version()?,
            variant,
        );
        let ms = |figures: &Figures, quantile| figures.quantile_us(quantile) / 1e3;
        let (before, after) = (self.without.used.edges.resident, self.peak);
        let mut outcome = outcome
            .value(
                "p99 of the others, nobody slow",
                ms(&self.without, 0.99),
                Unit::Milliseconds,
            )
            .plot("p99 of the others", ms(&self.with, 0.99), Unit::Milliseconds)
            .value(
                "p99.9 of the others, nobody slow",
                ms(&self.without, 0.999),
                Unit::Milliseconds,
            )
            .value("p99.9 of the others", ms(&self.with, 0.999), Unit::Milliseconds)
            .value(
                "edge CPU per delivery, nobody slow",
                self.without.edge_us(),
                Unit::Microseconds,
            )
            .value("edge CPU per delivery", self.with.edge_us(), Unit::Microseconds)
            .value(
                "deliveries per second",
                self.with.deliveries_per_second(),
                Unit::PerSecond,
            )
            .value("resident, nobody slow", before as f64, Unit::Mebibytes)
            .value("resident, at the most", after as f64, Unit::Mebibytes)
            .value(
                "until the slow ones had everything",
                self.caught_up.as_secs_f64(),
                Unit::Seconds,
            );
        if self.with.broken > 0 {
            outcome = outcome.note(format!("{} connections ended", self.with.broken));
        }
        if self.server == Server::Weir {
            let ratio = self.with.quantile_us(0.99) / self.without.quantile_us(0.99);
            let growth = after as f64 / before as f64;
            outcome = outcome
                .judge(Judgment::at_most(
                    "p99 of the others beside that with nobody slow",
                    ratio,
                    1.5,
                ))
                .judge(Judgment::at_most(
                    "resident memory beside that with nobody slow",
                    growth,
                    2.0,
                ))
                .judge(Judgment::at_most(
                    "deliveries lost",
                    self.settled.outstanding as f64,
                    0.0,
                ));
        }
        Ok(self.settled.show(outcome))
    }
}

//! What scenarios of deliveries share: a cluster, connections that follow streams on it, and load that rises step by step.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::median;
use crate::load::{Figures, Load, Phase, Protocol, Settled, Target};
use crate::results::{Judgment, Outcome};
use crate::servers::{Cluster, Server, Settings};

/// Who follows what, and how it is published.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) edges: usize,
    pub(super) protocol: Protocol,
    pub(super) sockets: usize,
    pub(super) streams: usize,
    pub(super) publishers: usize,
}

/// How long a rate is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

/// What one server has done at each rate, until it did not keep up.
pub(super) struct Sweep {
    pub(super) server: Server,
    version: String,
    pub(super) steps: Vec<Figures>,
    /// What there was once nothing came any more.
    pub(super) settled: Settled,
}

impl Setup {
    /// What the generator connects to.
    pub(super) fn target(&self, cluster: &Cluster) -> Target {
        Target {
            servers: cluster.addresses(),
            protocol: self.protocol,
            sockets: self.sockets,
            streams: (0..self.streams).map(|n| format!("bench:{n}")).collect(),
            publishers: self.publishers,
            readers: 1,
            slow: 0,
        }
    }

    /// The servers in front of their Redis. The limit has no Redis that could join several.
    pub(super) async fn cluster(&self, server: Server, weir: &str) -> anyhow::Result<Cluster> {
        let settings = Settings {
            edges: if server.needs_redis() { self.edges } else { 1 },
            weir: weir.to_owned(),
            ..Settings::default()
        };
        Cluster::start(server, &settings).await
    }
}

/// Starts the server and raises the rate until it does not keep up. Whatever was overloaded then has to come, or is
/// told by [`Figures`]; of Weir it is an error if anything is missing in the end.
pub(super) async fn sweep(server: Server, setup: &Setup, rates: &[f64], pace: Pace) -> anyhow::Result<Sweep> {
    let measure = async {
        let cluster = setup.cluster(server, "").await?;
        let mut load = Load::open(setup.target(&cluster)).await?;
        let mut steps = Vec::new();
        for rate in rates {
            let phase = Phase {
                events_per_second: *rate,
                warm_up: pace.warm_up,
                measured: pace.measured,
            };
            let figures = load.run(&phase, || cluster.accounts()).await?;
            eprintln!(
                "{}, {rate} events/s: {:.0} deliveries/s, {:.2} µs each, p99 {:.1} ms",
                server.name(),
                figures.deliveries_per_second(),
                figures.edge_us(),
                figures.quantile_us(0.99) / 1e3
            );
            let kept_up = figures.kept_up();
            steps.push(figures);
            if !kept_up {
                break;
            }
        }
        let settled = load.settle().await?;
        ensure!(
            server != Server::Weir || settled.is_whole(),
            "not everything came to everybody, once and in order: {settled:?}; {}",
            load.broken().unwrap_or_default()
        );
        anyhow::Ok(Sweep {
            server,
            version: server.version()?,
            steps,
            settled,
        })
    };
    measure.await.with_context(|| server.name())
}

/// Rounds in which servers that are compared follow each other at one rate. What lies minutes apart differs by the machine's speed more
/// than by the servers.
pub(super) struct Rounds(Vec<Vec<Sweep>>);

impl Rounds {
    pub(super) async fn measure(
        count: usize,
        servers: &[Server],
        setup: &Setup,
        rate: f64,
        pace: Pace,
    ) -> anyhow::Result<Self> {
        let mut rounds = Vec::new();
        for _ in 0..count {
            let mut round = Vec::new();
            for server in servers {
                round.push(sweep(*server, setup, &[rate], pace).await?);
            }
            rounds.push(round);
        }
        Ok(Self(rounds))
    }

    /// The figure of the round in which it is the median.
    pub(super) fn middle(&self, of_round: impl Fn(&[Sweep]) -> f64) -> f64 {
        let all = self.0.iter().map(|round| of_round(round)).collect();
        median(all, |figure| *figure).unwrap_or(f64::NAN)
    }
}

impl Sweep {
    /// The step of a rate, if the server got there and kept up.
    pub(super) fn at(&self, rate: f64) -> Option<&Figures> {
        self.steps
            .iter()
            .find(|figures| figures.events_per_second == rate && figures.kept_up())
    }

    /// The highest rate at which it kept up.
    pub(super) fn highest(&self) -> Option<&Figures> {
        self.steps.iter().rfind(|figures| figures.kept_up())
    }

    /// The outcomes of its steps.
    pub(super) fn outcomes(&self, scenario: &str) -> Vec<Outcome> {
        let steps = self.steps.iter().map(|figures| {
            let rate = figures.events_per_second;
            let outcome = Outcome::new(
                scenario,
                self.server.name(),
                &self.version,
                format!("{rate} events/s"),
            );
            let outcome = figures.show(outcome.at("events published per second", rate));
            match figures.kept_up() {
                true => outcome,
                false => outcome.note("does not keep up"),
            }
        });
        let mut outcomes: Vec<Outcome> = steps.collect();
        if let Some(last) = outcomes.pop() {
            outcomes.push(self.settled.show(last));
        }
        outcomes
    }
}

/// The sweep of a server, if it was measured.
pub(super) fn of(sweeps: &[Sweep], server: Server) -> Option<&Sweep> {
    sweeps.iter().find(|sweep| sweep.server == server)
}

/// Adds targets to the outcome of Weir at a rate.
pub(super) fn mark(outcomes: &mut [Outcome], rate: f64, judgments: Vec<Judgment>) {
    let weir = outcomes.iter_mut().find(|outcome| {
        outcome.server == Server::Weir.name() && outcome.at.as_ref().is_some_and(|at| at.value == rate)
    });
    if let Some(outcome) = weir {
        outcome.judgments.extend(judgments);
    }
}

/// One number over another of the same kind; not a number if either is absent.
pub(super) fn ratio(one: Option<f64>, other: Option<f64>) -> f64 {
    one.zip(other).map_or(f64::NAN, |(one, other)| one / other)
}

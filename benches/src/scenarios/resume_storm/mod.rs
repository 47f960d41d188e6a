//! Clients that have been cut off come back all at once, and have missed events. How long until the last of them has
//! everything, what is missing or doubled then, and what that costs.

mod seen;
mod storm;

use std::time::Duration;

use anyhow::{Context, ensure};

use super::follower::Dialect;
use crate::Size;
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::Server;
use seen::Counts;
use storm::Storm;

struct Variant {
    server: Server,
    dialect: Dialect,
    clients: usize,
    /// Events that each of them misses.
    events: usize,
    /// Whether all follow the same stream.
    shared: bool,
    /// Whether the edge that serves them is killed. Otherwise their connections end, and they come back to the other
    /// edge than the one they were on.
    kills: bool,
    /// Nothing has come to anybody for so long: nothing more will. With Weir that means failure.
    silence: Duration,
}

const STORM: Variant = Variant {
    server: Server::Weir,
    dialect: Dialect::SocketIo,
    clients: 1_000,
    events: 1_000,
    shared: true,
    kills: false,
    silence: Duration::from_secs(60),
};

/// The same with Socket.IO on Node.js, of which some clients wait in vain.
const NODE: Variant = Variant {
    server: Server::NodeStreams,
    silence: Duration::from_secs(15),
    ..STORM
};

/// Streams of their own are for Weir alone: the peer has one log for all rooms, which it searches as a whole for each
/// client.
const VARIANTS: [Variant; 7] = [
    NODE,
    STORM,
    Variant {
        dialect: Dialect::WebSocket,
        ..STORM
    },
    Variant {
        shared: false,
        ..STORM
    },
    Variant {
        clients: 5_000,
        ..STORM
    },
    Variant { kills: true, ..NODE },
    Variant { kills: true, ..STORM },
];

/// In a smoke run nobody minds if a peer is given up early.
const SMOKE_SILENCE: Duration = Duration::from_secs(2);

/// Measures every variant.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut node = None;
    for variant in VARIANTS {
        let variant = match size {
            Size::Full => variant,
            Size::Smoke => Variant {
                clients: variant.clients / 50,
                events: 40,
                silence: match variant.server {
                    Server::Weir => variant.silence,
                    _ => SMOKE_SILENCE,
                },
                ..variant
            },
        };
        let storm = storm::run(&variant);
        let storm = storm.await.with_context(|| variant.text())?;
        let Counts { missing, doubled, .. } = storm.counts;
        let whole = missing == 0 && doubled == 0;
        ensure!(
            whole || variant.server != Server::Weir,
            "{}: {missing} events are missing, {doubled} doubled",
            variant.text()
        );
        if variant.server != Server::Weir && !variant.kills {
            node = Some(storm.last_after.as_secs_f64());
        }
        let outcome = outcome(&variant, &storm)?;
        outcomes.push(judged(outcome, &variant, &storm, node));
    }
    Ok(outcomes)
}

fn outcome(variant: &Variant, storm: &Storm) -> anyhow::Result<Outcome> {
    let clients = variant.clients as u64;
    let (due, counts, used) = (clients * variant.events as u64, storm.counts, &storm.used);
    let version = variant.server.version()?;
    let count = |outcome: Outcome, name: &str, count: u64| outcome.value(name, count as f64, Unit::Count);
    let mut outcome = Outcome::new("resume-storm", variant.server.name(), version, variant.text())
        .plot(
            "until the last has everything",
            storm.last_after.as_secs_f64(),
            Unit::Seconds,
        )
        .value(
            "until half have everything",
            storm.half_after.as_secs_f64(),
            Unit::Seconds,
        );
    outcome = count(outcome, "events due", due);
    outcome = count(outcome, "missing", counts.missing);
    outcome = count(outcome, "missing and told", counts.told_gone);
    outcome = count(outcome, "doubled", counts.doubled);
    outcome = count(outcome, "sessions not recovered", counts.unrecovered);
    let per_client = |count: u64| count as f64 / clients as f64;
    let outcome = outcome
        .value(
            "reads of the log per client",
            per_client(storm.commands.reads()),
            Unit::Ratio,
        )
        .value(
            "Redis commands per client",
            per_client(storm.commands.all()),
            Unit::Ratio,
        )
        .cpu("edge CPU per event", &used.edges, due)
        .value(
            "Redis CPU",
            used.redis.cpu.as_secs_f64() * 1e3,
            Unit::Milliseconds,
        )
        .cpu("generator CPU per event", &used.generator, due)
        .value(
            "peak memory of the edges",
            used.edges.resident_peak as f64,
            Unit::Mebibytes,
        )
        .note(format!("Redis carried out {}", storm.commands.text()));
    Ok(outcome)
}

/// Holds what came out for Weir against the targets; `node`: how long the peer took.
fn judged(outcome: Outcome, variant: &Variant, storm: &Storm, node: Option<f64>) -> Outcome {
    if variant.server != Server::Weir {
        return outcome;
    }
    let mut outcome = outcome
        .judge(Judgment::at_most("missing", storm.counts.missing as f64, 0.0))
        .judge(Judgment::at_most("doubled", storm.counts.doubled as f64, 0.0));
    if variant.shared {
        let reads = storm.commands.reads() as f64 / variant.clients as f64;
        outcome = outcome.judge(Judgment::below("reads of the log per client", reads, 0.1));
    }
    let comparable = variant.shared && !variant.kills && variant.clients == STORM.clients;
    if let Some(node) = node.filter(|_| comparable) {
        let times = node / storm.last_after.as_secs_f64();
        outcome = outcome.judge(Judgment::at_least("times faster than Node.js", times, 10.0));
    }
    outcome
}

impl Variant {
    fn stream(&self, client: usize) -> String {
        match self.shared {
            true => "bench:storm".to_owned(),
            false => format!("bench:storm:{client}"),
        }
    }

    fn streams(&self) -> usize {
        if self.shared { 1 } else { self.clients }
    }

    fn text(&self) -> String {
        let dialect = match self.dialect {
            Dialect::SocketIo => "Socket.IO",
            Dialect::WebSocket => "WebSocket /v1/ws",
            Dialect::Sse => "server-sent events",
        };
        let streams = if self.shared {
            "one stream"
        } else {
            "a stream each"
        };
        let how = if self.kills { "edge killed" } else { "cut off" };
        format!(
            "{dialect}, {} clients, {} events missed, {streams}, {how}",
            self.clients, self.events
        )
    }
}

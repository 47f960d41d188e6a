//! Redis goes away under thousands of subscribers and comes back: how long until the first and the last of them is live
//! again, what that costs Redis, and what publishers were told.
//!
//! Each subscriber follows two streams over one connection: one that all follow, and one that it shares with a fiftieth of
//! them. So both are there: many rings with few subscribers, and one with all. A third of them each uses `/v1/ws`,
//! Socket.IO over WebSocket, and server-sent events. The moment Redis answers again, one more event is added to every
//! stream: who has received that one, and in order, has everything before it, and is live.

mod outage;
mod publishers;
mod sequences;
mod subscribers;

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::Size;
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::Server;
use outage::Outage;
use subscribers::Received;

/// How long it may take until the last subscriber is live again, if its connection has stayed: an edge looks for Redis every
/// 2 s at the least.
const LIVE_MAX_S: f64 = 3.0;
/// And if it must come back first: it tries every 5 s at the least, and edges have to start.
const BACK_MAX_S: f64 = 10.0;
/// Pages of the log that are read for each subscriber: those who wait for the same events share them.
const READS_MAX: f64 = 0.1;

const LAST_LIVE: &str = "until the last is live";
const READS: &str = "pages read for each subscriber";

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Redis is killed (SIGKILL) and started again with its data. Edges and connections stay.
    Killed,
    /// Redis is stopped in its tracks (SIGSTOP) and goes on (SIGCONT).
    Paused,
    /// Redis is killed, and so are the edges; they are started again when it is back.
    AllKilled,
}

/// How much of everything there is.
#[derive(Debug)]
struct Scale {
    subscribers: usize,
    /// Streams beside the one that all follow.
    streams: usize,
    /// Events a second in each stream.
    rate: f64,
    /// Before it goes wrong.
    steady: Duration,
    away: Duration,
    /// When all is well again.
    after: Duration,
}

/// Measures every fault.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let scale = match size {
        Size::Smoke => Scale {
            subscribers: 50,
            streams: 5,
            rate: 5.0,
            steady: Duration::from_millis(500),
            away: Duration::from_secs(1),
            after: Duration::from_millis(500),
        },
        Size::Full => Scale {
            subscribers: 5_000,
            streams: 50,
            rate: 2.0,
            steady: Duration::from_secs(5),
            away: Duration::from_secs(5),
            after: Duration::from_secs(3),
        },
    };
    crate::scenarios::sockets::allow(scale.subscribers)?;
    let mut outcomes = Vec::new();
    for fault in [Fault::Killed, Fault::Paused, Fault::AllKilled] {
        let outage = outage::run(fault, &scale).await;
        let outage = outage.with_context(|| fault.text())?;
        let Received {
            missing,
            doubled,
            unrecovered,
            ..
        } = outage.received;
        ensure!(
            missing + doubled + unrecovered == 0,
            "{}: {missing} events are missing, {doubled} doubled, {unrecovered} sessions were not recovered",
            fault.text()
        );
        let outcome = outcome(fault, &scale, &outage)?;
        outcomes.push(judged(outcome, fault, &outage));
    }
    Ok(outcomes)
}

fn outcome(fault: Fault, scale: &Scale, outage: &Outage) -> anyhow::Result<Outcome> {
    let (received, told, used) = (&outage.received, &outage.told, &outage.used);
    let live = |quantile: f64| {
        let last = received.marked.len().saturating_sub(1) as f64;
        let marked = received.marked.get((quantile * last).round() as usize);
        marked.map_or(f64::NAN, |at| at.duration_since(outage.back).as_secs_f64())
    };
    let again = told
        .again
        .map_or(f64::NAN, |at| at.duration_since(outage.back).as_secs_f64());
    let variant = format!(
        "{} subscribers, {}",
        Unit::Count.show(scale.subscribers as f64),
        fault.text()
    );
    let reads = outage.commands.pages() as f64 / scale.subscribers as f64;
    let mut outcome = Outcome::new("recovery", Server::Weir.name(), Server::Weir.version()?, variant)
        .plot(LAST_LIVE, live(1.0), Unit::Seconds)
        .value("until the first is live", live(0.0), Unit::Seconds)
        .value("until half are live", live(0.5), Unit::Seconds)
        .value("until 99 of 100 are live", live(0.99), Unit::Seconds)
        .value("until all publish again", again, Unit::Seconds)
        .value("Redis CPU until then", ms(used.redis.cpu), Unit::Milliseconds)
        .value("edge CPU until then", ms(used.edges.cpu), Unit::Milliseconds)
        .value(
            "generator CPU until then",
            ms(used.generator.cpu),
            Unit::Milliseconds,
        )
        .value(
            "peak memory of the edges",
            used.edges.resident_peak as f64,
            Unit::Mebibytes,
        )
        .value(
            "Redis commands until then",
            outage.commands.all() as f64,
            Unit::Count,
        )
        .value("Redis commands before", outage.commands_before, Unit::PerSecond)
        .value(READS, reads, Unit::Ratio)
        .value(
            "slowest answer to a publisher",
            told.slowest.as_secs_f64(),
            Unit::Seconds,
        );
    for (name, count) in [
        ("missing", received.missing),
        ("doubled", received.doubled),
        ("sessions not recovered", received.unrecovered),
        ("connections lost or refused", outage.ended as u64),
        ("connections of Redis at the most", outage.clients_peak),
        ("events acknowledged", told.acknowledged),
        ("tries refused", told.refused),
        ("tries unconfirmed", told.unconfirmed),
        ("tries without an answer", told.unanswered),
    ] {
        outcome = outcome.value(name, count as f64, Unit::Count);
    }
    Ok(outcome.note(format!(
        "until the last is live, Redis carries out {}",
        outage.commands.text()
    )))
}

/// Holds what came out against the targets.
fn judged(outcome: Outcome, fault: Fault, outage: &Outage) -> Outcome {
    let of = |name: &str| outcome.get(name).unwrap_or(f64::NAN);
    let longest = if fault.kills_edges() {
        BACK_MAX_S
    } else {
        LIVE_MAX_S
    };
    let mut judgments = vec![
        Judgment::at_most("missing", outage.received.missing as f64, 0.0),
        Judgment::at_most("doubled", outage.received.doubled as f64, 0.0),
        Judgment::below(READS, of(READS), READS_MAX),
        Judgment::at_most(format!("seconds {LAST_LIVE}"), of(LAST_LIVE), longest),
    ];
    if !fault.kills_edges() {
        judgments.push(Judgment::at_most("connections lost", outage.ended as f64, 0.0));
    }
    Outcome { judgments, ..outcome }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Fault {
    fn text(self) -> String {
        let text = match self {
            Self::Killed => "Redis killed and started again",
            Self::Paused => "Redis stopped in its tracks",
            Self::AllKilled => "Redis and the edges killed",
        };
        text.to_owned()
    }

    fn kills_edges(self) -> bool {
        self == Self::AllKilled
    }
}

//! Everybody comes at once, as after a deployment: how long it takes, and how much processor time, until 10,000 sockets are
//! connected and each has its subscription acknowledged. A hundred at a time knock at the server's door.

use std::time::Instant;

use super::sockets::{allow, open, settings};
use crate::Size;
use crate::peers::Pings;
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::{Cluster, Server};

/// Peers that Weir is held against.
const PEERS: [Server; 3] = [Server::NodeStreams, Server::NodeRedis, Server::Socketioxide];
/// The order of the rounds: the machine's mood shall not decide.
const ROUNDS: usize = 3;
/// Sockets that follow the same stream.
const SOCKETS_PER_STREAM: usize = 10;
const TIME: &str = "until all are connected";
const CPU: &str = "server CPU for each socket";

/// Measures every server, in rounds. What is reported is the round in which a server was quickest.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, rounds) = match size {
        Size::Smoke => (200, 1),
        Size::Full => (10_000, ROUNDS),
    };
    allow(sockets)?;
    let mut best: Vec<Option<Outcome>> = vec![None; Server::ALL.len()];
    for _ in 0..rounds {
        for (server, best) in Server::ALL.into_iter().zip(&mut best) {
            let outcome = one(server, sockets).await?;
            if best
                .as_ref()
                .is_none_or(|best| outcome.get(TIME) < best.get(TIME))
            {
                *best = Some(outcome);
            }
        }
    }
    let mut outcomes: Vec<Outcome> = best.into_iter().flatten().collect();
    judge(&mut outcomes);
    Ok(outcomes)
}

async fn one(server: Server, sockets: usize) -> anyhow::Result<Outcome> {
    let cluster = Cluster::start(server, &settings(Pings::default())).await?;
    let (before, began) = (cluster.accounts()?, Instant::now());
    let load = open(&cluster, sockets, sockets / SOCKETS_PER_STREAM).await?;
    let (took, used) = (began.elapsed().as_secs_f64(), cluster.accounts()?.since(&before));
    drop(load);
    let each = sockets as u64;
    let variant = format!("{} sockets", Unit::Count.show(sockets as f64));
    Ok(Outcome::new("connect", server.name(), server.version()?, variant)
        .plot(TIME, took, Unit::Seconds)
        .value("connected", sockets as f64 / took, Unit::PerSecond)
        .plot(CPU, used.edges.cpu_us_per(each), Unit::Microseconds)
        .cpu("Redis CPU for each socket", &used.redis, each)
        .cpu("generator CPU for each socket", &used.generator, each))
}

/// Weir is to be ahead of each peer, in time and in processor time.
fn judge(outcomes: &mut [Outcome]) {
    let of = |server: Server, name: &str| {
        let outcome = outcomes.iter().find(|outcome| outcome.server == server.name());
        outcome.and_then(|outcome| outcome.get(name)).unwrap_or(f64::NAN)
    };
    let mut judgments = Vec::new();
    for (name, what) in [(TIME, "time to connect all"), (CPU, "server CPU to connect one")] {
        for peer in PEERS {
            let ratio = of(Server::Weir, name) / of(peer, name);
            judgments.push(Judgment::below(
                format!("{what}, beside {}", peer.name()),
                ratio,
                1.0,
            ));
        }
    }
    if let Some(weir) = outcomes
        .iter_mut()
        .find(|outcome| outcome.server == Server::Weir.name())
    {
        weir.judgments = judgments;
    }
}

//! Many rooms: 10,000 streams with one subscriber each, over which events are spread. Beside it the same events in one
//! stream, followed by one subscriber at each edge: what Redis has to do for an event must not depend on where it goes.

use std::time::Duration;

use super::delivery::{Pace, Rounds, Setup, Sweep, of, ratio, sweep};
use crate::Size;
use crate::load::{Figures, Protocol};
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::Server;

const RATES: [f64; 5] = [1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0];
/// The rate at which servers are compared.
const COMPARED: f64 = RATES[0];
const PEERS: [Server; 3] = [Server::NodeStreams, Server::NodeRedis, Server::Socketioxide];
const ROUNDS: usize = 3;

/// Measures every server, with many streams and with one.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (streams, rates, rounds, pace) = match size {
        Size::Smoke => (
            100,
            &RATES[..1],
            1,
            Pace {
                warm_up: Duration::from_millis(200),
                measured: Duration::from_millis(500),
            },
        ),
        Size::Full => (
            10_000,
            &RATES[..],
            ROUNDS,
            Pace {
                warm_up: Duration::from_secs(2),
                measured: Duration::from_secs(6),
            },
        ),
    };
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for server in Server::ALL {
        many.push(sweep(server, &setup(streams, streams), rates, pace).await?);
        if server.needs_redis() {
            one.push(sweep(server, &setup(1, 2), &[COMPARED], pace).await?);
        }
    }
    let servers: Vec<Server> = std::iter::once(Server::Weir).chain(PEERS).collect();
    let rounds = Rounds::measure(rounds, &servers, &setup(streams, streams), COMPARED, pace).await?;
    let judgments = judgments(&many, &one, &rounds);
    Ok(judged(&many, &one, streams, &judgments))
}

fn setup(streams: usize, sockets: usize) -> Setup {
    Setup {
        edges: 2,
        protocol: Protocol::SocketIo,
        sockets,
        streams,
        publishers: 4,
    }
}

/// Microseconds of Redis for each event: with many rooms an event is a delivery, with one it is one at each edge.
fn redis_us(sweeps: &[Sweep], server: Server) -> Option<f64> {
    let figures = of(sweeps, server)?.at(COMPARED)?;
    let events = figures.events_per_second * figures.took.as_secs_f64();
    Some(figures.used.redis.cpu.as_secs_f64() * 1e6 / events)
}

fn judged(many: &[Sweep], one: &[Sweep], streams: usize, judgments: &[Judgment]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (sweeps, what) in [
        (many, format!("{streams} streams")),
        (one, "one stream, two sockets".to_owned()),
    ] {
        for sweep in sweeps {
            for mut outcome in sweep.outcomes("rooms") {
                let is_compared = outcome.at.as_ref().is_some_and(|at| at.value == COMPARED);
                if let Some(us) =
                    redis_us(sweeps, sweep.server).filter(|_| is_compared && sweep.server.needs_redis())
                {
                    outcome = outcome.value("Redis CPU per event", us, Unit::Microseconds);
                }
                outcome.variant = format!("{what}, {}", outcome.variant);
                if is_compared && sweep.server == Server::Weir && std::ptr::eq(sweeps, many) {
                    outcome.judgments = judgments.to_vec();
                }
                outcomes.push(outcome);
            }
        }
    }
    // A line through both variants would mean nothing.
    outcomes.iter_mut().for_each(|outcome| outcome.at = None);
    outcomes
}

fn judgments(many: &[Sweep], one: &[Sweep], rounds: &Rounds) -> Vec<Judgment> {
    let weir = redis_us(many, Server::Weir);
    let mut judgments = vec![Judgment::at_most(
        "Redis CPU per event beside that of one stream",
        ratio(weir, redis_us(one, Server::Weir)),
        2.5,
    )];
    let highest = |server| of(many, server).and_then(Sweep::highest);
    let edge = |round: &[Sweep], server| of(round, server)?.at(COMPARED).map(Figures::edge_us);
    for peer in PEERS {
        let name = peer.name();
        judgments.extend([
            Judgment::below(
                format!("edge CPU per delivery beside {name}"),
                rounds.middle(|round| ratio(edge(round, Server::Weir), edge(round, peer))),
                1.0,
            ),
            Judgment::at_least(
                format!("highest rate beside {name}"),
                ratio(
                    highest(Server::Weir).map(|figures| figures.events_per_second),
                    highest(peer).map(|figures| figures.events_per_second),
                ),
                1.0,
            ),
        ]);
    }
    judgments
}

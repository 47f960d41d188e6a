//! One log into which very many events are published, and a hundred sockets over two edges that follow it: what is due
//! to a socket at the same time can share a write.

use std::time::Duration;

use super::delivery::{Pace, Setup, Sweep, mark, of, ratio, sweep};
use crate::Size;
use crate::load::{Figures, Protocol};
use crate::results::{Judgment, Outcome};
use crate::servers::Server;

const RATES: [f64; 17] = [
    200.0, 400.0, 700.0, 1_000.0, 1_400.0, 2_000.0, 2_500.0, 3_000.0, 5_000.0, 7_000.0, 10_000.0, 15_000.0,
    20_000.0, 25_000.0, 30_000.0, 40_000.0, 50_000.0,
];

/// Measures every server.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, rates, pace) = match size {
        Size::Smoke => (
            10,
            &[RATES[0]][..],
            Pace {
                warm_up: Duration::from_millis(200),
                measured: Duration::from_millis(500),
            },
        ),
        Size::Full => (
            100,
            &RATES[..],
            Pace {
                warm_up: Duration::from_secs(1),
                measured: Duration::from_secs(5),
            },
        ),
    };
    let setup = Setup {
        edges: 2,
        protocol: Protocol::SocketIo,
        sockets,
        streams: 1,
        publishers: 4,
    };
    let mut sweeps = Vec::new();
    for server in Server::ALL {
        sweeps.push(sweep(server, &setup, rates, pace).await?);
    }
    Ok(judged(&sweeps))
}

/// All outcomes, with the targets at the rate at which Node.js saturates: the highest one at which it keeps up.
fn judged(sweeps: &[Sweep]) -> Vec<Outcome> {
    let highest = |server: Server| of(sweeps, server).and_then(Sweep::highest);
    let node = highest(Server::NodeStreams);
    let rate = |figures: &Figures| figures.events_per_second;
    let weir_there = node.and_then(|node| of(sweeps, Server::Weir)?.at(rate(node)));
    let judgments = vec![
        Judgment::at_most(
            "edge CPU per delivery beside Node's, at the highest rate of Node",
            ratio(weir_there.map(Figures::edge_us), node.map(Figures::edge_us)),
            0.1,
        ),
        Judgment::at_least(
            "highest rate beside Node's",
            ratio(highest(Server::Weir).map(rate), node.map(rate)),
            10.0,
        ),
    ];
    let mut outcomes: Vec<Outcome> = sweeps
        .iter()
        .flat_map(|sweep| sweep.outcomes("firehose"))
        .collect();
    // If Node.js did not even get through the lowest rate, the targets stand there, without a number.
    mark(&mut outcomes, node.map_or(RATES[0], rate), judgments);
    outcomes
}

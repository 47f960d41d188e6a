//! From publish to delivery through two edges: few sockets, a thousand events a second, so that it is the way of an event
//! that takes the time and not the number of those who wait for it. The publisher is at one edge, the followers at both.

use std::time::Duration;

use super::delivery::{Pace, Setup, Sweep, mark, of, ratio, sweep};
use crate::Size;
use crate::load::{Figures, Protocol};
use crate::results::{Judgment, Outcome};
use crate::servers::Server;

const RATE: f64 = 1_000.0;
const STREAMS: usize = 10;

/// Measures every server.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let pace = match size {
        Size::Smoke => Pace {
            warm_up: Duration::from_millis(200),
            measured: Duration::from_millis(500),
        },
        Size::Full => Pace {
            warm_up: Duration::from_secs(3),
            measured: Duration::from_secs(20),
        },
    };
    let setup = Setup {
        edges: 2,
        protocol: Protocol::SocketIo,
        // One follower of each stream at each edge.
        sockets: 2 * STREAMS,
        streams: STREAMS,
        publishers: 1,
    };
    let mut sweeps = Vec::new();
    for server in Server::ALL {
        sweeps.push(sweep(server, &setup, &[RATE], pace).await?);
    }
    Ok(judged(&sweeps))
}

fn judged(sweeps: &[Sweep]) -> Vec<Outcome> {
    let ms = |server: Server, quantile: f64| {
        let figures = of(sweeps, server).and_then(|sweep| sweep.at(RATE));
        figures.map(|figures: &Figures| figures.quantile_us(quantile) / 1e3)
    };
    let weir = |quantile| ms(Server::Weir, quantile);
    let beside_node = |quantile| ratio(weir(quantile), ms(Server::NodeStreams, quantile));
    let judgments = vec![
        Judgment::below("p50 in ms", weir(0.5).unwrap_or(f64::NAN), 1.0),
        Judgment::below("p99 in ms", weir(0.99).unwrap_or(f64::NAN), 5.0),
        Judgment::at_most("p50 beside Node's", beside_node(0.5), 1.0 / 3.0),
        Judgment::at_most("p99 beside Node's", beside_node(0.99), 1.0 / 3.0),
    ];
    let mut outcomes: Vec<Outcome> = sweeps
        .iter()
        .flat_map(|sweep| sweep.outcomes("latency"))
        .collect();
    mark(&mut outcomes, RATE, judgments);
    outcomes
}

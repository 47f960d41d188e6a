//! One publisher, a thousand sockets over two edges, all of which follow one stream. The limit is a server that writes
//! the same pre-built frame to every socket.

use std::time::Duration;

use super::delivery::{Pace, Setup, Sweep, mark, of, ratio, sweep};
use crate::Size;
use crate::load::{Figures, Protocol};
use crate::results::{Judgment, Outcome};
use crate::servers::Server;

const RATES: [f64; 9] = [20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 600.0, 800.0, 1_200.0];
/// The rate at which servers are compared: 100,000 deliveries a second.
const COMPARED: f64 = 100.0;

/// Measures every server.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, rates, pace) = match size {
        Size::Smoke => (
            50,
            &[COMPARED][..],
            Pace {
                warm_up: Duration::from_millis(200),
                measured: Duration::from_millis(500),
            },
        ),
        Size::Full => (
            1_000,
            &RATES[..],
            Pace {
                warm_up: Duration::from_secs(2),
                measured: Duration::from_secs(8),
            },
        ),
    };
    let setup = Setup {
        edges: 2,
        protocol: Protocol::SocketIo,
        sockets,
        streams: 1,
        publishers: 1,
    };
    let mut sweeps = Vec::new();
    for server in Server::ALL {
        sweeps.push(sweep(server, &setup, rates, pace).await?);
    }
    Ok(judged(&sweeps))
}

/// All outcomes, with the targets at Weir's rate that is compared.
fn judged(sweeps: &[Sweep]) -> Vec<Outcome> {
    let at = |server: Server| of(sweeps, server).and_then(|sweep| sweep.at(COMPARED));
    let cpu = |server: Server| at(server).map(Figures::edge_us);
    let p99 = |server: Server| at(server).map(|figures| figures.quantile_us(0.99));
    let (weir, node, bare) = (cpu(Server::Weir), cpu(Server::NodeStreams), cpu(Server::Bare));
    let above = |cpu: Option<f64>| cpu.zip(bare).map(|(cpu, bare)| cpu - bare);
    let judgments = vec![
        Judgment::at_most(
            "edge CPU per delivery beside the bare write",
            ratio(weir, bare),
            1.25,
        ),
        Judgment::at_most(
            "edge CPU above the bare write beside Node's above it",
            ratio(above(weir), above(node)),
            0.2,
        ),
        Judgment::at_most(
            "p99 beside Node's",
            ratio(p99(Server::Weir), p99(Server::NodeStreams)),
            1.0 / 3.0,
        ),
    ];
    let mut outcomes: Vec<Outcome> = sweeps
        .iter()
        .flat_map(|sweep| sweep.outcomes("fan-out"))
        .collect();
    mark(&mut outcomes, COMPARED, judgments);
    outcomes
}

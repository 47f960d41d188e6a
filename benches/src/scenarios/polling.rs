//! The fall-back: sockets that poll, as they do behind a proxy that lets no WebSocket through. Each event ends the request that
//! waits for it, and the client sends the next one.

use std::time::Duration;

use super::delivery::{Pace, Setup, Sweep, mark, of, ratio, sweep};
use crate::Size;
use crate::load::{Figures, Protocol};
use crate::results::{Judgment, Outcome};
use crate::servers::Server;

const RATES: [f64; 5] = [5.0, 10.0, 20.0, 50.0, 100.0];
/// The rate at which servers are compared.
const COMPARED: f64 = 20.0;
/// Who polls; the limit speaks no HTTP but that of a WebSocket.
const SERVERS: [Server; 4] = [
    Server::Weir,
    Server::NodeStreams,
    Server::NodeRedis,
    Server::Socketioxide,
];

/// Measures every server.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, rates, pace) = match size {
        Size::Smoke => (
            20,
            &[COMPARED][..],
            Pace {
                warm_up: Duration::from_millis(200),
                measured: Duration::from_millis(500),
            },
        ),
        Size::Full => (
            200,
            &RATES[..],
            Pace {
                warm_up: Duration::from_secs(2),
                measured: Duration::from_secs(6),
            },
        ),
    };
    let setup = Setup {
        edges: 2,
        protocol: Protocol::SocketIoPolling,
        sockets,
        streams: 1,
        publishers: 1,
    };
    let mut sweeps = Vec::new();
    for server in SERVERS {
        sweeps.push(sweep(server, &setup, rates, pace).await?);
    }
    Ok(judged(&sweeps))
}

fn judged(sweeps: &[Sweep]) -> Vec<Outcome> {
    let cpu = |server: Server| {
        let at = of(sweeps, server).and_then(|sweep| sweep.at(COMPARED));
        at.map(Figures::edge_us)
    };
    let peers = SERVERS.into_iter().filter(|server| *server != Server::Weir);
    let judgments = peers.map(|peer| {
        let what = format!("edge CPU per delivery beside {}", peer.name());
        Judgment::below(what, ratio(cpu(Server::Weir), cpu(peer)), 1.0)
    });
    let mut outcomes: Vec<Outcome> = sweeps
        .iter()
        .flat_map(|sweep| sweep.outcomes("polling"))
        .collect();
    mark(&mut outcomes, COMPARED, judgments.collect());
    outcomes
}

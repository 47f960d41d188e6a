//! One publisher, a thousand sockets over two edges, all of which follow one stream. The limit is a server that writes
//! the same pre-built frame to every socket.

use std::time::Duration;

use super::delivery::{Pace, Rounds, Setup, Sweep, mark, of, ratio, sweep};
use crate::Size;
use crate::load::{Figures, Protocol};
use crate::results::{Judgment, Outcome};
use crate::servers::Server;

const RATES: [f64; 9] = [20.0, 50.0, 100.0, 200.0, 300.0, 400.0, 600.0, 800.0, 1_200.0];
/// The rate at which servers are compared: 100,000 deliveries a second.
const COMPARED: f64 = 100.0;

/// Who is compared there.
const JUDGED: [Server; 3] = [Server::Weir, Server::NodeStreams, Server::Bare];
const ROUNDS: usize = 3;

/// Measures every server.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, rates, rounds, pace) = match size {
        Size::Smoke => (
            50,
            &[COMPARED][..],
            1,
            Pace {
                warm_up: Duration::from_millis(200),
                measured: Duration::from_millis(500),
            },
        ),
        Size::Full => (
            1_000,
            &RATES[..],
            ROUNDS,
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
    let rounds = Rounds::measure(rounds, &JUDGED, &setup, COMPARED, pace).await?;
    Ok(outcomes(&sweeps, &rounds))
}

/// All outcomes, with the targets at Weir's rate that is compared.
fn outcomes(sweeps: &[Sweep], rounds: &Rounds) -> Vec<Outcome> {
    let judgments = vec![
        Judgment::at_most(
            "edge CPU per delivery beside the bare write",
            rounds.middle(|round| ratio(cpu(round, Server::Weir), cpu(round, Server::Bare))),
            1.25,
        ),
        Judgment::at_most(
            "edge CPU above the bare write beside Node's above it",
            rounds.middle(|round| ratio(above(round, Server::Weir), above(round, Server::NodeStreams))),
            0.2,
        ),
        Judgment::at_most(
            "p99 beside Node's",
            rounds.middle(|round| ratio(p99(round, Server::Weir), p99(round, Server::NodeStreams))),
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

fn at(sweeps: &[Sweep], server: Server) -> Option<&Figures> {
    of(sweeps, server).and_then(|sweep| sweep.at(COMPARED))
}

fn cpu(sweeps: &[Sweep], server: Server) -> Option<f64> {
    at(sweeps, server).map(Figures::edge_us)
}

/// Above that of the bare write.
fn above(sweeps: &[Sweep], server: Server) -> Option<f64> {
    let bare = cpu(sweeps, Server::Bare)?;
    cpu(sweeps, server).map(|cpu| cpu - bare)
}

fn p99(sweeps: &[Sweep], server: Server) -> Option<f64> {
    at(sweeps, server).map(|figures| figures.quantile_us(0.99))
}

//! What a Socket.IO client that does nothing costs: thousands of WebSockets, each of which follows one stream and answers
//! pings. Resident bytes of the server's process for each, beside those of a TCP connection on which nothing is said.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::sleep;

use super::sockets::{all_open, allow, open, open_raw, settings};
use crate::Size;
use crate::peers::Pings;
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::{Cluster, Server};

const SERVERS: [Server; 6] = [
    Server::Weir,
    Server::NodeStreams,
    Server::NodeRedis,
    Server::Socketioxide,
    Server::Bare,
    Server::RawTcp,
];
/// Peers that Weir is held against.
const PEERS: [Server; 3] = [Server::NodeStreams, Server::NodeRedis, Server::Socketioxide];
/// Each socket is pinged so often until its memory is looked at.
const PINGS: u32 = 3;
const PER_SOCKET: &str = "resident for each socket";
const TARGET_BYTES: f64 = 6.0 * 1024.0;
const TARGET_BESIDE_PEER: f64 = 0.5;

/// Measures every server with every number of sockets.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (numbers, interval): (&[usize], _) = match size {
        Size::Smoke => (&[200], Duration::from_millis(300)),
        Size::Full => (&[10_000, 50_000], Duration::from_secs(5)),
    };
    let pings = Pings {
        interval,
        timeout: Duration::from_secs(20),
    };
    let mut outcomes = Vec::new();
    for sockets in numbers {
        let begins = outcomes.len();
        if let Err(error) = allow(*sockets) {
            let unmeasured = Outcome::new("idle", "all servers", "", variant(*sockets));
            outcomes.push(unmeasured.note(format!("not measured: {error:#}")));
            continue;
        }
        for server in SERVERS {
            outcomes.push(one(server, *sockets, pings).await?);
        }
        judge(&mut outcomes[begins..], *sockets);
    }
    Ok(outcomes)
}

async fn one(server: Server, sockets: usize, pings: Pings) -> anyhow::Result<Outcome> {
    let cluster = Cluster::start(server, &settings(pings)).await?;
    let before = cluster.accounts()?.edges.resident;
    let idle = || sleep(pings.interval * PINGS);
    let kept = if server == Server::RawTcp {
        let open = open_raw(&cluster, sockets).await?;
        idle().await;
        all_open(&open)?.then_some(cluster.accounts()?)
    } else {
        let load = open(&cluster, sockets, 1).await?;
        idle().await;
        let lost = load.broken();
        ensure!(
            lost.is_none(),
            "{}: a connection ended: {}",
            server.name(),
            lost.unwrap_or_default()
        );
        Some(cluster.accounts()?)
    };
    let Some(after) = kept.map(|accounts| accounts.edges.resident) else {
        anyhow::bail!("{}: a connection ended", server.name());
    };
    let each = after.saturating_sub(before) as f64 / sockets as f64;
    let outcome = Outcome::new("idle", server.name(), server.version()?, variant(sockets))
        .value("resident before", before as f64, Unit::Mebibytes)
        .value("resident with all sockets", after as f64, Unit::Mebibytes)
        .plot(PER_SOCKET, each, Unit::Bytes);
    Ok(outcome)
}

fn variant(sockets: usize) -> String {
    format!("{} sockets", Unit::Count.show(sockets as f64))
}

/// Holds Weir against the target and against each peer with as many sockets.
fn judge(outcomes: &mut [Outcome], sockets: usize) {
    let each = |server: Server| {
        let outcome = outcomes.iter().find(|outcome| outcome.server == server.name());
        outcome
            .and_then(|outcome| outcome.get(PER_SOCKET))
            .unwrap_or(f64::NAN)
    };
    let weir = each(Server::Weir);
    let with = variant(sockets);
    let mut judgments = vec![Judgment::at_most(
        format!("KiB resident for each of {with}"),
        weir / 1024.0,
        TARGET_BYTES / 1024.0,
    )];
    judgments.extend(PEERS.map(|peer| {
        Judgment::at_most(
            format!("that beside {}, {with}", peer.name()),
            weir / each(peer),
            TARGET_BESIDE_PEER,
        )
    }));
    if let Some(weir) = outcomes
        .iter_mut()
        .find(|outcome| outcome.server == Server::Weir.name())
    {
        weir.judgments = judgments;
    }
}

//! The load generator counts right: over every protocol everything that was published comes to everybody.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use benches::load::{Load, Phase, Protocol, Target};
use benches::servers::{Cluster, Server, Settings};

const SOCKETS: usize = 12;
const STREAMS: usize = 3;

fn target(cluster: &Cluster, protocol: Protocol) -> Target {
    Target {
        servers: cluster.addresses(),
        protocol,
        sockets: SOCKETS,
        streams: (0..STREAMS).map(|n| format!("load:{n}")).collect(),
        publishers: 2,
        readers: 2,
        slow: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_every_protocol_everything_comes() {
    let cluster = Cluster::start(Server::Weir, &Settings::default()).await.unwrap();
    for protocol in [
        Protocol::SocketIo,
        Protocol::SocketIoPolling,
        Protocol::WebSocket,
        Protocol::Sse,
        Protocol::Ndjson,
    ] {
        let mut load = Load::open(target(&cluster, protocol)).await.unwrap();
        let phase = Phase {
            events_per_second: 300.0,
            warm_up: Duration::from_millis(100),
            measured: Duration::from_millis(400),
        };
        for _ in 0..2 {
            let figures = load.run(&phase, || cluster.accounts()).await.unwrap();
            // 120 events, each to a third of the sockets.
            assert_eq!(figures.due, 120 * (SOCKETS / STREAMS) as u64, "{protocol:?}");
            assert_eq!((figures.refused, figures.broken), (0, 0), "{protocol:?}");
        }
        let settled = load.settle().await.unwrap();
        assert!(settled.is_whole(), "{protocol:?} {settled:?}");
        // Warm-up and all: 150 events, twice.
        assert_eq!(
            load.deliveries(),
            2 * 150 * (SOCKETS / STREAMS) as u64,
            "{protocol:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slowed_down_gets_the_rest_later() {
    let cluster = Cluster::start(Server::Weir, &Settings::default()).await.unwrap();
    let target = Target {
        slow: 4,
        ..target(&cluster, Protocol::SocketIo)
    };
    let mut load = Load::open(target).await.unwrap();
    load.slow_down(Some(1_000)).unwrap();
    let phase = Phase {
        events_per_second: 600.0,
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(500),
    };
    let figures = load.run(&phase, || cluster.accounts()).await.unwrap();
    assert!(figures.delivered < figures.due, "some read slowly");
    load.slow_down(None).unwrap();
    let settled = load.settle().await.unwrap();
    assert!(settled.is_whole(), "{settled:?}");
    assert_eq!(load.deliveries(), figures.due);
}

/// Those that a server cuts off are counted, and so is what they have not got.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_owes_is_outstanding() {
    let mut cluster = Cluster::start(Server::Weir, &Settings::default()).await.unwrap();
    let mut load = Load::open(target(&cluster, Protocol::SocketIo)).await.unwrap();
    // Both publishers are needed: one is at each server.
    cluster.kill(1);
    let phase = Phase {
        events_per_second: 100.0,
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(200),
    };
    let error = load.run(&phase, || cluster.accounts()).await.unwrap_err();
    assert!(format!("{error:#}").contains("publisher"), "{error:#}");
    assert!(load.broken().is_some());
}

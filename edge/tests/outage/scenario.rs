//! Who takes part in a case: edges, streams, publishers and subscribers.

use std::net::SocketAddr;
use std::time::Duration;

use benches::client::Transports;
use shared::StreamName;

use crate::case::Case;
use crate::cluster::{Front, Program, Setup};
use crate::dialect::Dialect;
use crate::publishers::{self, Way};
use crate::sockets::{self, Habit};
use crate::subscribers::{self, Pace};
use crate::tails::Transport;

/// Edges of the cluster, each behind a proxy of its own; behind those is one that goes round.
pub const EDGES: usize = 3;

/// Signs of life come often. Nobody is given up for being slow: the machine may be.
pub const CONFIGURATION: &str = r#"
[retention]
entries = "none"
age = "none"
idle = "none"
[drain]
deadline = "5s"
[tail]
heartbeat = "1s"
[ws]
ping_interval = "1s"
pong_timeout = "60s"
[socketio]
ping_interval = "1s"
ping_timeout = "60s"
"#;

/// How long nothing may come to a subscriber before it goes elsewhere.
const PATIENCE: Duration = Duration::from_secs(30);

/// The cluster. Redis writes to its file before it answers: what it acknowledged is there when it was killed.
pub fn setup(seed: u64) -> Setup {
    Setup {
        program: Program::Weir(CONFIGURATION.to_owned()),
        edges: EDGES,
        front: Front::EachItsOwnThenRoundRobin,
        redis_arguments: &["--appendonly", "yes", "--appendfsync", "always"],
        sentinels: 0,
        seed,
    }
}

/// The streams of a case.
pub fn streams(case: Case) -> Vec<StreamName> {
    let name = |which: &str| format!("{}/{which}", case.name()).parse().unwrap();
    vec![name("a"), name("b")]
}

/// Publishers of each kind at each edge.
pub fn publishers(streams: &[StreamName], edges: &[SocketAddr]) -> Vec<publishers::Plan> {
    let kinds = [
        (Way::Http, true),
        (Way::Http, false),
        (Way::WebSocket, true),
        (Way::WebSocket, false),
    ];
    let plan = |number: usize| {
        let (way, keyed) = kinds[number / EDGES];
        let mut edges = edges[..EDGES].to_vec();
        edges.rotate_left(edge_of_publisher(number));
        publishers::Plan {
            number: number as u16 + 1,
            stream: streams[number % streams.len()].clone(),
            way,
            keyed,
            edges,
        }
    };
    (0..kinds.len() * EDGES).map(plan).collect()
}

/// At which edge a publisher begins, by its place among them.
pub fn edge_of_publisher(number: usize) -> usize {
    number % EDGES
}

/// Subscribers over each transport at each edge, of one stream and of all.
pub fn subscribers(streams: &[StreamName]) -> Vec<subscribers::Plan> {
    let mut plans = Vec::new();
    for edge in 0..EDGES {
        for transport in Transport::ALL {
            for streams in [&streams[..1], streams] {
                plans.push(subscribers::Plan {
                    name: format!("{} streams over {transport:?} at edge {edge}", streams.len()),
                    transports: vec![transport],
                    streams: streams.to_vec(),
                    begin: "start",
                    pace: Pace::Fast,
                    first_edge: Some(edge),
                    seed: plans.len() as u64,
                    receive_bytes: None,
                    patience: PATIENCE,
                });
            }
        }
    }
    plans
}

/// Socket.IO clients of each kind, which come to any edge; those that poll may come to another one each time.
pub fn sockets(streams: &[StreamName]) -> Vec<sockets::Plan> {
    let kinds = [
        (Transports::WebSocket, true),
        (Transports::Polling, true),
        (Transports::Polling, false),
        (Transports::Upgrade, false),
    ];
    let mut plans = Vec::new();
    for (transports, keep_alive) in kinds {
        for streams in [&streams[..1], streams] {
            let number = plans.len();
            plans.push(sockets::Plan {
                name: format!(
                    "{} streams over Socket.IO, {transports:?}, keep-alive {keep_alive}",
                    streams.len()
                ),
                transports,
                keep_alive,
                front: EDGES,
                local: [127, 0, 1, number as u8 + 1].into(),
                streams: streams.to_vec(),
                begin: "start",
                habit: Habit::Fast,
                dialect: Dialect::Weir,
                seed: number as u64,
            });
        }
    }
    plans
}

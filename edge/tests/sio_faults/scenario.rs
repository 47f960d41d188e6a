//! What a run is made of: the servers, the streams, who publishes to them, who follows them, what goes wrong.

use std::time::Duration;

use benches::client::Transports;
use benches::peers::Pings;
use shared::StreamName;

use crate::chaos::{self, Fault};
use crate::checker::Removal;
use crate::cluster::{Front, Program, Setup};
use crate::dialect::Dialect;
use crate::producers::{RawForm, Source};
use crate::sockets::{Habit, Plan};

const EDGES: usize = 3;
/// Streams of a socket that follows several.
pub const STREAMS: usize = 8;

/// Pings come often, so that a client soon notices an edge that was stopped.
pub const PINGS: Pings = Pings {
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(2),
};

/// The edges keep everything: what is removed, the test removes itself.
const CONFIGURATION: &str = r#"
[retention]
entries = "none"
age = "none"
idle = "none"
[drain]
deadline = "5s"
[socketio]
ping_interval = "1s"
ping_timeout = "2s"
write_timeout = "2s"
"#;

/// How long a client may take nothing of what is sent to it: as in the configuration.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// A killed Redis has lost nothing that it acknowledged: it writes before it answers.
const REDIS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// The faults after which nothing is gone.
const SAFE: &[Fault] = &[
    Fault::KillEdge,
    Fault::KillEdge,
    Fault::KillEdge,
    Fault::KillAllEdges,
    Fault::DrainEdge,
    Fault::DrainEdge,
    Fault::FreezeEdge,
    Fault::CutClients,
    Fault::CutClients,
    Fault::CutRedis,
    Fault::KillRedis,
];

/// Faults after which something is.
const REMOVALS: &[Fault] = &[
    Fault::KillEdge,
    Fault::KillEdge,
    Fault::DrainEdge,
    Fault::CutClients,
    Fault::CutRedis,
    Fault::Trim,
    Fault::Trim,
    Fault::DeleteEntries,
    Fault::DeleteStream,
    Fault::SetBack,
    Fault::LoseSessions,
    Fault::KillRedis,
];

/// Whose sockets are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Weir.
    Weir,
    /// The Node.js peer.
    Node,
}

/// What a run is made of.
#[derive(Debug)]
pub struct Scenario {
    /// Decides everything that is drawn.
    pub seed: u64,
    /// The faults, in order.
    pub faults: Vec<Fault>,
    /// Events that each producer may publish in each step.
    pub quota: u32,
    /// Whether something is removed from some streams.
    removes: bool,
}

/// A stream.
#[derive(Debug)]
pub struct StreamPlan {
    /// What it is called.
    pub name: StreamName,
    /// Who publishes to it.
    sources: Vec<Source>,
    /// Where entries are removed from it.
    pub removal: Removal,
}

impl Scenario {
    /// A run in which nothing is removed.
    pub fn safe(seed: u64, rounds: usize, quota: u32) -> Self {
        Self::new(seed, SAFE, rounds, quota)
    }

    /// A run in which streams lose entries, or their history, and sessions are lost.
    pub fn with_removals(seed: u64, rounds: usize, quota: u32) -> Self {
        Self::new(seed, REMOVALS, rounds, quota)
    }

    fn new(seed: u64, kinds: &[Fault], rounds: usize, quota: u32) -> Self {
        Self {
            seed,
            faults: chaos::plan(kinds, rounds, &mut fastrand::Rng::with_seed(seed)),
            quota,
            removes: kinds == REMOVALS,
        }
    }

    /// The servers.
    pub fn setup(&self, server: Server) -> Setup {
        Setup {
            program: match server {
                Server::Weir => Program::Weir(CONFIGURATION.to_owned()),
                Server::Node => Program::Node(PINGS),
            },
            edges: EDGES,
            front: match server {
                Server::Weir => Front::RoundRobin,
                Server::Node => Front::RoundRobinAndSticky,
            },
            redis_arguments: REDIS,
            sentinels: 0,
            seed: self.seed,
        }
    }

    /// The streams, and who publishes to them.
    pub fn streams(&self, server: Server) -> Vec<StreamPlan> {
        let names: [&str; STREAMS] = if self.removes {
            [
                "plain",
                "mixed/a:b",
                "raw",
                "s4",
                "trimmed",
                "holes",
                "recreated",
                "set-back",
            ]
        } else {
            ["plain", "mixed/a:b", "raw", "s4", "s5", "s6", "s7", "s8"]
        };
        let stream = |name: &&str| {
            let sources = match *name {
                "plain" => vec![Source::Http, Source::Http],
                "mixed/a:b" => vec![Source::Http, Source::Raw(RawForm::Foreign)],
                "raw" => vec![Source::Raw(RawForm::Ours)],
                _ => vec![Source::Http],
            };
            StreamPlan {
                name: name.parse().unwrap(),
                // The peer knows nothing of `XADD`s by others.
                sources: match server {
                    Server::Weir => sources,
                    Server::Node => vec![Source::Http; sources.len()],
                },
                removal: if *name == "holes" {
                    Removal::Anywhere
                } else {
                    Removal::Front
                },
            }
        };
        names.iter().map(stream).collect()
    }

    /// The sockets that are there from the beginning.
    pub fn first_sockets(&self, server: Server, streams: &[StreamPlan]) -> Vec<Plan> {
        use Habit::{Fast, Leaving, Sleepy, Slow};
        use Transports::{Polling, Upgrade, WebSocket};
        let names: Vec<StreamName> = streams.iter().map(|stream| stream.name.clone()).collect();
        let sources: Vec<_> = streams.iter().flat_map(StreamPlan::sources).collect();
        let mut plans = Vec::new();
        let mut add = |transports, streams: &[StreamName], habit| {
            let number = plans.len();
            plans.push(self.socket(server, &sources, transports, streams, habit, number));
        };
        for name in &names {
            add(WebSocket, std::slice::from_ref(name), Fast);
            add(Polling, std::slice::from_ref(name), Fast);
        }
        for transports in [WebSocket, Polling, Upgrade] {
            add(transports, &names, Fast);
            add(transports, &names, Fast);
            add(transports, &names, Sleepy);
            add(transports, &names, Leaving);
            let of_transport = transports as usize;
            add(transports, &names[of_transport..=of_transport], Slow);
            add(transports, &names[5 + of_transport..][..1], Sleepy);
            add(transports, &names[4 + of_transport..][..1], Leaving);
        }
        plans
    }

    /// The sockets that come when half of it is over, and want what comes from then on.
    pub fn late_sockets(&self, server: Server, streams: &[StreamPlan]) -> Vec<Plan> {
        let sources: Vec<_> = streams.iter().flat_map(StreamPlan::sources).collect();
        let late = |(number, stream): (usize, &StreamPlan)| {
            let transports = [Transports::WebSocket, Transports::Polling, Transports::Upgrade][number % 3];
            let streams = std::slice::from_ref(&stream.name);
            let plan = self.socket(server, &sources, transports, streams, Habit::Fast, 100 + number);
            Plan { begin: "now", ..plan }
        };
        streams.iter().enumerate().map(late).collect()
    }

    fn socket(
        &self,
        server: Server,
        sources: &[(StreamName, Source)],
        transports: Transports,
        streams: &[StreamName],
        habit: Habit,
        number: usize,
    ) -> Plan {
        let names: Vec<&str> = streams.iter().map(StreamName::as_str).collect();
        Plan {
            name: format!(
                "number {number}, {} over {transports:?}, {habit:?}",
                names.join("+")
            ),
            transports,
            keep_alive: number.is_multiple_of(2),
            // Only the peer has a second one.
            front: usize::from(server == Server::Node && transports != Transports::WebSocket),
            local: [127, 0, 1, number as u8 + 1].into(),
            streams: streams.to_vec(),
            begin: "start",
            habit,
            dialect: match server {
                Server::Weir => Dialect::Weir,
                Server::Node => Dialect::Node(sources.iter().map(|(stream, _)| stream.clone()).collect()),
            },
            seed: self.seed ^ (number as u64) << 32,
        }
    }
}

impl StreamPlan {
    /// Each of its producers.
    pub fn sources(&self) -> impl Iterator<Item = (StreamName, Source)> {
        self.sources.iter().map(|source| (self.name.clone(), *source))
    }
}

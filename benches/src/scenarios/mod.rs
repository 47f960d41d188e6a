//! What is measured.

mod commands;
pub mod connect;
mod delivery;
pub mod fan_out;
pub mod firehose;
mod follower;
pub mod idle;
pub mod ingest;
pub mod latency;
pub mod polling;
pub mod records;
pub mod recovery;
pub mod replay;
pub mod resume_storm;
pub mod rooms;
pub mod slow;
mod sockets;
pub mod tail;

use clap::ValueEnum;

use crate::Size;
use crate::results::Outcome;

/// A scenario, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One publisher to 1,000 sockets over two edges, from 20 events a second to as far as it goes.
    FanOut,
    /// One log at up to 50,000 events a second to 100 sockets over two edges.
    Firehose,
    /// 10,000 streams with one subscriber each, events spread over them, against one stream.
    Rooms,
    /// From publish to delivery through two edges at 1,000 events a second.
    Latency,
    /// 200 sockets over long polling and two edges, from 5 events a second to as far as it goes.
    Polling,
    /// What 900 sockets notice of 100 that read at a hundredth of the rate.
    SlowReaders,
    /// Redis CPU per event, without edges: 10,000 streams against one.
    Tail,
    /// Events per second in, each acknowledged, over HTTP, WebSocket and Socket.IO, against pipelined XADD.
    Ingest,
    /// Events per second out, over NDJSON and WebSocket, against a bare XRANGE loop.
    Replay,
    /// Clients that were cut off come back all at once.
    ResumeStorm,
    /// Redis goes away and comes back under 5,000 subscribers: until the last is live again, and what Redis does for it.
    Recovery,
    /// Calls per second: session records against a bare pipeline; and ephemeral events.
    Records,
    /// Resident bytes of one server for each idle Socket.IO client: 10,000 and 50,000 of them.
    Idle,
    /// Time and processor time until 10,000 Socket.IO clients are connected to one server and have subscribed.
    Connect,
}

impl Scenario {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it does, in a sentence: its help.
    pub fn summary(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }

    /// Runs it. It holds what it finds against its targets itself, and fails if anything is lost that must not be.
    pub async fn measure(self, size: Size) -> anyhow::Result<Vec<Outcome>> {
        match self {
            Self::FanOut => fan_out::measure(size).await,
            Self::Firehose => firehose::measure(size).await,
            Self::Rooms => rooms::measure(size).await,
            Self::Latency => latency::measure(size).await,
            Self::Polling => polling::measure(size).await,
            Self::SlowReaders => slow::measure(size).await,
            Self::Tail => tail::measure(size).await,
            Self::Ingest => ingest::measure(size).await,
            Self::Replay => replay::measure(size).await,
            Self::ResumeStorm => resume_storm::measure(size).await,
            Self::Recovery => recovery::measure(size).await,
            Self::Records => records::measure(size).await,
            Self::Idle => idle::measure(size).await,
            Self::Connect => connect::measure(size).await,
        }
    }
}

/// The one that is in the middle.
fn median<T>(mut all: Vec<T>, figure: impl Fn(&T) -> f64) -> Option<T> {
    all.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    let middle = all.len() / 2;
    all.into_iter().nth(middle)
}

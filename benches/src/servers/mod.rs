//! The servers that are measured: each a process of its own, so that what it uses can be told apart, and joined to
//! others of its kind by a Redis as a [`Cluster`].

mod cluster;
mod process;
mod weir;

use std::path::Path;
use std::process::Command;

use std::time::Duration;

use anyhow::Context;
use broker::testing::RedisServer;

pub use cluster::Cluster;

use crate::accounts::Usage;
use crate::peers::{self, Pings};

/// What a user may pick, and what none of them can beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// `weir serve`.
    Weir,
    /// Socket.IO on Node.js with `@socket.io/redis-streams-adapter`.
    NodeStreams,
    /// Socket.IO on Node.js with `@socket.io/redis-adapter`.
    NodeRedis,
    /// `socketioxide` with `socketioxide-redis`.
    Socketioxide,
    /// No server to pick but the limit: writes the same pre-built frame to every socket, and has no Redis.
    Bare,
    /// The limit of what a connection costs: accepts connections, keeps them and says nothing.
    RawTcp,
}

/// How a cluster is started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Processes of the server.
    pub edges: usize,
    /// How often it pings.
    pub pings: Pings,
    /// More of Weir's configuration: lines such as `ws.ping_interval = "5s"`. Peers do not read it.
    pub weir: String,
}

impl Default for Settings {
    /// Two edges that ping as Socket.IO does by default.
    fn default() -> Self {
        Self {
            edges: 2,
            pings: Pings::default(),
            weir: String::new(),
        }
    }
}

impl Server {
    /// All that speak Socket.IO.
    pub const ALL: [Self; 5] = [
        Self::Weir,
        Self::NodeStreams,
        Self::NodeRedis,
        Self::Socketioxide,
        Self::Bare,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weir => "Weir",
            Self::NodeStreams => "Socket.IO on Node.js, Redis Streams",
            Self::NodeRedis => "Socket.IO on Node.js, Redis Pub/Sub",
            Self::Socketioxide => "socketioxide, Redis Pub/Sub",
            Self::Bare => "bare write",
            Self::RawTcp => "bare TCP",
        }
    }

    /// Whether its servers are joined by a Redis.
    pub fn needs_redis(self) -> bool {
        !matches!(self, Self::Bare | Self::RawTcp)
    }

    /// Its version, and that of the adapter that joins its servers.
    pub fn version(self) -> anyhow::Result<String> {
        match self {
            Self::Weir | Self::Bare | Self::RawTcp => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Self::NodeStreams => peers::socketio_version("@socket.io/redis-streams-adapter"),
            Self::NodeRedis => peers::socketio_version("@socket.io/redis-adapter"),
            Self::Socketioxide => peers::socketioxide_version(),
        }
    }

    /// What starts one of its servers on `port` of 127.0.0.1. Files that it needs are put into `folder`.
    fn command(self, port: u16, redis: &str, settings: &Settings, folder: &Path) -> anyhow::Result<Command> {
        match self {
            Self::Weir => weir::command(port, redis, settings, folder),
            Self::NodeStreams => peers::socketio_redis_streams(port, redis, settings.pings),
            Self::NodeRedis => peers::socketio_redis(port, redis, settings.pings),
            Self::Socketioxide => peers::socketioxide(port, redis, settings.pings),
            Self::Bare => peers::bare(port, settings.pings),
            Self::RawTcp => peers::raw_tcp(port),
        }
    }
}

/// Processor time that a Redis has used.
pub fn redis_cpu(redis: &RedisServer) -> anyhow::Result<Duration> {
    Ok(Usage::of(redis.pid().context("redis-server is not running")?)?.cpu)
}

/// An HTTP client.
pub fn client() -> reqwest::Client {
    // An error means that this process has chosen its cryptography already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

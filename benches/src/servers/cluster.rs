//! Servers of one kind, with the Redis that joins them.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use broker::testing::RedisServer;

use super::process::Process;
use super::{Server, Settings};
use crate::accounts::{Accounts, Usage, forget_peak};

/// Running servers and the Redis behind them. All of them end with this.
pub struct Cluster {
    // Dropped in this order: a server need not notice that its Redis goes.
    edges: Vec<Process>,
    redis: Option<RedisServer>,
    server: Server,
    settings: Settings,
    /// Configurations live as long as who reads them.
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts `settings.edges` processes of the server in front of a new Redis, and waits until they listen.
    pub async fn start(server: Server, settings: &Settings) -> anyhow::Result<Self> {
        let redis = match server.needs_redis() {
            true => Some(RedisServer::start().await),
            false => None,
        };
        Self::start_behind(server, settings, redis).await
    }

    /// As [`Cluster::start`], in front of a Redis that is there already.
    pub async fn start_behind(
        server: Server,
        settings: &Settings,
        redis: Option<RedisServer>,
    ) -> anyhow::Result<Self> {
        ensure!(settings.edges > 0, "a cluster has at least one server");
        let folder = tempfile::TempDir::with_prefix("weir-bench-")?;
        let url = redis.as_ref().map(RedisServer::url).unwrap_or_default();
        let mut edges = Vec::new();
        for _ in 0..settings.edges {
            let edge = Process::start(|port| server.command(port, &url, settings, folder.path()));
            edges.push(edge.await.with_context(|| server.name())?);
        }
        Ok(Self {
            edges,
            redis,
            server,
            settings: settings.clone(),
            folder,
        })
    }

    /// What kind of server it is.
    pub fn server(&self) -> Server {
        self.server
    }

    /// Where the servers listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.edges.iter().map(|edge| edge.address).collect()
    }

    /// The processes of the servers, in the order of [`Cluster::addresses`].
    pub fn pids(&self) -> Vec<u32> {
        self.edges.iter().map(Process::pid).collect()
    }

    /// The Redis behind them. An error where there is none.
    pub fn redis(&self) -> anyhow::Result<&RedisServer> {
        self.redis
            .as_ref()
            .with_context(|| format!("{} has no Redis", self.server.name()))
    }

    /// Kills one of the servers at once, as a crash would (SIGKILL).
    pub fn kill(&mut self, index: usize) {
        drop(self.edges.remove(index));
    }

    /// Starts servers again that were killed, at the addresses that they had.
    pub async fn start_again(&mut self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let url = self.redis.as_ref().map(RedisServer::url).unwrap_or_default();
        let start = addresses.iter().map(|address| {
            let command = self
                .server
                .command(address.port(), &url, &self.settings, self.folder.path());
            async move { Process::start_at(*address, command?).await }
        });
        let started = futures_util::future::try_join_all(start).await;
        self.edges.extend(started.with_context(|| self.server.name())?);
        Ok(())
    }

    /// What everybody has used until now.
    pub fn accounts(&self) -> anyhow::Result<Accounts> {
        Ok(Accounts {
            edges: Usage::of_all(self.pids())?,
            redis: Usage::of_all(self.redis.as_ref().and_then(RedisServer::pid))?,
            generator: Usage::of(std::process::id())?,
        })
    }

    /// Begins the peaks of the servers' memory anew.
    pub fn forget_peaks(&self) -> anyhow::Result<()> {
        self.pids().into_iter().try_for_each(forget_peak)
    }
}

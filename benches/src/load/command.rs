//! `weir-bench load`: the generator against a server that runs already.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;

use super::{Load, Phase, Protocol, Target};
use crate::accounts::{Accounts, Usage};
use crate::results::Outcome;

/// Puts load on a running server, as long as it keeps up, and prints what it measured.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// Where the server is: http://HOST:PORT; several times for the servers of a cluster.
    #[arg(long = "server", required = true, value_name = "URL", value_parser = address)]
    servers: Vec<SocketAddr>,
    /// How the connections that follow speak with it.
    #[arg(long, value_enum, default_value = "socket-io")]
    protocol: Protocol,
    /// Connections that follow a stream.
    #[arg(long, default_value_t = 100)]
    sockets: usize,
    /// Streams, over which connections and events are spread.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// What the streams' names begin with.
    #[arg(long, default_value = "load:")]
    prefix: String,
    /// Events published per second, in all streams together; several rates are tried one after the other.
    #[arg(
        long = "rate",
        value_name = "EVENTS",
        default_value = "100",
        value_delimiter = ','
    )]
    rates: Vec<f64>,
    /// Seconds that are measured at each rate, after a fifth of that as warm-up.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Sockets that publish.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    publishers: u32,
    /// Threads that read.
    #[arg(long, default_value_t = 1)]
    readers: usize,
    /// Processes of the server, to account what they use.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
}

impl Command {
    /// Carries it out. `each` is handed what was measured at a rate as soon as it is.
    pub async fn run(&self, each: impl Fn(&Outcome)) -> anyhow::Result<()> {
        let target = Target {
            servers: self.servers.clone(),
            protocol: self.protocol,
            sockets: self.sockets,
            streams: (0..self.streams).map(|n| format!("{}{n}", self.prefix)).collect(),
            publishers: self.publishers as usize,
            readers: self.readers,
            slow: 0,
        };
        let mut load = Load::open(target).await?;
        for rate in &self.rates {
            let phase = Phase {
                events_per_second: *rate,
                warm_up: Duration::try_from_secs_f64(self.seconds / 5.0)?,
                measured: Duration::try_from_secs_f64(self.seconds)?,
            };
            let figures = load.run(&phase, || self.accounts()).await?;
            let outcome = Outcome::new("load", "the server", "", format!("{rate} events/s"));
            each(&figures.show(outcome));
            if !figures.kept_up() {
                break;
            }
        }
        let settled = load.settle().await?;
        if !settled.is_whole() {
            anyhow::bail!(
                "not everything came: {} outstanding, {} missing, {} twice or in the wrong order",
                settled.outstanding,
                settled.missing,
                settled.doubled
            );
        }
        Ok(())
    }

    fn accounts(&self) -> anyhow::Result<Accounts> {
        Ok(Accounts {
            edges: Usage::of_all(self.pids.iter().copied())?,
            redis: Usage::default(),
            generator: Usage::of(std::process::id())?,
        })
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let mut addresses = host.to_socket_addrs().context("http://HOST:PORT is wanted")?;
    addresses
        .find(SocketAddr::is_ipv4)
        .context("the host has no IPv4 address")
}

//! The limit that a fan-out cannot beat on the same machine: a Socket.IO server over WebSocket that knows nothing but who
//! follows what. An event becomes one frame, once, and those bytes are written to every socket that follows its stream. There is
//! no log, no Redis, no other server, no recovery, no queue beyond the socket; whoever does not read makes all others wait.
//! One thread, because more would cost processor time to agree.
//!
//! With `--raw` it accepts connections and keeps them, without a word: what a connection costs at the least.

mod connection;
mod frame;
mod message;
mod streams;

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::LocalSet;

use streams::Streams;

const BACKLOG: u32 = 4096;

/// Writes the same frame to every socket that follows a stream.
#[derive(Parser)]
struct Args {
    /// Where to listen, on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Milliseconds between two pings of a socket.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// Milliseconds that a client is told that the answer may take. Nobody is cut off for it.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    /// Accept connections and keep them; nothing else.
    #[arg(long)]
    raw: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    rlimit::increase_nofile_limit(u64::MAX).context("raising the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))?;
    let listener = socket.listen(BACKLOG)?;
    if args.raw {
        return keep(listener).await;
    }
    let streams = Rc::new(Streams::default());
    let interval = Duration::from_millis(args.ping_interval);
    tokio::task::spawn_local(streams.clone().ping(interval));
    let greeting = Rc::new(message::Greeting {
        ping_interval_ms: args.ping_interval,
        ping_timeout_ms: args.ping_timeout,
    });
    loop {
        let (stream, _) = listener.accept().await.context("accepting a connection")?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(connection::serve(stream, streams.clone(), greeting.clone()));
    }
}

/// Everybody who comes stays.
async fn keep(listener: TcpListener) -> anyhow::Result<()> {
    let mut kept = Vec::new();
    loop {
        let (stream, _) = listener.accept().await.context("accepting a connection")?;
        kept.push(stream);
    }
}

//! socketioxide with its Redis adapter, one server of a cluster.
//!
//! A stream is a room. A socket subscribes with `subscribe {stream | streams}`; events come in by `publish {stream, event?,
//! data}` on a socket and go out through the adapter, so that every server of the cluster delivers them. It has no
//! connection state recovery. `GET /readyz` answers. Whatever it is asked, it does in the way that the documentation of
//! socketioxide shows.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;
use socketioxide_redis::drivers::redis::RedisDriver;
use socketioxide_redis::{RedisAdapter, RedisAdapterConfig, RedisAdapterCtr};
use tokio::net::TcpListener;

/// Packets that may wait for a socket, and messages of Redis that may wait for the server. By default 128 and 1,024, beyond
/// which events are dropped, in bursts already that the other servers take. How much a server drops with small buffers is not
/// what is to be shown.
const PACKETS_WAITING_MAX: usize = 10_000;
const MESSAGES_WAITING_MAX: usize = 65_536;

/// Serves Socket.IO on 127.0.0.1.
#[derive(Parser)]
struct Args {
    #[arg(long)]
    port: u16,
    /// `redis://127.0.0.1:6379` or `unix:///path`.
    #[arg(long)]
    redis: String,
    /// Milliseconds between two pings.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// Milliseconds that the answer may take.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
}

#[derive(Deserialize)]
struct Subscribe {
    stream: Option<String>,
    #[serde(default)]
    streams: Vec<String>,
}

#[derive(Deserialize)]
struct Publish {
    stream: String,
    event: Option<String>,
    data: Value,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // The adapter needs RESP3.
    let redis = redis::Client::open(format!("{}?protocol=resp3", args.redis))?;
    let driver = RedisDriver::new(&redis).await.context("connecting to Redis")?;
    let adapter = RedisAdapterCtr::new_with_driver(
        driver,
        RedisAdapterConfig::new().with_stream_buffer(MESSAGES_WAITING_MAX),
    );
    let (layer, io) = SocketIo::builder()
        .ping_interval(Duration::from_millis(args.ping_interval))
        .ping_timeout(Duration::from_millis(args.ping_timeout))
        .max_buffer_size(PACKETS_WAITING_MAX)
        .with_adapter::<RedisAdapter<_>>(adapter)
        .build_layer();
    // In a middleware, which runs before the client is let in: handlers that are set once it is come too late for what it
    // sends at once.
    io.ns("/", (async || {}).with(handlers))
        .await
        .context("announcing the namespace")?;

    let app = Router::new().route("/readyz", get(|| async {})).layer(layer);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address).await?.tap_io(|stream| {
        // A connection that has ended needs no option.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}

async fn handlers<A: Adapter>(socket: SocketRef<A>) -> Result<(), Infallible> {
    socket.on("subscribe", subscribe::<A>);
    socket.on("publish", publish::<A>);
    Ok(())
}

async fn subscribe<A: Adapter>(socket: SocketRef<A>, Data(wanted): Data<Subscribe>, ack: AckSender<A>) {
    let streams: Vec<String> = wanted.streams.into_iter().chain(wanted.stream).collect();
    socket.join(streams);
    // The client may have left.
    let _ = ack.send(&json!({ "ok": true }));
}

async fn publish<A: Adapter>(io: SocketIo<A>, Data(publish): Data<Publish>, ack: AckSender<A>) {
    let event = publish.event.as_deref().unwrap_or("message");
    let emitted = io.to(publish.stream).emit(event, &publish.data).await;
    let answer = match emitted {
        Ok(()) => json!({ "ok": true }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let _ = ack.send(&answer);
}

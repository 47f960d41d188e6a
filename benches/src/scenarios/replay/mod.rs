//! Events out: a whole stream over NDJSON and over a WebSocket, beside a bare `XRANGE` loop.

mod entries;
mod library;
mod ndjson;
mod websocket;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use broker::testing::RedisServer;

use super::median;
use crate::accounts::Accounts;
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::{Cluster, Server, Settings};
use crate::{Size, payload};
use entries::Entries;
use ndjson::Ndjson;
use websocket::WebSocket;

const STREAM: &str = "bench:replay";
const KEY: &str = "weir:{bench:replay}";
/// Entries in one `XRANGE` of the bare loop.
const PAGE: usize = 1_000;
/// Bytes that are read together.
const READ_BYTES: usize = 256 * 1024;
/// Nothing comes for so long: the replay has failed.
const SILENCE: Duration = Duration::from_secs(30);
/// Of so many rounds, in which every way has its turn, the one with the median time counts.
const ROUNDS: usize = 3;

/// What understands what comes.
trait Reader: Send + 'static {
    /// Takes what is whole of `bytes`, and returns how many bytes that was: the rest is presented again with what
    /// follows it. What is to be said now is appended to `out`.
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> anyhow::Result<usize>;
    /// Events that have come.
    fn events(&self) -> u64;
    /// Whether the end of the stream has been told.
    fn is_done(&self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `XRANGE`, page after page, of whose replies as little is read as possible.
    Redis,
    /// The same with the client library that most would use.
    Library,
    Ndjson,
    WebSocket,
}

const WAYS: [Way; 4] = [Way::Redis, Way::Library, Way::Ndjson, Way::WebSocket];

struct Measured {
    took: Duration,
    used: Accounts,
}

/// Measures every way, on the same stream.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (events, rounds) = match size {
        Size::Smoke => (5_000, 1),
        Size::Full => (1_000_000, ROUNDS),
    };
    let redis = RedisServer::start().await;
    fill(&redis, events).await?;
    let settings = Settings {
        edges: 1,
        ..Settings::default()
    };
    let cluster = Cluster::start_behind(Server::Weir, &settings, Some(redis)).await?;
    let mut runs = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (way, runs) in WAYS.iter().zip(&mut runs) {
            let run = run(&cluster, *way, events).await;
            runs.push(run.with_context(|| way.name())?);
        }
    }
    let middle = |runs| median(runs, |run: &Measured| run.took.as_secs_f64());
    let measured: Vec<Measured> = runs.into_iter().filter_map(middle).collect();
    let bare = measured.first().map_or(f64::NAN, |bare| bare.took.as_secs_f64());
    let each = WAYS.iter().zip(&measured);
    Ok(each.map(|(way, run)| way.outcome(run, events, bare)).collect())
}

async fn fill(redis: &RedisServer, events: u64) -> anyhow::Result<()> {
    let mut connection = redis.connection().await;
    let data = payload();
    for _ in 0..events / 1_000 {
        let mut pipe = redis::Pipeline::with_capacity(1_000);
        for _ in 0..1_000 {
            pipe.cmd("XADD").arg(KEY).arg("*").arg("d").arg(&data).ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
    }
    Ok(())
}

async fn run(cluster: &Cluster, way: Way, events: u64) -> anyhow::Result<Measured> {
    let (address, path) = (cluster.addresses()[0], cluster.redis()?.socket());
    let (before, started) = (cluster.accounts()?, Instant::now());
    match way {
        Way::Library => library::read(cluster.redis()?, KEY, PAGE, events).await?,
        _ => tokio::task::spawn_blocking(move || replay(way, address, path, events)).await??,
    }
    Ok(Measured {
        took: started.elapsed(),
        used: cluster.accounts()?.since(&before),
    })
}

/// Reads the whole stream, on a connection of its own.
fn replay(way: Way, edge: SocketAddr, redis: PathBuf, events: u64) -> anyhow::Result<()> {
    let host = edge.to_string();
    if way == Way::Redis {
        let socket = UnixStream::connect(redis)?;
        socket.set_read_timeout(Some(SILENCE))?;
        let mut first = Vec::new();
        let reader = Entries::open(KEY, PAGE, &mut first);
        return read(socket, reader, first, events);
    }
    let socket = TcpStream::connect(edge)?;
    socket.set_read_timeout(Some(SILENCE))?;
    socket.set_nodelay(true)?;
    let mut first = Vec::new();
    match way {
        Way::Ndjson => {
            let reader = Ndjson::open(STREAM, &host, &mut first);
            read(socket, reader, first, events)
        }
        _ => {
            let reader = WebSocket::open(STREAM, &host, &mut first);
            read(socket, reader, first, events)
        }
    }
}

fn read<S: Sized>(socket: S, mut reader: impl Reader, mut out: Vec<u8>, events: u64) -> anyhow::Result<()>
where
    for<'a> &'a S: std::io::Read + std::io::Write,
{
    let (mut bytes, mut held) = (vec![0; 2 * READ_BYTES], 0);
    while !reader.is_done() {
        if !out.is_empty() {
            (&socket).write_all(&out)?;
            out.clear();
        }
        ensure!(
            held < bytes.len(),
            "something is larger than all that is read together"
        );
        let came = (&socket).read(&mut bytes[held..]).context("nothing comes")?;
        if came == 0 {
            bail!("the connection was closed after {} events", reader.events());
        }
        held += came;
        let taken = reader.feed(&bytes[..held], &mut out)?;
        bytes.copy_within(taken..held, 0);
        held -= taken;
    }
    let seen = reader.events();
    ensure!(seen == events, "{seen} of {events} events came");
    Ok(())
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Redis => "bare XRANGE loop",
            Self::Library => "XRANGE loop with redis-rs",
            Self::Ndjson => "HTTP, NDJSON",
            Self::WebSocket => "WebSocket /v1/ws",
        }
    }

    fn outcome(self, run: &Measured, events: u64, bare_seconds: f64) -> Outcome {
        let (server, version) = match self {
            Self::Redis | Self::Library => ("Redis", "7"),
            _ => (Server::Weir.name(), env!("CARGO_PKG_VERSION")),
        };
        let (took, used) = (run.took.as_secs_f64(), &run.used);
        let outcome = Outcome::new("replay", server, version, self.name())
            .plot("events per second", events as f64 / took, Unit::PerSecond)
            .value("events", events as f64, Unit::Count)
            .value("time", took, Unit::Seconds)
            .cpu("edge CPU per event", &used.edges, events)
            .cpu("Redis CPU per event", &used.redis, events)
            .cpu("reader CPU per event", &used.generator, events);
        match self {
            Self::Redis | Self::Library => outcome,
            _ => outcome.judge(Judgment::at_least("of the XRANGE loop", bare_seconds / took, 0.5)),
        }
    }
}

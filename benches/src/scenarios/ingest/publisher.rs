//! The load: connections that each keep so many events under way, on one thread of their own.
//!
//! It does as little as it can: requests are made once, answers are only counted, what may be sent together is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::dialect::Dialect;

/// Bytes that are read together.
const READ_BYTES: usize = 64 * 1024;
/// How long connecting, and the last answers, may take.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
/// Longer ones count as this.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Where to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What to do.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) dialect: Dialect,
    pub(super) connections: usize,
    /// Events under way on each connection.
    pub(super) depth: usize,
    /// The connections publish to these in turns.
    pub(super) streams: usize,
}

/// What has been acknowledged.
#[derive(Debug)]
pub(super) struct Answered {
    /// All of it.
    pub(super) all: u64,
    /// Between [`Load::begin`] and [`Load::stop`].
    pub(super) measured: u64,
    /// Of those: how long after they were sent.
    pub(super) latency_us: Histogram<u64>,
}

/// What everybody in a run sees.
#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    connected: AtomicUsize,
    answered: AtomicU64,
    /// At [`Load::begin`].
    before: AtomicU64,
}

/// Before, the load warms up.
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// A running load.
pub(super) struct Load {
    shared: Arc<Shared>,
    connections: usize,
    thread: JoinHandle<anyhow::Result<Histogram<u64>>>,
}

/// Starts connecting; every connection publishes as soon as it stands.
pub(super) fn start(plan: Plan) -> Load {
    let shared = Arc::new(Shared::default());
    let (for_thread, connections) = (shared.clone(), plan.connections);
    let thread = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(publish_all(plan, for_thread))
    });
    Load {
        shared,
        connections,
        thread,
    }
}

impl Load {
    /// Waits until all connections publish.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.shared.connected.load(Ordering::Relaxed) < self.connections && !self.thread.is_finished() {
            ensure!(
                Instant::now() < deadline,
                "the server does not take all connections"
            );
            tokio::time::sleep(POLL).await;
        }
        // If the thread has ended, `stop` tells why.
        Ok(())
    }

    /// What is acknowledged from now on counts.
    pub(super) fn begin(&self) -> Instant {
        let answered = self.shared.answered.load(Ordering::Relaxed);
        self.shared.before.store(answered, Ordering::Relaxed);
        self.shared.phase.store(MEASURING, Ordering::Relaxed);
        Instant::now()
    }

    /// Nothing more is sent. Returns when everything is acknowledged.
    pub(super) async fn stop(self) -> anyhow::Result<Answered> {
        let answered = self.shared.answered.load(Ordering::Relaxed);
        self.shared.phase.store(STOPPING, Ordering::Relaxed);
        let latency_us = tokio::time::timeout(PATIENCE, self.thread)
            .await
            .context("the last events are not acknowledged")???;
        Ok(Answered {
            all: self.shared.answered.load(Ordering::Relaxed),
            measured: answered - self.shared.before.load(Ordering::Relaxed),
            latency_us,
        })
    }
}

async fn publish_all(plan: Plan, shared: Arc<Shared>) -> anyhow::Result<Histogram<u64>> {
    let mut connections = JoinSet::new();
    for number in 0..plan.connections {
        let (plan, shared, stream) = (plan.clone(), shared.clone(), number % plan.streams);
        connections.spawn(async move {
            match &plan.target {
                Target::Unix(path) => {
                    let socket = UnixStream::connect(path).await?;
                    publish(socket, &plan, stream, "localhost", &shared).await
                }
                Target::Tcp(address) => {
                    let socket = TcpStream::connect(address).await?;
                    socket.set_nodelay(true)?;
                    publish(socket, &plan, stream, &address.to_string(), &shared).await
                }
            }
        });
    }
    let mut latency_us = latencies();
    while let Some(ended) = connections.join_next().await {
        latency_us.add(ended??)?;
    }
    Ok(latency_us)
}

/// Publishes on one connection until the run stops; returns how long after they were sent events were acknowledged.
async fn publish<S>(
    mut socket: S,
    plan: &Plan,
    stream: usize,
    host: &str,
    shared: &Shared,
) -> anyhow::Result<Histogram<u64>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (dialect, depth) = (plan.dialect, plan.depth);
    dialect.begin(&mut socket, stream, host).await?;
    shared.connected.fetch_add(1, Ordering::Relaxed);
    let request = dialect.request(stream, host);
    let requests = request.repeat(depth);
    let (mut out, mut read) = (Vec::new(), vec![0; READ_BYTES]);
    let mut latency_us = latencies();
    // When they were sent, and how many at that time.
    let mut under_way: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut free = depth;
    while shared.phase.load(Ordering::Relaxed) != STOPPING || free < depth {
        if free > 0 && shared.phase.load(Ordering::Relaxed) != STOPPING {
            out.clear();
            dialect.wrap(&requests[..free * request.len()], &mut out);
            under_way.push_back((Instant::now(), free));
            socket.write_all(&out).await?;
            free = 0;
        }
        let came = socket.read(&mut read).await?;
        ensure!(came > 0, "the server has closed a connection");
        let answers = dialect.answers(&read[..came])?;
        if answers == 0 {
            continue;
        }
        free += answers;
        shared.answered.fetch_add(answers as u64, Ordering::Relaxed);
        let measuring = shared.phase.load(Ordering::Relaxed) == MEASURING;
        let now = Instant::now();
        let mut left = answers;
        while let (Some((sent, count)), true) = (under_way.front_mut(), left > 0) {
            let answered = left.min(*count);
            if measuring {
                let late_us = now.duration_since(*sent).as_micros() as u64;
                latency_us.saturating_record_n(late_us, answered as u64);
            }
            *count -= answered;
            left -= answered;
            if *count == 0 {
                under_way.pop_front();
            }
        }
        ensure!(left == 0, "more answers than events");
    }
    Ok(latency_us)
}

fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).unwrap_or_else(|_| unreachable!("the bounds are valid"))
}

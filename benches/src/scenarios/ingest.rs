//! Events in: NDJSON over HTTP with an answer per line, against `redis-benchmark` with pipelined `XADD` of the same
//! payload.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use broker::testing::RedisServer;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::report::Row;
use crate::results::{Judgment, Outcome};
use crate::servers::{Cluster, Server, Settings, client, redis_cpu};
use crate::{Size, payload};

/// Lines in one piece of a request body.
const LINES_PER_CHUNK: usize = 256;
/// Requests, or connections, at the same time; each has a stream of its own.
const CONNECTIONS: usize = 4;
/// Depth of redis-benchmark's pipeline.
const PIPELINE: usize = 256;

/// Measures the peer, then the edge.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let events = match size {
        Size::Smoke => 4_096,
        Size::Full => 1_024 * 1_024,
    };
    let peer = redis_benchmark(events).await?;
    let mut row = http(events).await?;
    row.judgment = Some(Judgment::at_least(
        "of redis-benchmark",
        row.rate() / peer.rate(),
        0.5,
    ));
    Ok(vec![peer.outcome("ingest"), row.outcome("ingest")])
}

async fn redis_benchmark(events: u64) -> anyhow::Result<Row> {
    let redis = RedisServer::start().await;
    let (cpu, started) = (redis_cpu(&redis)?, Instant::now());
    let mut command = Command::new("redis-benchmark");
    command.arg("-s").arg(redis.socket());
    command.args(["-q", "-c", &CONNECTIONS.to_string(), "-P", &PIPELINE.to_string()]);
    command.args(["-n", &events.to_string(), "-r", &CONNECTIONS.to_string()]);
    command
        .args(["XADD", "weir:{bench:__rand_int__}", "*", "d"])
        .arg(String::from_utf8(payload())?);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("redis-benchmark")?;
    ensure!(
        output.status.success(),
        "redis-benchmark failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Row {
        what: format!("redis-benchmark XADD, {CONNECTIONS} connections, pipeline of {PIPELINE}"),
        events,
        took: started.elapsed(),
        redis_cpu: redis_cpu(&redis)? - cpu,
        edge_cpu: Duration::ZERO,
        judgment: None,
    })
}

async fn http(events: u64) -> anyhow::Result<Row> {
    let settings = Settings {
        edges: 1,
        ..Settings::default()
    };
    let cluster = Cluster::start(Server::Weir, &settings).await?;
    let address = cluster.addresses()[0];
    let each = events / CONNECTIONS as u64;
    let (before, started) = (cluster.accounts()?, Instant::now());
    let requests: Vec<_> = (0..CONNECTIONS)
        .map(|n| tokio::spawn(post(format!("http://{address}/v1/streams/bench:{n}"), each)))
        .collect();
    for request in requests {
        tokio::time::timeout(Duration::from_secs(300), request).await???;
    }
    let used = cluster.accounts()?.since(&before);
    Ok(Row {
        what: format!("HTTP NDJSON, {CONNECTIONS} requests"),
        events: each * CONNECTIONS as u64,
        took: started.elapsed(),
        redis_cpu: used.redis.cpu,
        edge_cpu: used.edges.cpu,
        judgment: None,
    })
}

/// Sends `events` lines in one request and counts the answers, each of which must be an acknowledgement.
async fn post(url: String, events: u64) -> anyhow::Result<()> {
    let line = [b"{\"data\":", payload().as_slice(), b"}\n"].concat();
    let chunk = Bytes::from(line.repeat(LINES_PER_CHUNK));
    let chunks = (0..events / LINES_PER_CHUNK as u64).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = client()
        .post(url)
        .header("content-type", "application/x-ndjson")
        .body(body);
    let response = request.send().await?.error_for_status()?;
    let (mut answers, mut body) = (0, response.bytes_stream());
    while let Some(bytes) = body.next().await {
        let bytes = bytes?;
        ensure!(
            memchr::memmem::find(&bytes, b"\"error\"").is_none(),
            "an append failed: {bytes:?}"
        );
        answers += memchr::memchr_iter(b'\n', &bytes).count() as u64;
    }
    ensure!(answers == events, "{answers} answers to {events} lines");
    Ok(())
}

//! Events out: a whole stream over NDJSON, against a bare `XRANGE` loop in Rust.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use broker::testing::RedisServer;
use futures_util::StreamExt;
use redis::Value;

use crate::report::Row;
use crate::results::{Judgment, Outcome};
use crate::servers::{Cluster, Server, Settings, client, redis_cpu};
use crate::{Size, payload};

const KEY: &str = "weir:{bench:replay}";
/// Entries in one `XRANGE` of the bare loop.
const PAGE: usize = 1_000;

/// Measures the loop, then the edge, on the same stream.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let events = match size {
        Size::Smoke => 5_000,
        Size::Full => 1_000_000,
    };
    let redis = RedisServer::start().await;
    fill(&redis, events).await?;
    let peer = xrange_loop(&redis, events).await?;
    let mut row = http(redis, events).await?;
    row.judgment = Some(Judgment::at_least(
        "of the XRANGE loop",
        row.rate() / peer.rate(),
        0.5,
    ));
    Ok(vec![peer.outcome("replay"), row.outcome("replay")])
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

async fn xrange_loop(redis: &RedisServer, events: u64) -> anyhow::Result<Row> {
    let mut connection = redis.connection().await;
    let (cpu, started) = (redis_cpu(redis)?, Instant::now());
    let (mut from, mut seen) = ("-".to_owned(), 0);
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg(KEY).arg(&from).arg("+").arg("COUNT").arg(PAGE);
        let Value::Array(entries) = command.query_async(&mut connection).await? else {
            anyhow::bail!("XRANGE answered with something else than an array")
        };
        let Some(Value::Array(last)) = entries.last() else {
            break;
        };
        let Some(Value::BulkString(id)) = last.first() else {
            anyhow::bail!("an entry without an ID")
        };
        from = format!("({}", String::from_utf8_lossy(id));
        seen += entries.len() as u64;
    }
    ensure!(seen == events, "{seen} of {events} entries read");
    Ok(Row {
        what: "bare XRANGE loop".into(),
        events,
        took: started.elapsed(),
        redis_cpu: redis_cpu(redis)? - cpu,
        edge_cpu: Duration::ZERO,
        judgment: None,
    })
}

async fn http(redis: RedisServer, events: u64) -> anyhow::Result<Row> {
    let settings = Settings {
        edges: 1,
        ..Settings::default()
    };
    let cluster = Cluster::start_behind(Server::Weir, &settings, Some(redis)).await?;
    let address = cluster.addresses()[0];
    let (before, started) = (cluster.accounts()?, Instant::now());
    let url = format!("http://{address}/v1/streams/bench:replay?from=start");
    let request = client().get(url).header("accept", "application/x-ndjson");
    let mut body = request.send().await?.error_for_status()?.bytes_stream();
    // The stream's events, then the line that says that this was all; blank lines are heartbeats.
    let (mut seen, mut blank, mut at_start) = (0, 0, true);
    while seen <= events {
        let bytes = body.next().await.context("the tail ended early")??;
        for end in memchr::memchr_iter(b'\n', &bytes) {
            let empty = if end == 0 {
                at_start
            } else {
                bytes[end - 1] == b'\n'
            };
            if empty { blank += 1 } else { seen += 1 }
        }
        at_start = bytes.last() == Some(&b'\n');
        let lost = memchr::memmem::find(&bytes, b"\"control\":\"gap\"").is_some();
        ensure!(!lost, "the replay has a gap");
    }
    ensure!(blank < 100, "{blank} heartbeats in a replay");
    let used = cluster.accounts()?.since(&before);
    Ok(Row {
        what: "HTTP NDJSON".into(),
        events,
        took: started.elapsed(),
        redis_cpu: used.redis.cpu,
        edge_cpu: used.edges.cpu,
        judgment: None,
    })
}

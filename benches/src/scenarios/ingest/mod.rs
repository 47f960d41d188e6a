//! Events in, each with its acknowledgement, beside raw pipelined `XADD`: the same number of connections, each with
//! the same number of events under way.

mod dialect;
mod publisher;

use std::time::Duration;

use anyhow::{Context, ensure};
use broker::testing::RedisServer;

use super::median;
use crate::Size;
use crate::accounts::{Accounts, Usage};
use crate::results::{Judgment, Outcome, Unit};
use crate::servers::{Cluster, Server, Settings};
use dialect::Dialect;
use publisher::{Answered, Plan, Target};

/// Weir is measured at its own speed, not at the limit that it sets for one WebSocket.
const NO_LIMIT: &str = "ws.frames_per_second = 10000000\n";
/// In so many rounds every way has its turn. What is reported is the run with the median rate, and it is judged by the median of the
/// ratios of each round: the machine's speed changes, within a round less than over all of them.
const ROUNDS: usize = 5;

/// Connections, events under way on each, and how many streams they publish to.
struct Variant {
    connections: usize,
    depth: usize,
    streams: usize,
    ways: &'static [Way],
}

/// A server and how one speaks with it.
type Way = (Option<Server>, Dialect);

/// Pipelined `XADD`.
const RAW: Way = (None, Dialect::Redis);
const NDJSON: Way = (Some(Server::Weir), Dialect::Ndjson);
const POST: Way = (Some(Server::Weir), Dialect::Post);
const WEB_SOCKET: Way = (Some(Server::Weir), Dialect::WebSocket);
const SOCKET_IO: Way = (Some(Server::Weir), Dialect::SocketIo);
const NODE: Way = (Some(Server::NodeStreams), Dialect::SocketIo);
/// Reads and acknowledges, and stores nothing: where there are many connections, what they alone cost.
const BARE: Way = (Some(Server::Bare), Dialect::SocketIo);

const VARIANTS: [Variant; 4] = [
    Variant {
        connections: 4,
        depth: 256,
        streams: 4,
        ways: &[RAW, BARE, NDJSON, WEB_SOCKET, SOCKET_IO],
    },
    Variant {
        connections: 100,
        depth: 10,
        streams: 100,
        ways: &[RAW, BARE, NDJSON, WEB_SOCKET, SOCKET_IO, NODE],
    },
    Variant {
        connections: 100,
        depth: 10,
        streams: 1,
        ways: &[RAW, BARE, NDJSON, WEB_SOCKET, SOCKET_IO],
    },
    Variant {
        connections: 100,
        depth: 1,
        streams: 100,
        ways: &[RAW, BARE, POST, WEB_SOCKET],
    },
];

/// What one run has measured.
struct Measured {
    answered: Answered,
    took: Duration,
    used: Accounts,
}

/// Measures every way of every variant.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (rounds, warm_up, time) = match size {
        Size::Smoke => (1, Duration::from_millis(50), Duration::from_millis(200)),
        Size::Full => (ROUNDS, Duration::from_millis(500), Duration::from_secs(2)),
    };
    let mut outcomes = Vec::new();
    for variant in &VARIANTS {
        let mut runs: Vec<Vec<Measured>> = variant.ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (way, runs) in variant.ways.iter().zip(&mut runs) {
                let run = run(variant, *way, warm_up, time).await;
                runs.push(run.with_context(|| format!("{}, {}", name(*way), variant.text()))?);
            }
        }
        debug_assert_eq!(variant.ways.first(), Some(&RAW));
        let raw: Vec<f64> = runs[0].iter().map(Measured::rate).collect();
        for (way, runs) in variant.ways.iter().zip(runs) {
            let ratios = runs.iter().zip(&raw).map(|(run, raw)| run.rate() / raw);
            let ratio = median(ratios.collect(), |ratio| *ratio).unwrap_or(f64::NAN);
            if let Some(measured) = median(runs, Measured::rate) {
                outcomes.push(outcome(variant, *way, &measured, ratio)?);
            }
        }
    }
    Ok(outcomes)
}

async fn run(variant: &Variant, way: Way, warm_up: Duration, time: Duration) -> anyhow::Result<Measured> {
    let (server, dialect) = way;
    let Some(server) = server else {
        let redis = RedisServer::start().await;
        let target = Target::Unix(redis.socket());
        let accounts = || {
            Ok(Accounts {
                redis: Usage::of(redis.pid().context("redis-server is not running")?)?,
                generator: Usage::of(std::process::id())?,
                ..Accounts::default()
            })
        };
        let measured = publish(variant, dialect, target, (warm_up, time), accounts).await?;
        check(&redis, variant, &measured).await?;
        return Ok(measured);
    };
    let settings = Settings {
        edges: 1,
        weir: NO_LIMIT.to_owned(),
        ..Settings::default()
    };
    let cluster = Cluster::start(server, &settings).await?;
    let target = Target::Tcp(cluster.addresses()[0]);
    let times = (warm_up, time);
    let measured = publish(variant, dialect, target, times, || cluster.accounts()).await?;
    if server == Server::Weir {
        check(cluster.redis()?, variant, &measured).await?;
    }
    Ok(measured)
}

async fn publish(
    variant: &Variant,
    dialect: Dialect,
    target: Target,
    (warm_up, time): (Duration, Duration),
    accounts: impl Fn() -> anyhow::Result<Accounts>,
) -> anyhow::Result<Measured> {
    let plan = Plan {
        target,
        dialect,
        connections: variant.connections,
        depth: variant.depth,
        streams: variant.streams,
    };
    let load = publisher::start(plan);
    load.ready().await?;
    tokio::time::sleep(warm_up).await;
    let before = accounts()?;
    let started = load.begin();
    tokio::time::sleep(time).await;
    let used = accounts()?.since(&before);
    let took = started.elapsed();
    let answered = load.stop().await?;
    Ok(Measured { answered, took, used })
}

/// What was acknowledged is in the log, and nothing else.
async fn check(redis: &RedisServer, variant: &Variant, measured: &Measured) -> anyhow::Result<()> {
    let mut connection = redis.connection().await;
    let mut stored = 0;
    for stream in 0..variant.streams {
        let length = redis::cmd("XLEN").arg(dialect::key(stream)).take();
        stored += length.query_async::<u64>(&mut connection).await?;
    }
    let acknowledged = measured.answered.all;
    ensure!(
        stored == acknowledged,
        "{acknowledged} events were acknowledged, {stored} are in the log"
    );
    Ok(())
}

fn name((server, dialect): Way) -> String {
    let server = server.map_or("Redis", Server::name);
    format!("{server}, {}", dialect.name())
}

/// `ratio`: how its rate compares with that of pipelined `XADD`.
fn outcome(variant: &Variant, way: Way, measured: &Measured, ratio: f64) -> anyhow::Result<Outcome> {
    let (events, used) = (measured.answered.measured, &measured.used);
    let latency_ms = |quantile| measured.answered.latency_us.value_at_quantile(quantile) as f64 / 1e3;
    let (server, version) = match way.0 {
        None => ("Redis", "7".to_owned()),
        Some(server) => (server.name(), server.version()?),
    };
    let outcome = Outcome::new(
        "ingest",
        server,
        version,
        format!("{}: {}", way.1.name(), variant.text()),
    )
    .plot("acknowledged per second", measured.rate(), Unit::PerSecond)
    .cpu("edge CPU per event", &used.edges, events)
    .cpu("Redis CPU per event", &used.redis, events)
    .cpu("generator CPU per event", &used.generator, events)
    .value("acknowledged after, p50", latency_ms(0.5), Unit::Milliseconds)
    .value("acknowledged after, p99", latency_ms(0.99), Unit::Milliseconds);
    Ok(match way.0 {
        None => outcome,
        Some(Server::Weir) => outcome.judge(Judgment::at_least("of pipelined XADD", ratio, 0.7)),
        Some(Server::Bare) => outcome.note("a limit: reads and acknowledges, and stores nothing"),
        Some(_) => outcome.note("acknowledges an event before it is stored: the adapter does not tell"),
    })
}

impl Variant {
    fn text(&self) -> String {
        let streams = match self.streams {
            1 => "one stream".to_owned(),
            streams => format!("{streams} streams"),
        };
        format!(
            "{} connections, {} under way on each, {streams}",
            self.connections, self.depth
        )
    }
}

impl Measured {
    /// Acknowledgements per second.
    fn rate(&self) -> f64 {
        self.answered.measured as f64 / self.took.as_secs_f64()
    }
}

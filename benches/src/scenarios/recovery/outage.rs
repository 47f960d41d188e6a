//! One outage: Redis goes away under subscribers and publishers, stays away for a while, and comes back.

use std::time::{Duration, Instant};

use anyhow::Context;
use broker::testing::RedisServer;
use tokio::sync::watch;
use tokio::time::sleep;

use super::publishers::{Publishers, Told};
use super::sequences;
use super::subscribers::{Received, Subscribers};
use super::{Fault, Scale};
use crate::accounts::Accounts;
use crate::load::payload::{self, Stamp};
use crate::scenarios::commands::Commands;
use crate::servers::{Cluster, Server, Settings};

/// How often Redis is asked for its clients.
const SAMPLE: Duration = Duration::from_millis(50);
/// What Redis acknowledges is in its file before, so that it is there after it was killed.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// What an outage was like.
#[derive(Debug)]
pub(super) struct Outage {
    /// When Redis answered again.
    pub(super) back: Instant,
    pub(super) received: Received,
    pub(super) told: Told,
    /// From Redis' answer until all subscribers were live.
    pub(super) used: Accounts,
    pub(super) commands: Commands,
    /// In a second, before anything went wrong.
    pub(super) commands_before: f64,
    /// The most connections that Redis had after its return.
    pub(super) clients_peak: u64,
    /// Connections of subscribers that ended, or could not be opened, from the beginning of the fault on.
    pub(super) ended: usize,
}

pub(super) async fn run(fault: Fault, scale: &Scale) -> anyhow::Result<Outage> {
    let redis = RedisServer::start_with_args(&DURABLE).await;
    let mut cluster = Cluster::start_behind(Server::Weir, &Settings::default(), Some(redis)).await?;
    let edges = cluster.addresses();
    let streams: Vec<String> = (0..=scale.streams)
        .map(|stream| format!("bench:recovery:{stream}"))
        .collect();
    let publishers = Publishers::start(&streams, &edges, scale.rate);
    let subscribers = Subscribers::start(scale.subscribers, &streams, &edges)?;
    subscribers.begun().await?;
    let before = Commands::of(cluster.redis()?).await?;
    sleep(scale.steady).await;
    let steady = Commands::of(cluster.redis()?).await?.since(&before);
    cluster.forget_peaks()?;
    let ended = subscribers.ended();

    fault.begin(&mut cluster).await?;
    if fault.kills_edges() {
        subscribers.cut_off().await?;
    }
    sleep(scale.away).await;
    let (commands, accounts, back) = fault.end(&cluster).await?;
    publishers.returned(back);
    let sampling = Sampling::start(cluster.redis()?.url());
    publish_marks(cluster.redis()?, &streams).await?;
    if fault.kills_edges() {
        cluster.start_again(&edges).await?;
    }
    subscribers.marked().await?;

    let used = cluster.accounts()?.since(&accounts);
    let commands = Commands::of(cluster.redis()?).await?.since(&commands);
    let clients_peak = sampling.stop().await?;
    let ended = subscribers.ended() - ended;
    sleep(scale.after).await;
    let (totals, told) = publishers.stop().await?;
    let received = subscribers.finish(totals).await?;
    Ok(Outage {
        back,
        received,
        told,
        used,
        commands,
        commands_before: steady.all() as f64 / scale.steady.as_secs_f64(),
        clients_peak,
        ended,
    })
}

impl Fault {
    async fn begin(self, cluster: &mut Cluster) -> anyhow::Result<()> {
        match self {
            Self::Paused => cluster.redis()?.pause(),
            Self::Killed | Self::AllKilled => cluster.redis()?.kill(),
        }
        while self.kills_edges() && !cluster.addresses().is_empty() {
            cluster.kill(0);
        }
        Ok(())
    }

    /// Brings Redis back. Returns what had been done and used at the moment of its first answer, and that moment.
    async fn end(self, cluster: &Cluster) -> anyhow::Result<(Commands, Accounts, Instant)> {
        let redis = cluster.redis()?;
        match self {
            Self::Paused => redis.resume(),
            Self::Killed | Self::AllKilled => {
                // Half a transaction at the end of the file is a fault of its own.
                redis.lose_end_of_file(0)?;
                redis.restart().await;
            }
        }
        let answered = async {
            redis::cmd("PING")
                .query_async::<()>(&mut redis.connection().await)
                .await
        };
        answered.await.context("Redis is back")?;
        let back = Instant::now();
        Ok((Commands::of(redis).await?, cluster.accounts()?, back))
    }
}

/// Publishes one more event to every stream, as a back end does: whoever has it has everything before it.
async fn publish_marks(redis: &RedisServer, streams: &[String]) -> anyhow::Result<()> {
    let mut pipe = redis::Pipeline::with_capacity(streams.len());
    for (stream, name) in streams.iter().enumerate() {
        let (mut data, number) = (Vec::new(), sequences::mark(stream));
        payload::write(&mut data, Stamp { due_us: 0, number });
        pipe.cmd("XADD")
            .arg(format!("weir:{{{name}}}"))
            .arg("*")
            .arg("d")
            .arg(data)
            .ignore();
    }
    pipe.query_async::<()>(&mut redis.connection().await)
        .await
        .context("publishing marks")
}

/// Looks again and again how many connections Redis has.
struct Sampling {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<anyhow::Result<u64>>,
}

impl Sampling {
    fn start(url: String) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let client = redis::Client::open(url)?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            let mut peak = 0;
            while !*stopped.borrow_and_update() {
                let info: String = redis::cmd("INFO")
                    .arg("clients")
                    .query_async(&mut connection)
                    .await?;
                let clients = info
                    .lines()
                    .find_map(|line| line.strip_prefix("connected_clients:"));
                // This one is not counted.
                let clients = clients.context("INFO clients")?.trim().parse::<u64>()? - 1;
                peak = peak.max(clients);
                let _ = tokio::time::timeout(SAMPLE, stopped.changed()).await;
            }
            Ok(peak)
        });
        Self { stop, task }
    }

    async fn stop(self) -> anyhow::Result<u64> {
        self.stop.send_replace(true);
        self.task.await?
    }
}

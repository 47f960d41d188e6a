//! One storm: clients follow, are cut off, miss events, and all come back at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use broker::testing::RedisServer;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Variant;
use super::seen::{Counts, Seen};
use crate::accounts::Accounts;
use crate::load::payload::{self, Stamp};
use crate::scenarios::commands::Commands;
use crate::scenarios::follower::{Follower, Line};
use crate::servers::{Cluster, Server, Settings, client as http};

/// Clients that open their first connection at the same time.
const OPENING_MAX: usize = 100;
/// How long all clients may take to follow their streams, and servers to take note that they are gone.
const PREPARATION: Duration = Duration::from_secs(60);
/// How long a storm may last.
const STORM_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);
/// Commands in one pipeline.
const PIPELINE: usize = 1_000;

/// What a storm was like.
#[derive(Debug)]
pub(super) struct Storm {
    /// From the moment at which all come back until half of them, and until the last one, had everything that came.
    pub(super) half_after: Duration,
    pub(super) last_after: Duration,
    pub(super) counts: Counts,
    pub(super) used: Accounts,
    /// Commands that Redis has carried out meanwhile.
    pub(super) commands: Commands,
}

type Client = Follower<Seen>;

/// A client that has everything, or has waited in vain.
struct Back {
    client: Client,
    /// When the last event came.
    last: Instant,
}

pub(super) async fn run(variant: &Variant) -> anyhow::Result<Storm> {
    let mut cluster = Cluster::start(variant.server, &Settings::default()).await?;
    let addresses = cluster.addresses();
    let (first, then) = if variant.kills {
        // All of them on the one that is killed.
        (vec![addresses[0]], vec![addresses[1]])
    } else {
        (addresses.clone(), addresses.iter().rev().copied().collect())
    };
    let clients = follow(&mut cluster, variant, &first).await?;
    let publishing = publish(&cluster, variant, 1..=variant.events).await;
    publishing.context("publishing what they miss")?;
    if variant.server == Server::NodeStreams && !variant.kills {
        sessions_are_stored(cluster.redis()?, clients.len()).await?;
    }
    let commands = Commands::of(cluster.redis()?).await?;
    cluster.forget_peaks()?;
    let before = cluster.accounts()?;
    let started = Instant::now();
    let mut back = come_back(clients, variant, &then).await?;
    let used = cluster.accounts()?.since(&before);
    let commands = Commands::of(cluster.redis()?).await?.since(&commands);
    let mut counts = Counts::default();
    back.iter().for_each(|back| counts.add(Counts::of(&back.client)));
    back.sort_by_key(|back| back.last);
    let after = |back: Option<&Back>| back.map_or(Duration::ZERO, |back| back.last.duration_since(started));
    Ok(Storm {
        half_after: after(back.get(back.len() / 2)),
        last_after: after(back.last()),
        counts,
        used,
        commands,
    })
}

/// Lets all clients follow their streams and get event 0, without which the clients of some servers cannot be recovered.
/// Then all connections end at once, or their server does.
async fn follow(
    cluster: &mut Cluster,
    variant: &Variant,
    addresses: &[SocketAddr],
) -> anyhow::Result<Vec<Client>> {
    let (following, opening) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Semaphore::new(OPENING_MAX)),
    );
    let (cut, killed) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(AtomicBool::new(false)),
    );
    let ready = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..variant.clients {
        let streams = vec![variant.stream(number)];
        let mut client = Client::new(variant.dialect, streams, Seen::none_of(variant.events));
        let address = addresses[number % addresses.len()];
        let (following, ready, opening) = (following.clone(), ready.clone(), opening.clone());
        let (cut, killed) = (cut.clone(), killed.clone());
        tasks.spawn(async move {
            let cut = cut.notified();
            tokio::pin!(cut);
            cut.as_mut().enable();
            let mut permit = Some(opening.acquire().await?);
            let mut line = Line::open(&mut client, address).await?;
            let (mut follows, mut has) = (false, false);
            loop {
                tokio::select! {
                    stepped = line.step() => match stepped {
                        Err(_) if killed.load(Ordering::Relaxed) => break,
                        stepped => stepped?,
                    },
                    () = cut.as_mut() => break,
                }
                if line.client.follows() && !std::mem::replace(&mut follows, true) {
                    permit = None;
                    following.fetch_add(1, Ordering::Relaxed);
                }
                if line.client.tally.different() > 0 && !std::mem::replace(&mut has, true) {
                    ready.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(permit);
            anyhow::Ok(client)
        });
    }
    until_all(&following, variant.clients, &mut tasks, "follow").await?;
    publish(cluster, variant, 0..=0)
        .await
        .context("publishing the first event")?;
    until_all(&ready, variant.clients, &mut tasks, "get the first event").await?;
    if variant.kills {
        killed.store(true, Ordering::Relaxed);
        cluster.kill(0);
    }
    cut.notify_waiters();
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

async fn until_all(
    count: &AtomicUsize,
    all: usize,
    tasks: &mut JoinSet<anyhow::Result<Client>>,
    what: &str,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PREPARATION;
    while count.load(Ordering::Relaxed) < all {
        if let Some(ended) = tasks.try_join_next() {
            ended?.with_context(|| format!("a client that is to {what}"))?;
        }
        let so_far = count.load(Ordering::Relaxed);
        ensure!(Instant::now() < deadline, "{so_far} of {all} clients {what}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// All come back, and stay until they have everything, or until nothing comes to anybody any more.
async fn come_back(
    clients: Vec<Client>,
    variant: &Variant,
    addresses: &[SocketAddr],
) -> anyhow::Result<Vec<Back>> {
    let all = variant.events + 1;
    let came = Arc::new(AtomicUsize::new(0));
    let (ended, _) = tokio::sync::watch::channel(false);
    let mut tasks = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let (address, came) = (addresses[number % addresses.len()], came.clone());
        let mut ended = ended.subscribe();
        tasks.spawn(async move {
            let mut last = Instant::now();
            let mut line = Line::open(&mut client, address).await?;
            while line.client.tally.different() < all {
                let before = line.client.tally.different();
                tokio::select! {
                    stepped = line.step() => stepped?,
                    _ = ended.changed() => break,
                }
                let new = line.client.tally.different() - before;
                if new > 0 {
                    last = Instant::now();
                    came.fetch_add(new, Ordering::Relaxed);
                }
            }
            // What comes twice would come now.
            line.drain().await?;
            anyhow::Ok(Back { client, last })
        });
    }
    let deadline = Instant::now() + STORM_MAX;
    let (mut seen, mut moved, mut back) = (0, Instant::now(), Vec::new());
    while !tasks.is_empty() {
        if let Ok(Some(joined)) = tokio::time::timeout(POLL, tasks.join_next()).await {
            back.push(joined??);
        }
        let now = came.load(Ordering::Relaxed);
        if now != seen {
            (seen, moved) = (now, Instant::now());
        }
        if moved.elapsed() > variant.silence || Instant::now() > deadline {
            ended.send_replace(true);
        }
    }
    Ok(back)
}

/// Publishes events of these numbers to every stream: as a back end does it on Weir, over HTTP elsewhere.
async fn publish(
    cluster: &Cluster,
    variant: &Variant,
    numbers: std::ops::RangeInclusive<usize>,
) -> anyhow::Result<()> {
    let data = |number: usize| {
        let mut data = Vec::new();
        payload::write(
            &mut data,
            Stamp {
                due_us: 0,
                number: number as u64,
            },
        );
        data
    };
    let streams = variant.streams();
    if variant.server == Server::Weir {
        let mut connection = cluster.redis()?.connection().await;
        let mut pipe = redis::Pipeline::with_capacity(PIPELINE);
        for number in numbers {
            for stream in 0..streams {
                let key = format!("weir:{{{}}}", variant.stream(stream));
                pipe.cmd("XADD")
                    .arg(key)
                    .arg("*")
                    .arg("d")
                    .arg(data(number))
                    .ignore();
                if pipe.len() == PIPELINE {
                    pipe.query_async::<()>(&mut connection).await?;
                    pipe.clear();
                }
            }
        }
        if !pipe.is_empty() {
            pipe.query_async::<()>(&mut connection).await?;
        }
        return Ok(());
    }
    let address = *cluster.addresses().last().context("no server")?;
    for stream in 0..streams {
        let lines = numbers.clone().flat_map(|number| {
            let line: [&[u8]; 3] = [b"{\"data\":", &data(number), b"}\n"];
            line.concat()
        });
        let request = http()
            .post(format!("http://{address}/v1/streams/{}", variant.stream(stream)))
            .header("content-type", "application/x-ndjson")
            .body(lines.collect::<Vec<u8>>());
        request.send().await?.error_for_status()?.bytes().await?;
    }
    Ok(())
}

/// Waits until the Node.js servers have stored the sessions of clients that are gone.
async fn sessions_are_stored(redis: &RedisServer, clients: usize) -> anyhow::Result<()> {
    let mut connection = redis.connection().await;
    let deadline = Instant::now() + PREPARATION;
    loop {
        let keys: usize = redis::cmd("DBSIZE").query_async(&mut connection).await?;
        // One of the keys is the adapter's stream.
        if keys > clients {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{keys} of {clients} sessions are stored"
        );
        tokio::time::sleep(POLL).await;
    }
}

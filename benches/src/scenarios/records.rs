//! What lies beside the log: session records stored, touched and taken over by very many callers at once, against the
//! same writes in one bare pipeline; and ephemeral events to subscribers on two edges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use broker::testing::RedisServer;
use broker::{
    Delivery, Filter, From, Log, Order, RedisConfig, RedisLog, Subscriber, SubscriberConfig, Touched,
};
use bytes::Bytes;
use futures_util::future::join_all;
use shared::{Event, Payload, SessionId, StreamName};

use crate::report::Row;
use crate::results::Outcome;
use crate::servers::redis_cpu;
use crate::{Size, payload};

/// Bytes of a record: a few subscriptions.
const RECORD_BYTES: usize = 300;
const TTL: Duration = Duration::from_secs(240);
/// Ephemeral events on their way at the same time: fewer than the ring of a stream holds, so that none is dropped.
const EPHEMERALS_ROUND: u64 = 100;

/// Measures all of it.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sessions, ephemerals, subscribers) = match size {
        Size::Smoke => (1_000, 500, 10),
        Size::Full => (10_000, 20_000, 100),
    };
    let mut rows = calls(sessions).await?;
    rows.push(fan_out(ephemerals, subscribers).await?);
    Ok(rows.into_iter().map(|row| row.outcome("records")).collect())
}

fn id(n: u64) -> SessionId {
    let mut bytes = [7; 18];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SessionId::from_random(bytes)
}

async fn calls(sessions: u64) -> anyhow::Result<Vec<Row>> {
    let redis = RedisServer::start().await;
    let log = RedisLog::connect(RedisConfig::new(redis.url())).await?;
    let record = Bytes::from(vec![b'x'; RECORD_BYTES]);
    let bare = row(&redis, "bare pipeline of HSET and PEXPIRE", sessions, async {
        let mut pipe = redis::Pipeline::new();
        for n in 0..sessions {
            let key = format!("bare:session:{{{}}}", id(n).as_str());
            let set = pipe.cmd("HSET").arg(&key).arg("g").arg(1).arg("r");
            set.arg(&record[..]).ignore();
            pipe.cmd("PEXPIRE").arg(key).arg(TTL.as_millis() as u64).ignore();
        }
        pipe.query_async::<()>(&mut redis.connection().await).await?;
        Ok(())
    })
    .await?;
    let calls = log.sessions();
    let created = row(&redis, "sessions created, all at once", sessions, async {
        let created = join_all((0..sessions).map(|n| calls.create(&id(n), record.clone(), TTL))).await;
        created.into_iter().try_for_each(|created| created.map(drop))?;
        Ok(())
    })
    .await?;
    let touched = row(&redis, "sessions touched, all at once", sessions, async {
        for touched in join_all((0..sessions).map(|n| calls.touch(&id(n), TTL))).await {
            ensure!(touched? == Touched::Known, "a record has gone");
        }
        Ok(())
    })
    .await?;
    let taken = row(&redis, "sessions taken over, all at once", sessions, async {
        for taken in join_all((0..sessions).map(|n| calls.take_over(&id(n), TTL))).await {
            ensure!(
                taken?.is_some_and(|taken| taken.record == record),
                "a record has gone"
            );
        }
        Ok(())
    })
    .await?;
    let beside = |mut row: Row| {
        row.what += &format!(": {:.2} of the bare pipeline", row.rate() / bare.rate());
        row
    };
    let rows = [beside(created), beside(touched), beside(taken)];
    Ok(std::iter::once(bare).chain(rows).collect())
}

async fn row(
    redis: &RedisServer,
    what: &str,
    events: u64,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Row> {
    let (cpu, started) = (redis_cpu(redis)?, Instant::now());
    work.await.with_context(|| what.to_owned())?;
    Ok(Row {
        what: what.to_owned(),
        events,
        took: started.elapsed(),
        redis_cpu: redis_cpu(redis)? - cpu,
        edge_cpu: Duration::ZERO,
        judgment: None,
    })
}

/// One sends, `subscribers` on each of two edges get. The events of the row are those that came.
async fn fan_out(events: u64, subscribers: u64) -> anyhow::Result<Row> {
    let redis = RedisServer::start().await;
    let config = || RedisConfig::new(redis.url());
    let edges = [
        RedisLog::connect(config()).await?,
        RedisLog::connect(config()).await?,
    ];
    let stream: StreamName = "bench:1".parse()?;
    let progress = Arc::new(tokio::sync::Semaphore::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for edge in &edges {
        for _ in 0..subscribers {
            let config = SubscriberConfig {
                order: Order::ByTime,
                streams_max: 1,
                ephemeral: true,
            };
            let mut subscriber = Subscriber::new(edge.clone(), config);
            subscriber
                .subscribe(stream.clone(), From::Now, None, Filter::default())
                .await?;
            readers.spawn(count(subscriber, events, progress.clone()));
        }
    }
    let readers_all = u32::try_from(2 * subscribers)?;
    let what = format!("ephemeral events that came to {readers_all} subscribers on two edges");
    row(&redis, &what, events * u64::from(readers_all), async {
        let event = Event::new(Payload::Json(payload().into()));
        for n in 0..events {
            edges[0].send_ephemeral(&stream, event.clone())?;
            if (n + 1) % EPHEMERALS_ROUND == 0 {
                // Until everybody has had all of this round.
                let came = u32::try_from(EPHEMERALS_ROUND)? * readers_all;
                progress.acquire_many(came).await?.forget();
            }
        }
        while let Some(came) = readers.join_next().await {
            came??;
        }
        Ok(())
    })
    .await
}

/// Counts ephemeral events until all have come.
async fn count(
    mut subscriber: Subscriber,
    events: u64,
    progress: Arc<tokio::sync::Semaphore>,
) -> anyhow::Result<()> {
    let (mut seen, mut out) = (0, Vec::new());
    while seen < events {
        subscriber.next(256 * 1024, &mut out).await;
        let came = out
            .drain(..)
            .filter(|delivery| matches!(delivery, Delivery::Ephemeral(_)))
            .count();
        seen += came as u64;
        progress.add_permits(came);
    }
    Ok(())
}

//! What following streams costs Redis: the same number of events, published into one stream and spread over many,
//! each followed by a subscriber. The publishing is in the figure; it is the same for both.
//!
//! Once at a steady rate, as users do, and once as fast as it goes. At full speed one stream is read a few hundred
//! entries at a time, which no number of streams with one new entry each can come near: that ratio compares the two
//! extremes. What bounds it is shown beside it: what the publishing costs that nobody follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use broker::testing::RedisServer;
use broker::{Delivery, Filter, From, Log, Order, RedisConfig, RedisLog, Subscriber, SubscriberConfig};
use shared::StreamName;

use crate::report::Row;
use crate::results::{Judgment, Outcome};
use crate::servers::redis_cpu;
use crate::{Size, payload};

/// `XADD`s in one pipeline of the publisher.
const PIPELINE: usize = 100;
/// Events per second of the steady publisher.
const STEADY_RATE: u64 = 20_000;
/// How often the steady publisher sends what is due.
const STEADY_TICK: Duration = Duration::from_millis(1);
/// Streams of one subscriber.
const STREAMS_PER_SUBSCRIBER: usize = 1_000;

/// How the publisher goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speed {
    Steady,
    Full,
}

/// Measures one stream and many, at both speeds.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (steady, full, many) = match size {
        Size::Smoke => (2_000, 5_000, 100),
        Size::Full => (10 * STEADY_RATE, 400_000, 10_000),
    };
    let mut rows = Vec::new();
    let one = unfollowed(1, full).await?;
    let row = unfollowed(many, full).await?;
    rows.extend([one, row]);
    for (speed, events) in [(Speed::Steady, steady), (Speed::Full, full)] {
        let one = follow(1, events, speed).await?;
        let mut row = follow(many, events, speed).await?;
        if speed == Speed::Steady {
            let ratio = row.redis_us() / one.redis_us();
            row.judgment = Some(Judgment::at_most("Redis CPU beside that of one", ratio, 2.5));
        }
        rows.extend([one, row]);
    }
    Ok(rows.into_iter().map(|row| row.outcome("tail")).collect())
}

/// Publishes into streams that exist and that nobody follows.
async fn unfollowed(streams: usize, events: u64) -> anyhow::Result<Row> {
    let redis = RedisServer::start().await;
    publish(&redis, streams, streams as u64, Speed::Full).await?;
    let (cpu, started) = (redis_cpu(&redis)?, Instant::now());
    publish(&redis, streams, events, Speed::Full).await?;
    Ok(Row {
        what: format!("XADD to {streams} streams, followed by nobody"),
        events,
        took: started.elapsed(),
        redis_cpu: redis_cpu(&redis)? - cpu,
        edge_cpu: Duration::ZERO,
        judgment: None,
    })
}

async fn follow(streams: usize, events: u64, speed: Speed) -> anyhow::Result<Row> {
    let redis = RedisServer::start().await;
    let log: Arc<dyn Log> = RedisLog::connect(RedisConfig::new(redis.url())).await?;
    let names: Vec<StreamName> = (0..streams)
        .map(|n| format!("bench:{n}").parse())
        .collect::<Result<_, _>>()?;
    let mut subscribers = Vec::new();
    for names in names.chunks(STREAMS_PER_SUBSCRIBER) {
        let config = SubscriberConfig {
            order: Order::PerStream,
            streams_max: STREAMS_PER_SUBSCRIBER,
            ephemeral: false,
        };
        let mut subscriber = Subscriber::new(log.clone(), config);
        for name in names {
            subscriber
                .subscribe(name.clone(), From::Now, None, Filter::default())
                .await?;
        }
        subscribers.push(subscriber);
    }
    let share = |index: usize| {
        let streams = STREAMS_PER_SUBSCRIBER.min(streams - index * STREAMS_PER_SUBSCRIBER) as u64;
        events * streams / names.len() as u64
    };
    let (cpu, started) = (redis_cpu(&redis)?, Instant::now());
    let readers: Vec<_> = subscribers
        .into_iter()
        .enumerate()
        .map(|(index, subscriber)| tokio::spawn(count(subscriber, share(index))))
        .collect();
    publish(&redis, streams, events, speed).await?;
    for reader in readers {
        tokio::time::timeout(Duration::from_secs(120), reader).await???;
    }
    Ok(Row {
        what: format!(
            "tail of {streams} streams, {}",
            if speed == Speed::Full {
                "full speed"
            } else {
                "steady"
            }
        ),
        events,
        took: started.elapsed(),
        redis_cpu: redis_cpu(&redis)? - cpu,
        edge_cpu: Duration::ZERO,
        judgment: None,
    })
}

/// Counts events until all have come. Anything that is lost or said to be lost is an error.
async fn count(mut subscriber: Subscriber, events: u64) -> anyhow::Result<()> {
    let (mut seen, mut out) = (0, Vec::new());
    while seen < events {
        subscriber.next(256 * 1024, &mut out).await;
        for delivery in out.drain(..) {
            match delivery {
                Delivery::Event(_) => seen += 1,
                other => ensure!(matches!(other, Delivery::CaughtUp { .. }), "unexpected {other:?}"),
            }
        }
    }
    Ok(())
}

async fn publish(redis: &RedisServer, streams: usize, events: u64, speed: Speed) -> anyhow::Result<()> {
    let mut connection = redis.connection().await;
    let data = payload();
    let mut tick = tokio::time::interval(STEADY_TICK);
    let started = Instant::now();
    let mut next = 0;
    while next < events {
        let due = match speed {
            Speed::Full => PIPELINE as u64,
            Speed::Steady => {
                tick.tick().await;
                (started.elapsed().as_millis() as u64 * STEADY_RATE / 1_000).saturating_sub(next)
            }
        };
        let mut pipe = redis::Pipeline::with_capacity(due as usize);
        for _ in 0..due.min(events - next) {
            let key = format!("weir:{{bench:{}}}", next as usize % streams);
            pipe.cmd("XADD").arg(key).arg("*").arg("d").arg(&data).ignore();
            next += 1;
        }
        if !pipe.is_empty() {
            pipe.query_async::<()>(&mut connection).await?;
        }
    }
    Ok(())
}

//! The position that a reset names must be a place to resume from: whoever is cut off before the next event arrives
//! goes on there, and is not told of the same reset again. And so must be the positions of the events that follow.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use broker::testing::RedisServer;
use broker::{Delivery, Filter, From, Joined, Order, RedisConfig, RedisLog, Subscriber, SubscriberConfig};
use redis::aio::MultiplexedConnection;
use shared::{Cursor, StreamName, Verdict};

const KEY: &str = "weir:{s}";

struct World {
    _server: RedisServer,
    redis: MultiplexedConnection,
    log: std::sync::Arc<RedisLog>,
}

impl World {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let log = RedisLog::connect(RedisConfig::new(server.url())).await.unwrap();
        let redis = server.connection().await;
        Self {
            _server: server,
            redis,
            log,
        }
    }

    async fn command(&mut self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        let _: redis::Value = command
            .arg(&words[1..])
            .query_async(&mut self.redis)
            .await
            .unwrap();
    }

    async fn add(&mut self, ids: &[&str]) {
        for id in ids {
            self.command(&["XADD", KEY, id, "d", "1"]).await;
        }
    }

    /// Subscribes at `from`, and reads until `count` deliveries besides `CaughtUp` have come.
    async fn read(&self, from: Cursor, count: usize) -> (Joined, Vec<Delivery>) {
        let config = SubscriberConfig {
            order: Order::ByTime,
            streams_max: 1,
            ephemeral: false,
        };
        let mut subscriber = Subscriber::new(self.log.clone(), config);
        let stream: StreamName = "s".parse().unwrap();
        let from = From::Cursor(from);
        let joined = subscriber
            .subscribe(stream, from, None, Filter::default())
            .await
            .unwrap();
        let mut out = Vec::new();
        while out.len() < count {
            let next = subscriber.next(1_000_000, &mut out);
            tokio::time::timeout(Duration::from_secs(30), next).await.unwrap();
            out.retain(|delivery| !matches!(delivery, Delivery::CaughtUp { .. }));
        }
        (joined, out)
    }

    /// Resumes at `old`, is told of a reset, resumes where that says, and must then be told of nothing but events.
    async fn resume_twice(&self, old: Cursor, first_after: &str) {
        let (joined, told) = self.read(old, 2).await;
        assert_eq!(joined.verdict, Verdict::Reset);
        let Delivery::Reset { cursor, .. } = &told[0] else {
            panic!("{told:?}");
        };
        let (joined, told) = self.read(*cursor, 1).await;
        assert_eq!(joined.verdict, Verdict::Continuous, "resumed at {cursor}");
        assert!(
            matches!(&told[0], Delivery::Event(entry) if entry.id().to_string() == first_after),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn of_a_stream_that_was_created_anew() {
    let mut world = World::start().await;
    world.add(&["1-0", "2-0", "3-0"]).await;
    world.command(&["DEL", KEY]).await;
    world.add(&["10-0", "11-0"]).await;
    world
        .resume_twice(Cursor::new("3-0".parse().unwrap(), 3), "10-0")
        .await;
}

#[tokio::test]
async fn of_a_stream_that_was_created_anew_and_trimmed() {
    let mut world = World::start().await;
    world.add(&["1-0", "2-0", "3-0"]).await;
    world.command(&["DEL", KEY]).await;
    world.add(&["10-0", "11-0", "12-0"]).await;
    world.command(&["XTRIM", KEY, "MINID", "11-0"]).await;
    // An ID of which the new history can tell for certain that it never held it: it had too few.
    world
        .resume_twice(Cursor::new("3-0".parse().unwrap(), 9), "11-0")
        .await;
}

#[tokio::test]
async fn of_a_stream_that_was_set_back() {
    let mut world = World::start().await;
    world.add(&["1-0", "2-0"]).await;
    // Entry 3-0 and 4-0 were seen, and are gone; the stream went on from 2-0 otherwise.
    world.add(&["5-0", "6-0"]).await;
    world
        .resume_twice(Cursor::new("4-0".parse().unwrap(), 4), "5-0")
        .await;
}

#[tokio::test]
async fn of_a_stream_that_is_longer_than_a_page() {
    let mut world = World::start().await;
    let mut commands = redis::pipe();
    for n in (1..=500).chain(2_001..=2_700) {
        commands
            .cmd("XADD")
            .arg(KEY)
            .arg(format!("{n}-0"))
            .arg("d")
            .arg(n);
    }
    let _: redis::Value = commands.query_async(&mut world.redis).await.unwrap();
    // Seen in a history that was longer, and had an entry where this one has none.
    let old = Cursor::new("1000-0".parse().unwrap(), 5_000);
    let (_, told) = world.read(old, 701).await;
    let Delivery::Reset { cursor, .. } = &told[0] else {
        panic!("{:?}", told[0]);
    };
    assert_eq!(*cursor, Cursor::new("500-0".parse().unwrap(), 500));
    let ordinals: Vec<_> = told[1..]
        .iter()
        .map(|delivery| match delivery {
            Delivery::Event(entry) => entry.cursor.ordinal.map(|n| n.0),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = (501..=1_200).map(Some).collect();
    assert_eq!(ordinals, expected);
}
